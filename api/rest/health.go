package rest

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"spotkeeper/api/web"
)

// Probe asks one dependency whether it is there.
type Probe struct {
	Name  string // postgres, schema, temporal, search_attributes, engine
	Check func(ctx context.Context) error
	// Degrades says that the process works without it: it is told, and the process
	// stays ready. What every process lacks at once must not take all of them away.
	Degrades bool
}

// sentence is what /ready says of a failure: the sentence of one that only degrades,
// and no more than that it does not answer for any other.
func (p Probe) sentence(err error) string {
	if p.Degrades {
		return web.MessageOf(err)
	}
	return "It does not answer."
}

func (d Deps) healthRoutes() []web.Route {
	h := health{probes: d.Probes, now: d.Now, engineLoaded: d.EngineLoaded}
	return []web.Route{
		{Method: http.MethodGet, Path: "/health", ID: "health", Summary: "Whether the service is healthy, for installers", Auth: web.Anonymous, Status: 200, Endpoint: web.NewEndpoint(h.health), Quiet: true},
		{Method: http.MethodGet, Path: "/ready", ID: "ready", Summary: "Whether each dependency answers", Auth: web.Anonymous, Status: 200, Endpoint: web.NewEndpoint(h.ready), Quiet: true},
		{Method: http.MethodGet, Path: "/metrics", ID: "metrics", Summary: "Metrics for Prometheus", Auth: web.Anonymous, Status: 200, Endpoint: metricsEndpoint(d), Quiet: true},
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
	out := &healthAnswer{State: "healthy", Timestamp: web.TimeOf(h.now()), EngineLoaded: h.engineLoaded == nil || h.engineLoaded(), Database: "connected", status: http.StatusOK}
	for _, p := range h.probes {
		if p.Name != "postgres" {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, web.ProbeTimeout)
		defer cancel()
		if p.Check(ctx) != nil {
			out.State, out.Database, out.Error, out.status = "unhealthy", "disconnected", "The database does not answer.", http.StatusServiceUnavailable
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

// Status implements Statused.
func (a *readyAnswer) Status() int { return a.status }

// ready asks all dependencies at once.
func (h health) ready(ctx context.Context, _ *web.None) (*readyAnswer, error) {
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
	return out, nil
}

func metricsEndpoint(d Deps) web.Endpoint {
	return web.NewStream[web.None, web.None](func(c *gin.Context, _ *web.None) error {
		promhttp.HandlerFor(d.Metrics, promhttp.HandlerOpts{}).ServeHTTP(c.Writer, c.Request)
		return nil
	})
}
