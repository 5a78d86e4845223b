package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"spotkeeper/api/web"
)

// Probe asks one dependency whether it is there.
type Probe struct {
	Name  string // postgres, schema, temporal, search_attributes, engine
	Check func(ctx context.Context) error
	// Degrades says that the process works without the dependency: /ready reports it, and the
	// process stays ready. A dependency that all processes lack must not take all of them away.
	Degrades bool
	// Says makes the sentence of a failure, for operators. Nil: the error's own text when the
	// dependency only degrades, and otherwise that it does not answer.
	Says func(error) string
}

// sentence is the text of a failure in /ready.
func (p Probe) sentence(err error) string {
	switch {
	case p.Says != nil:
		return p.Says(err)
	case p.Degrades:
		return web.MessageOf(err)
	}
	return "It does not answer."
}

func (d Deps) healthRoutes() []web.Route {
	h := health{probes: d.Probes, now: d.Now, engineLoaded: d.EngineLoaded}
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     "/health",
			ID:       "health",
			Summary:  "Whether the service is healthy, for installers",
			Auth:     web.Anonymous,
			Status:   200,
			Endpoint: web.NewEndpoint(h.health),
			Quiet:    true,
		},
		{
			Method:   http.MethodGet,
			Path:     "/ready",
			ID:       "ready",
			Summary:  "Whether the service can work, without its reasons",
			Auth:     web.Anonymous,
			Status:   200,
			Endpoint: web.NewEndpoint(h.readyInPublic),
			Quiet:    true,
		},
	}
}

type health struct {
	probes       []Probe
	now          func() time.Time
	engineLoaded func() bool
}

type healthAnswer struct {
	State        string   `json:"status"`
	Timestamp    web.Time `json:"timestamp"`
	EngineLoaded bool     `json:"decision_engine_loaded"`
	Database     string   `json:"database"`
	Error        string   `json:"error,omitempty"`
	status       int
}

// Status implements Statused.
func (a *healthAnswer) Status() int { return a.status }

// health answers for Postgres alone: an installer that finds Temporal restarting
// should go on.
func (h health) health(ctx context.Context, _ *web.None) (*healthAnswer, error) {
	out := &healthAnswer{
		State:        "healthy",
		Timestamp:    web.TimeOf(h.now()),
		EngineLoaded: h.engineLoaded == nil || h.engineLoaded(),
		Database:     "connected",
		status:       http.StatusOK,
	}
	for _, p := range h.probes {
		if p.Name != "postgres" {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, web.ProbeTimeout)
		defer cancel()
		if p.Check(ctx) != nil {
			out.State, out.Database = "unhealthy", "disconnected"
			out.Error, out.status = "The database does not answer.", http.StatusServiceUnavailable
		}
	}
	return out, nil
}

type readyAnswer struct {
	State  string           `json:"status"`
	Checks map[string]check `json:"checks"`
	status int
}

type check struct {
	OK     bool    `json:"ok"`
	TookMS float64 `json:"took_ms"`
	Error  string  `json:"error,omitempty"`
}

// publicReadyAnswer says whether the service can work, and nothing of what it is made of.
type publicReadyAnswer struct {
	State  string `json:"status"`
	status int
}

// Status implements Statused.
func (a *publicReadyAnswer) Status() int { return a.status }

func (h health) readyInPublic(ctx context.Context, _ *web.None) (*publicReadyAnswer, error) {
	all := h.ready(ctx)
	return &publicReadyAnswer{State: all.State, status: all.status}, nil
}

// ReadyPage answers each dependency and what is wrong with it, as JSON. It is for a
// listener that callers of the API do not reach.
func ReadyPage(probes []Probe) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out := health{probes: probes}.ready(r.Context())
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(out.status)
		_ = json.NewEncoder(w).Encode(out) // the caller has gone when it fails
	}
}

// ready asks all dependencies at once.
func (h health) ready(ctx context.Context) *readyAnswer {
	out := &readyAnswer{State: "ready", Checks: map[string]check{}, status: http.StatusOK}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, p := range h.probes {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, web.ProbeTimeout)
			defer cancel()
			start := time.Now()
			err := p.Check(ctx)
			took := float64(time.Since(start).Microseconds()) / 1000
			mu.Lock()
			defer mu.Unlock()
			out.Checks[p.Name] = check{OK: err == nil, TookMS: took}
			if err != nil {
				out.Checks[p.Name] = check{TookMS: took, Error: p.sentence(err)}
				switch {
				case !p.Degrades:
					out.State, out.status = "not ready", http.StatusServiceUnavailable
				case out.status == http.StatusOK:
					out.State = "degraded"
				}
			}
		})
	}
	wg.Wait()
	return out
}
