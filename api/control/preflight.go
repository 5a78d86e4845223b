package control

import (
	"context"
	"net/http"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/preflight"
)

// PreflightStore reads the last report of an agent, nil when there is none.
type PreflightStore interface {
	Preflight(ctx context.Context, clientID, agentID string) (*preflight.Report, error)
}

// PreflightRunner checks an agent now.
type PreflightRunner interface {
	Run(ctx context.Context, clientID, agentID string) (*preflight.Report, error)
}

// Preflight serves what was checked in calm, so that a replacement does not fail in an
// emergency.
type Preflight struct {
	Store  PreflightStore
	Checks PreflightRunner
}

// Routes lists the endpoints.
func (p *Preflight) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     "/api/client/agents/:agent_id/preflight",
			ID:       "getPreflight",
			Summary:  "Whether the agent could be replaced: one row per check, its result and its repair",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.get),
			Timeout:  web.GuardianTimeout,
		},
	}
}

type preflightRequest struct {
	web.AgentPath
	Run web.Bool `form:"run" doc:"check now; otherwise the last report, which is made once a day, is answered"`
}

type preflightAnswer struct {
	AgentID   string            `json:"agent_id"`
	CheckedAt *web.Time         `json:"checked_at" doc:"null: not yet"`
	Result    preflight.Result  `json:"result" doc:"the worst of the checks: ok, warning, unknown or failed"`
	Checks    []preflight.Check `json:"checks"`
}

func (p *Preflight) get(ctx context.Context, in *preflightRequest) (*preflightAnswer, error) {
	read := p.Store.Preflight
	if in.Run {
		read = p.Checks.Run
	}
	report, err := read(ctx, web.TenantScope(ctx), in.AgentID)
	switch {
	case err != nil:
		return nil, err
	case report == nil:
		return &preflightAnswer{AgentID: in.AgentID, Result: preflight.Unknown, Checks: []preflight.Check{}}, nil
	}
	return &preflightAnswer{
		AgentID:   report.AgentID,
		CheckedAt: web.NewTime(&report.CheckedAt),
		Result:    report.Result,
		Checks:    report.Checks,
	}, nil
}
