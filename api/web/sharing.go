package web

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"spotkeeper/internal/flight"
)

// question is what makes two reads the same: what is asked, and in whose name.
type question struct {
	uri   string
	scope string // the tenant; empty for operators
}

// reading is an answer that several callers get.
type reading struct {
	status int
	body   []byte
	next   string
	link   string
}

// readings are the reads that pages repeat and many pages show at once. Those who
// ask the same while it is being read share the next reading, so the database
// reads and the answer is encoded once for all of them.
type readings = flight.Group[question, *reading]

// IsShared says whether callers may share an answer of the route: it only reads,
// and it is not a message to one agent, as commands are that are leased when they
// are fetched, nor a read that is recorded with its reader.
func (r Route) IsShared() bool {
	return r.Method == http.MethodGet && r.Endpoint.raw == nil && r.Event == "" && !r.Recorded && (r.Auth == Client || r.Auth == Admin)
}

// serveShared answers a read together with all who ask the same.
func (r Route) serveShared(c *gin.Context, g *readings) error {
	scope, _ := PrincipalFrom(c.Request.Context()).Scope()
	got, err := g.Do(c.Request.Context(),
		question{c.Request.URL.RequestURI(), scope}, func(ctx context.Context) (*reading, error) {
			c.Request = c.Request.WithContext(ctx)
			out, err := r.Endpoint.call(c, nil)
			if err != nil {
				return nil, err
			}
			body, err := EncodeJSON(out)
			if err != nil {
				return nil, err
			}
			h := c.Writer.Header()
			return &reading{status: r.statusOf(out), body: body, next: h.Get(nextHeader), link: h.Get(linkHeader)}, nil
		})
	if err != nil {
		return err
	}
	if got.next != "" {
		c.Header(nextHeader, got.next)
		c.Header(linkHeader, got.link)
	}
	writeEncoded(c, got.status, got.body)
	return nil
}
