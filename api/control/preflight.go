package control

import (
	"context"
	"net/http"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/preflight"
	"spotkeeper/internal/postgres/sweeps"
)

// PreflightStore reads the last report of an agent, nil when there is none, and of a client.
type PreflightStore interface {
	Preflight(ctx context.Context, clientID, agentID string) (*preflight.Report, error)
	ClientPreflight(ctx context.Context, clientID string) (*sweeps.ClientPreflight, error)
}

// PreflightRunner checks an agent now.
type PreflightRunner interface {
	Run(ctx context.Context, clientID, agentID string) (*preflight.Report, error)
}

// QuotaRunner checks the quotas of a client's account now.
type QuotaRunner interface {
	Check(ctx context.Context, clientID string) error
}

// Preflight serves what was checked in calm, so that a replacement does not fail in an
// emergency.
type Preflight struct {
	Store  PreflightStore
	Checks PreflightRunner
	Quotas QuotaRunner
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
		{
			Method:   http.MethodGet,
			Path:     "/api/client/:client_id/preflight",
			ID:       "getClientPreflight",
			Summary:  "Whether the client's agents could be replaced, and whether its quotas suffice for the loss of a zone",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.getOfClient),
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

type clientPreflightRequest struct {
	web.ClientPath
	Run web.Bool `form:"run" doc:"check the quotas now; agents are checked once a day, or each by its own route"`
}

type clientPreflightAnswer struct {
	ClientID string            `json:"client_id"`
	Result   preflight.Result  `json:"result" doc:"the worst of all: ok, warning, unknown or failed"`
	Agents   agentsByResult    `json:"agents"`
	Regions  []regionPreflight `json:"regions" doc:"quotas, held against the loss of the zone with the most vCPUs"`
	Troubled []agentPreflight  `json:"troubled" doc:"agents that are not well, the worst first; 500 at most"`
}

type agentsByResult struct {
	OK        int `json:"ok"`
	Warning   int `json:"warning"`
	Unknown   int `json:"unknown"`
	Failed    int `json:"failed"`
	Unchecked int `json:"unchecked"`
}

type regionPreflight struct {
	Region    string            `json:"region"`
	Result    preflight.Result  `json:"result"`
	CheckedAt web.Time          `json:"checked_at"`
	Checks    []preflight.Check `json:"checks"`
}

type agentPreflight struct {
	AgentID   string            `json:"agent_id"`
	LogicalID string            `json:"logical_agent_id"`
	Result    preflight.Result  `json:"result"`
	CheckedAt web.Time          `json:"checked_at"`
	Checks    []preflight.Check `json:"checks" doc:"without those that are ok"`
}

func (p *Preflight) getOfClient(ctx context.Context, in *clientPreflightRequest) (*clientPreflightAnswer, error) {
	if in.Run {
		if err := p.Quotas.Check(ctx, in.ClientID); err != nil {
			return nil, err
		}
	}
	found, err := p.Store.ClientPreflight(ctx, in.ClientID)
	if err != nil {
		return nil, err
	}
	out := &clientPreflightAnswer{
		ClientID: in.ClientID,
		Agents: agentsByResult{
			OK:        found.Agents[preflight.OK],
			Warning:   found.Agents[preflight.Warning],
			Unknown:   found.Agents[preflight.Unknown],
			Failed:    found.Agents[preflight.Failed],
			Unchecked: found.Unchecked,
		},
		Regions: []regionPreflight{}, Troubled: []agentPreflight{},
	}
	var all []preflight.Check
	for result := range found.Agents {
		all = append(all, preflight.Check{Result: result})
	}
	for _, r := range found.Regions {
		all = append(all, preflight.Check{Result: r.Result})
		out.Regions = append(out.Regions, regionPreflight{
			Region:    r.Region,
			Result:    r.Result,
			CheckedAt: web.TimeOf(r.CheckedAt),
			Checks:    web.EmptyIfNil(r.Checks),
		})
	}
	for _, a := range found.Troubled {
		out.Troubled = append(out.Troubled, agentPreflight{
			AgentID:   a.AgentID,
			LogicalID: a.LogicalID,
			Result:    a.Result,
			CheckedAt: web.TimeOf(a.CheckedAt),
			Checks:    web.EmptyIfNil(a.Checks),
		})
	}
	if out.Result = preflight.WorstResult(all); len(all) == 0 && found.Unchecked > 0 {
		out.Result = preflight.Unknown
	}
	return out, nil
}
