package web

import (
	"cmp"
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
		body, err := r.read(c, "")
		if err != nil {
			return Principal{}, nil, err
		}
		p, err := r.admit(c, a, body)
		return p, body, err
	}
	p, err := r.admit(c, a, nil)
	if err != nil || !r.mayHaveBody(c.Request) {
		return p, nil, err
	}
	body, err := r.read(c, p.ownerKey())
	return p, body, err
}

// admit authenticates the caller, counts the request against the caller's limits, and
// has the door keep the connection of a known caller.
func (r Route) admit(c *gin.Context, a *Authenticator, body []byte) (Principal, error) {
	p, err := a.authenticate(c, r, body)
	if err == nil {
		err = a.Limits.check(c, r, p)
	}
	if err == nil && r.Auth != Anonymous {
		door.Admit(c.Request.Context(), p.connectionKey(), p.ownerKey())
	}
	return p, err
}

// connectionKey is what the connections of a principal are counted by: an agent, a
// credential or an operator has its own share of its owner's.
func (p Principal) connectionKey() string { return p.Actor() + " " + p.ClientID + " " + p.CredentialID }

// ownerKey is what the bodies and all connections of a principal's owner are counted by: a
// tenant has one share, however many credentials it makes. Empty for a caller who is not known.
func (p Principal) ownerKey() string {
	if p.ClientID == "" && !p.Operator {
		return ""
	}
	return cmp.Or(p.ClientID, p.Actor())
}

// mayHaveBody says whether the route reads the body of a request before its handler is
// called. A stream reads its own.
func (r Route) mayHaveBody(req *http.Request) bool {
	return r.Endpoint.raw == nil && req.Method != http.MethodGet && req.Body != nil
}

// read reads the body of a request of a caller; an empty one is not known. Fails with request.too_large, request.invalid,
// request.too_slow and request.server_busy.
func (r Route) read(c *gin.Context, caller string) ([]byte, error) {
	limit := r.MaxBody
	if limit == 0 {
		limit = maxBody
	}
	if caller == "" {
		limit = min(limit, maxUnknownBody)
	}
	body, err := door.ReadBody(c.Writer, c.Request, limit, door.Caller{Name: caller, Address: c.ClientIP()})
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		if caller == "" {
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
