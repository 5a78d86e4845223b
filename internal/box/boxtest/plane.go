package boxtest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Arrival is one request at the control plane.
type Arrival struct {
	Path  string
	Token string
	Body  map[string]any
}

// Plane is a control plane that accepts everything, except what Answer says.
type Plane struct {
	*httptest.Server

	mu       sync.Mutex
	arrivals []Arrival
	answer   func(Arrival) (status int, body string)
}

// StartPlane starts a control plane until the test ends.
func StartPlane(tb testing.TB) *Plane {
	tb.Helper()
	p := &Plane{}
	p.Server = httptest.NewServer(p)
	tb.Cleanup(p.Close)
	return p
}

// ServeHTTP implements http.Handler.
func (p *Plane) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := Arrival{Path: r.URL.Path, Token: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")}
	_ = json.NewDecoder(r.Body).Decode(&a.Body) // a GET has none
	p.mu.Lock()
	p.arrivals = append(p.arrivals, a)
	answer := p.answer
	p.mu.Unlock()
	status, body := 0, ""
	if answer != nil {
		status, body = answer(a)
	}
	if status == 0 {
		status, body = http.StatusOK, usual(a.Path)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

func usual(path string) string {
	switch {
	case strings.HasSuffix(path, "/register"):
		return `{"agent_id":"agent-1","client_id":"client-1","config":{"enabled":true}}`
	case strings.HasSuffix(path, "/termination-imminent"):
		return `{"success":true,"action":"replica_promoted","new_instance_id":"i-new","operation_id":"termination/agent-1/i-1"}`
	case strings.HasSuffix(path, "/validate"):
		return `{"valid":true,"client_id":"client-1","name":"Acme"}`
	}
	return `{"success":true}`
}

// Answer changes the answers. A status of 0 is the usual answer.
func (p *Plane) Answer(answer func(Arrival) (status int, body string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

// Arrivals are the requests whose path ends so.
func (p *Plane) Arrivals(suffix string) []Arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Arrival
	for _, a := range p.arrivals {
		if strings.HasSuffix(a.Path, suffix) {
			out = append(out, a)
		}
	}
	return out
}
