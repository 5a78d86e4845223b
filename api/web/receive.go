package web

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/door"
)

// maxUnknownBody is the size in bytes of body that is read of a caller who has not been
// authenticated: one whose token is in the body, or who needs none.
const maxUnknownBody = 16 << 10

// receive authenticates the caller and reads the body. A token in the header is
// judged before the body is read, so that only known callers send large bodies.
func (r Route) receive(c *gin.Context, a *Authenticator) (Principal, []byte, error) {
	inBody := r.Auth == Agent && headerToken(c.Request) == "" && r.mayHaveBody(c.Request)
	if inBody {
		body, err := r.read(c, false)
		if err != nil {
			return Principal{}, nil, err
		}
		p, err := a.authenticate(c, r, body)
		if err == nil {
			err = a.Limits.check(c, r, p)
		}
		return p, body, err
	}
	p, err := a.authenticate(c, r, nil)
	if err == nil {
		err = a.Limits.check(c, r, p)
	}
	if err != nil || !r.mayHaveBody(c.Request) {
		return p, nil, err
	}
	known := r.Auth != Anonymous
	if known {
		door.Admit(c.Request.Context())
	}
	body, err := r.read(c, known)
	return p, body, err
}

// mayHaveBody says whether the route reads the body of a request before its handler is
// called. A stream reads its own.
func (r Route) mayHaveBody(req *http.Request) bool {
	return r.Endpoint.raw == nil && req.Method != http.MethodGet && req.Body != nil
}

// read reads the body of a request. Fails with request.too_large, request.invalid,
// request.too_slow and request.server_busy.
func (r Route) read(c *gin.Context, known bool) ([]byte, error) {
	limit := r.MaxBody
	if limit == 0 {
		limit = maxBody
	}
	if !known {
		limit = min(limit, maxUnknownBody)
	}
	body, err := door.ReadBody(c.Writer, c.Request, limit, door.Caller{Known: known, Address: c.ClientIP()})
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		if !known {
			return nil, BodyTooLarge.New(
				"Without a token in its header a request may have a body of %d bytes at most.", limit)
		}
		return nil, BodyTooLarge.New("The body is larger than %d bytes.", limit)
	}
	if err != nil && fault.CodeOf(err) == "" {
		return nil, InvalidRequest.Wrap(err, "The body could not be read.")
	}
	return body, err
}
