package fleet

import (
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// SafeBodies sends the SDK's requests so that a fast answer is not lost. The
// SDK closes a request's body as soon as it has the answer's head; net/http may
// still be about to look whether more of that body comes. A closed body of the
// SDK's answers WriteTo with io.EOF, which net/http takes for a failed write: it
// closes the connection, and the rest of the answer is gone ("use of closed
// network connection"). Through Read the same body says only that it has ended.
func SafeBodies(c aws.HTTPClient) aws.HTTPClient { return safeBodies{c} }

type safeBodies struct{ next aws.HTTPClient }

func (s safeBodies) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = readOnly{req.Body}
	}
	return s.next.Do(req)
}

// readOnly hides every other method of a body.
type readOnly struct{ io.ReadCloser }
