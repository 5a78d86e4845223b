package control

import (
	"context"
	"net/http"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/operators"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/decisions"
)

// PauseStore is decisions.Pauses.
type PauseStore interface {
	Set(ctx context.Context, on decisions.PauseSubject, pause engine.Pause) error
	Lift(ctx context.Context, on decisions.PauseSubject) (lifted bool, clientID string, err error)
	List(ctx context.Context, clientID string) ([]decisions.PauseView, error)
}

// Pauses serve the brakes on voluntary moves: how many at once, and none at all,
// of all clients and of one client to operators, of a client and its agents to the
// client. Failovers and switches that a person forces know no brake.
type Pauses struct {
	Store  PauseStore
	Shares ShareStore
	Now    func() time.Time
}

// Routes lists the endpoints.
func (p *Pauses) Routes() []web.Route {
	const (
		all    = "/api/admin/pauses"
		agent  = "/api/client/agents/:agent_id"
		client = "/api/client/:client_id"
		shares = "/api/admin/moving-limits"
	)
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     all,
			ID:       "listAllPauses",
			Summary:  "List what is paused",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(p.listAll),
		},
		{
			Method:   http.MethodPost,
			Path:     all,
			ID:       "pauseMoves",
			Summary:  "Pause the voluntary moves of all agents, of a client or of an agent",
			Auth:     web.Admin,
			Role:     operators.Operator,
			Status:   200,
			Endpoint: web.NewEndpoint(p.pauseAny),
		},
		{
			Method:   http.MethodDelete,
			Path:     all,
			ID:       "resumeMoves",
			Summary:  "Lift the pauses of all agents, of a client or of an agent, also those that others set",
			Auth:     web.Admin,
			Role:     operators.Operator,
			Status:   200,
			Endpoint: web.NewEndpoint(p.resumeAny),
		},
		{
			Method:   http.MethodGet,
			Path:     shares,
			ID:       "listMovingLimits",
			Summary:  "List how many agents may move at once",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(p.listShares),
		},
		{
			Method:   http.MethodPost,
			Path:     shares,
			ID:       "setMovingLimit",
			Summary:  "Set how many of a client's agents, or of all, may move at once",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(p.setShare),
		},
		{
			Method:   http.MethodPost,
			Path:     agent + "/pause",
			ID:       "pauseAgent",
			Summary:  "Pause an agent's voluntary moves",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.pauseAgent),
		},
		{
			Method:   http.MethodPost,
			Path:     agent + "/resume",
			ID:       "resumeAgent",
			Summary:  "Lift the pause of an agent",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.resumeAgent),
		},
		{
			Method:   http.MethodGet,
			Path:     client + "/pauses",
			ID:       "listPauses",
			Summary:  "List the pauses that stop a client's agents",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.list),
		},
		{
			Method:   http.MethodPost,
			Path:     client + "/pause",
			ID:       "pauseClient",
			Summary:  "Pause the voluntary moves of a client's agents",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.pauseClient),
		},
		{
			Method:   http.MethodPost,
			Path:     client + "/resume",
			ID:       "resumeClient",
			Summary:  "Lift the pause of a client",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.resumeClient),
		},
	}
}

type pauseWish struct {
	web.OptionalBody
	Until   *web.Time `json:"until" doc:"when voluntary moves go on by themselves; with minutes, the earlier of the two"`
	Minutes *int      `json:"minutes" binding:"omitempty,min=1,max=129600" doc:"60 when neither is given"`
	Reason  string    `json:"reason" binding:"max=500"`
}

type pauseAnswer struct {
	Success bool     `json:"success"`
	Until   web.Time `json:"until"`
}

type resumeAnswer struct {
	Success bool `json:"success"`
	Lifted  bool `json:"lifted" doc:"whether a pause held that the caller may lift"`
	// Left is what still stops the subject: pauses of a wider scope, or of operators.
	Left []pauseItem `json:"still_paused"`
}

type pauseItem struct {
	Scope      engine.Scope `json:"scope" doc:"global, client or agent"`
	ClientID   *string      `json:"client_id"`
	ClientName *string      `json:"client_name"`
	AgentID    *string      `json:"agent_id"`
	AgentName  *string      `json:"agent_name"`
	ByOperator bool         `json:"by_operator" doc:"set by an operator, and lifted by operators only"`
	Until      web.Time     `json:"until"`
	Reason     string       `json:"reason"`
	By         string       `json:"created_by"`
	At         web.Time     `json:"created_at"`
}

type pausesAnswer struct {
	Pauses []pauseItem `json:"pauses"`
}

// endTime is when the pause ends.
func (w pauseWish) endTime(now time.Time) time.Time {
	at := w.Until.OrZero()
	if w.Minutes == nil && !at.IsZero() {
		return at
	}
	span := engine.DefaultPause
	if w.Minutes != nil {
		span = time.Duration(*w.Minutes) * time.Minute
	}
	if by := now.Add(span); at.IsZero() || by.Before(at) {
		return by
	}
	return at
}

func (p *Pauses) set(ctx context.Context, on decisions.PauseSubject, w pauseWish) (*pauseAnswer, error) {
	now := p.Now()
	pause := engine.Pause{Scope: on.Scope, Until: w.endTime(now).Truncate(time.Second), Reason: w.Reason}
	if err := pause.Validate(now); err != nil {
		return nil, err
	}
	if err := p.Store.Set(ctx, withActor(ctx, on), pause); err != nil {
		return nil, err
	}
	return &pauseAnswer{Success: true, Until: web.TimeOf(pause.Until)}, nil
}

