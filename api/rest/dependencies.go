package rest

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"spotkeeper/api/web"
)

func (d Deps) dependencyRoutes() []web.Route {
	return []web.Route{{
		Method:   http.MethodGet,
		Path:     "/api/admin/dependencies",
		ID:       "listDependencies",
		Summary:  "Ask each dependency whether it answers, and what is wrong with it",
		Auth:     web.Admin,
		Status:   200,
		Endpoint: web.NewEndpoint(d.listDependencies),
	}}
}

type dependencyList struct {
	Dependencies []dependency `json:"dependencies"`
}

type dependency struct {
	Name     string  `json:"name" example:"postgres"`
	OK       bool    `json:"ok"`
	Degrades bool    `json:"degrades" doc:"the service works without it, with less"`
	TookMs   float64 `json:"took_ms"`
	Error    *string `json:"error" doc:"what is wrong; null when it answers"`
}

// listDependencies asks all at once, each with a deadline of its own.
func (d Deps) listDependencies(ctx context.Context, _ *web.None) (*dependencyList, error) {
	found := make([]dependency, len(d.Probes))
	var asked errgroup.Group
	for i, p := range d.Probes {
		asked.Go(func() error {
			found[i] = ask(ctx, p)
			return nil
		})
	}
	if err := asked.Wait(); err != nil {
		return nil, err
	}
	return &dependencyList{Dependencies: found}, nil
}

func ask(ctx context.Context, p Probe) dependency {
	ctx, cancel := context.WithTimeout(ctx, web.ProbeTimeout)
	defer cancel()
	start := time.Now()
	out := dependency{Name: p.Name, OK: true, Degrades: p.Degrades}
	if err := p.Check(ctx); err != nil {
		sentence := p.sentence(err)
		out.OK, out.Error = false, &sentence
	}
	out.TookMs = float64(time.Since(start).Microseconds()) / 1000
	return out
}