func (p *Pauses) liftPause(ctx context.Context, on decisions.PauseSubject) (*resumeAnswer, error) {
	lifted, owner, err := p.Store.Lift(ctx, withActor(ctx, on))
	if err != nil {
		return nil, err
	}
	held, err := p.Store.List(ctx, "")
	if err != nil {
		return nil, err
	}
	out := &resumeAnswer{Success: true, Lifted: lifted, Left: []pauseItem{}}
	for _, x := range held {
		if x.Scope == engine.ScopeGlobal || x.ClientID != nil && *x.ClientID == owner && x.AgentID == nil ||
			x.AgentID != nil && *x.AgentID == on.AgentID {
			out.Left = append(out.Left, newPauseItem(x))
		}
	}
	return out, nil
}

// withActor says who asks.
func withActor(ctx context.Context, on decisions.PauseSubject) decisions.PauseSubject {
	on.Operator, on.By = web.PrincipalFrom(ctx).Operator, web.ActorName(ctx)
	return on
}

func newPauseItem(x decisions.PauseView) pauseItem {
	return pauseItem{
		Scope:      x.Scope,
		ClientID:   x.ClientID,
		ClientName: x.ClientName,
		AgentID:    x.AgentID,
		AgentName:  x.AgentName,
		ByOperator: x.ByOperator,
		Until:      web.TimeOf(x.Until),
		Reason:     x.Reason,
		By:         x.CreatedBy,
		At:         web.TimeOf(x.CreatedAt),
	}
}

func (p *Pauses) listForClient(ctx context.Context, clientID string) (*pausesAnswer, error) {
	found, err := p.Store.List(ctx, clientID)
	if err != nil {
		return nil, err
	}
	out := &pausesAnswer{Pauses: []pauseItem{}}
	for _, x := range found {
		out.Pauses = append(out.Pauses, newPauseItem(x))
	}
	return out, nil
}

func (p *Pauses) listAll(ctx context.Context, _ *web.None) (*pausesAnswer, error) {
	return p.listForClient(ctx, "")
}

func (p *Pauses) list(ctx context.Context, in *web.ClientPath) (*pausesAnswer, error) {
	return p.listForClient(ctx, in.ClientID)
}

type anyPauseRequest struct {
	pauseWish
	Scope    string `json:"scope" binding:"omitempty,oneof=global client agent" doc:"global is needed to pause all agents; it must agree with the ids"`
	ClientID string `json:"client_id" binding:"max=64" doc:"whose agents"`
	AgentID  string `json:"agent_id" binding:"max=64" doc:"which agent"`
}

// checkScope refuses a request that would act on all agents without saying so, and one
// that says another scope than its ids.
func checkScope(said string, on decisions.PauseSubject) error {
	if said == string(on.Scope) || said == "" && on.Scope != engine.ScopeGlobal {
		return nil
	}
	if said == "" {
		return web.InvalidRequest.New(
			"Name client_id or agent_id, or say \"scope\": \"global\" for the agents of all clients.")
	}
	return web.InvalidRequest.New("The scope %s does not agree with the ids: they name %s.", said, on.Scope)
}

func (p *Pauses) pauseAny(ctx context.Context, in *anyPauseRequest) (*pauseAnswer, error) {
	if err := checkScope(in.Scope, pauseSubject(in.ClientID, in.AgentID)); err != nil {
		return nil, err
	}
	return p.set(ctx, pauseSubject(in.ClientID, in.AgentID), in.pauseWish)
}

type anyResumeRequest struct {
	Scope    string `json:"-" form:"scope" binding:"omitempty,oneof=global client agent" doc:"global is needed to lift the pause of all agents"`
	ClientID string `json:"-" form:"client_id" binding:"max=64" doc:"whose agents"`
	AgentID  string `json:"-" form:"agent_id" binding:"max=64" doc:"which agent"`
}

func (p *Pauses) resumeAny(ctx context.Context, in *anyResumeRequest) (*resumeAnswer, error) {
	if err := checkScope(in.Scope, pauseSubject(in.ClientID, in.AgentID)); err != nil {
		return nil, err
	}
	return p.liftPause(ctx, pauseSubject(in.ClientID, in.AgentID))
}

// pauseSubject is the narrowest that is named.
func pauseSubject(clientID, agentID string) decisions.PauseSubject {
	switch {
	case agentID != "":
		return decisions.PauseSubject{Scope: engine.ScopeAgent, ClientID: clientID, AgentID: agentID}
	case clientID != "":
		return decisions.PauseSubject{Scope: engine.ScopeClient, ClientID: clientID}
	default:
		return decisions.PauseSubject{Scope: engine.ScopeGlobal}
	}
}

type pauseAgentRequest struct {
	web.AgentPath
	pauseWish
}

func (p *Pauses) pauseAgent(ctx context.Context, in *pauseAgentRequest) (*pauseAnswer, error) {
	return p.set(ctx, pauseSubject(web.TenantScope(ctx), in.AgentID), in.pauseWish)
}

type resumeAgentRequest struct {
	web.AgentPath
	web.OptionalBody
}

func (p *Pauses) resumeAgent(ctx context.Context, in *resumeAgentRequest) (*resumeAnswer, error) {
	return p.liftPause(ctx, pauseSubject(web.TenantScope(ctx), in.AgentID))
}

type pauseClientRequest struct {
	web.ClientPath
	pauseWish
}

func (p *Pauses) pauseClient(ctx context.Context, in *pauseClientRequest) (*pauseAnswer, error) {
	return p.set(ctx, pauseSubject(in.ClientID, ""), in.pauseWish)
}

type resumeClientRequest struct {
	web.ClientPath
	web.OptionalBody
}

func (p *Pauses) resumeClient(ctx context.Context, in *resumeClientRequest) (*resumeAnswer, error) {
	return p.liftPause(ctx, pauseSubject(in.ClientID, ""))
}
