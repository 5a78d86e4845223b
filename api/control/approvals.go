package control

import (
	"context"
	"net/http"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/approval"
	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/postgres/decisions"
	"spotkeeper/internal/postgres/pg"
)

// ApprovalStore is decisions.Approvals.
type ApprovalStore interface {
	List(ctx context.Context, clientID, state string, p pg.Page) ([]decisions.ApprovalView, error)
	Get(ctx context.Context, clientID, id string) (*decisions.ApprovalView, error)
	GetLinked(ctx context.Context, id, sinkID string) (*decisions.ApprovalView, error)
	Answer(ctx context.Context, in decisions.Answer) (out *decisions.ApprovalView, note string, err error)
}

// MoveRuleStore is decisions.MoveRules.
type MoveRuleStore interface {
	Rules(ctx context.Context, clientID string) (approval.Rules, error)
	SetRules(ctx context.Context, clientID string, rules approval.Rules, by string) error
}

// Approvals serve what a client allows of voluntary moves, and the questions that follow from
// it. Failovers, and switches that a person forces, ask for no approval.
type Approvals struct {
	Store ApprovalStore
	Rules MoveRuleStore
	Links approval.Links
	Now   func() time.Time
}

// Routes lists the endpoints.
func (a *Approvals) Routes() []web.Route {
	const (
		rules = "/api/client/:client_id/move-rules"
		list  = "/api/approvals"
		one   = list + "/:approval_id"
	)
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     rules,
			ID:       "getMoveRules",
			Summary:  "Show which voluntary moves of a client are made, asked about or never made, and when",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(a.showRules),
		},
		{
			Method:   http.MethodPut,
			Path:     rules,
			ID:       "setMoveRules",
			Summary:  "Change which voluntary moves of a client are made, asked about or never made, and when",
			Auth:     web.Client,
			Scope:    credentials.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(a.changeRules),
		},
		{
			Method:   http.MethodGet,
			Path:     list,
			ID:       "listApprovals",
			Summary:  "List voluntary moves that wait for approval, and those that were answered, newest first",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(a.list),
		},
		{
			Method:   http.MethodGet,
			Path:     one,
			ID:       "getApproval",
			Summary:  "Show a voluntary move that waits for approval, or was answered",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(a.show),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/approve",
			ID:       "approveMove",
			Summary:  "Approve a voluntary move",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(a.approve),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/reject",
			ID:       "rejectMove",
			Summary:  "Reject a voluntary move: the agent stays",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(a.reject),
		},
	}
}

// movePolicies say what is done about each kind of voluntary move.
type movePolicies struct {
	ToSpot      approval.Policy `json:"to_spot" binding:"omitempty,oneof=auto ask never" doc:"an engine's moves to a spot pool; auto when left out" enum:"auto ask never"`
	ToOnDemand  approval.Policy `json:"to_ondemand" binding:"omitempty,oneof=auto ask never" doc:"an engine's moves to on-demand; auto when left out" enum:"auto ask never"`
	Requested   approval.Policy `json:"requested" binding:"omitempty,oneof=auto ask never" doc:"moves that a program asks for by issue-switch-command; auto when left out" enum:"auto ask never"`
	Maintenance approval.Policy `json:"maintenance" binding:"omitempty,oneof=auto ask never" doc:"moves before a change that AWS has scheduled, until an hour before it; auto when left out" enum:"auto ask never"`
}

// moveWindow is a time in which voluntary moves may begin.
type moveWindow struct {
	Cron    string `json:"cron" binding:"required,max=100" doc:"when it opens, in five fields, as 0 2 * * 1-5"`
	Zone    string `json:"zone" binding:"max=64" doc:"time zone, as Europe/Berlin; UTC when left out" example:"Europe/Berlin"`
	Minutes int    `json:"minutes" doc:"how long it is open, 15 to 10080"`
}

type moveRules struct {
	Policies      movePolicies `json:"policies" doc:"what is done about each kind of voluntary move"`
	AnswerMinutes *int         `json:"answer_minutes" doc:"how long a question waits, 15 to 10080; then the agent stays; 1440 when left out" example:"240"`
	Windows       []moveWindow `json:"windows" binding:"max=20,dive" doc:"when voluntary moves may begin; none: at any time"`
}

type moveRulesAnswer struct {
	moveRules

	OpensAt *web.ExactTime `json:"opens_at" doc:"when the next window opens; null while moves may begin"`
}

func (a *Approvals) showRules(ctx context.Context, in *web.ClientPath) (*moveRulesAnswer, error) {
	r, err := a.Rules.Rules(ctx, in.ClientID)
	if err != nil {
		return nil, err
	}
	out := &moveRulesAnswer{moveRules: moveRules{
		Policies: movePolicies{
			ToSpot:      r.PolicyOf(approval.ToSpot),
			ToOnDemand:  r.PolicyOf(approval.ToOnDemand),
			Requested:   r.PolicyOf(approval.Requested),
			Maintenance: r.PolicyOf(approval.Maintenance),
		},
		AnswerMinutes: &r.AnswerMinutes,
		Windows:       web.MapAll(r.Windows, func(w approval.Window) moveWindow { return moveWindow(w) }),
	}}
	if open, next := r.IsOpen(a.Now()); !open && !next.IsZero() {
		out.OpensAt = &web.ExactTime{Time: next}
	}
	return out, nil
}

type setMoveRulesRequest struct {
	web.ClientPath
	moveRules
}

func (a *Approvals) changeRules(ctx context.Context, in *setMoveRulesRequest) (*moveRulesAnswer, error) {
	rules := approval.Rules{
		Policies:      map[approval.Kind]approval.Policy{},
		AnswerMinutes: web.ValueOr(in.AnswerMinutes, approval.DefaultAnswer),
		Windows:       web.MapAll(in.Windows, func(w moveWindow) approval.Window { return approval.Window(w) }),
	}
	for kind, policy := range map[approval.Kind]approval.Policy{
		approval.ToSpot:      in.Policies.ToSpot,
		approval.ToOnDemand:  in.Policies.ToOnDemand,
		approval.Requested:   in.Policies.Requested,
		approval.Maintenance: in.Policies.Maintenance,
	} {
		if policy != "" {
			rules.Policies[kind] = policy
		}
	}
	if err := rules.Validate(a.Now()); err != nil {
		return nil, err
	}
	if err := a.Rules.SetRules(ctx, in.ClientID, rules, web.ActorName(ctx)); err != nil {
		return nil, err
	}
	return a.showRules(ctx, &in.ClientPath)
}

type listApprovalsRequest struct {
	After web.Cursor `json:"-" form:"after" doc:"next of the page before"`
	Limit *int       `json:"-" form:"limit" binding:"omitempty,min=1,max=200" doc:"at most so many; 50 by default"`

	ClientID string `json:"-" form:"client_id" binding:"max=64" doc:"only about agents of this client; a tenant reads its own"`
	State    string `json:"-" form:"state" binding:"omitempty,oneof=pending approved rejected lapsed outdated used" doc:"only those that stand so"`
}

type approvalList struct {
	Approvals []approvalItem `json:"approvals" doc:"the questions about moves"`
	Next      *string        `json:"next"`
}

type approvalItem struct {
	ID           string         `json:"id"`
	ClientID     string         `json:"client_id"`
	ClientName   string         `json:"client_name"`
	AgentID      string         `json:"agent_id"`
	AgentName    string         `json:"agent_name"`
	InstanceID   string         `json:"instance_id" doc:"the primary that the agent would leave"`
	Kind         approval.Kind  `json:"kind" enum:"to_spot to_ondemand requested maintenance"`
	Mode         agent.Mode     `json:"target_mode"`
	PoolID       *string        `json:"target_pool_id" doc:"null on demand"`
	InstanceType *string        `json:"target_instance_type" doc:"null: as it is" example:"m5.large"`
	Reason       string         `json:"reason" doc:"why it is to move"`
	AskedBy      string         `json:"asked_by" doc:"what wanted the move" example:"fleet-decisions"`
	State        approval.State `json:"state" enum:"pending approved rejected lapsed outdated used" doc:"approved: it is made while it is still worth it; lapsed: not answered or not made in time; outdated: the agent has left the instance, or is asked about no longer; used: the move was ordered"`
	AskedAt      web.ExactTime  `json:"asked_at" doc:"when the question was asked"`
	ExpiresAt    web.ExactTime  `json:"expires_at" doc:"of a pending one: until when it is answered; of an approved one: until when it is made"`
	AnsweredAt   *web.ExactTime `json:"answered_at" doc:"when it was approved or rejected"`
	AnsweredBy   *string        `json:"answered_by" doc:"who approved or rejected it" example:"operator:oncall"`
	Operation    *string        `json:"operation_id" doc:"the switch that was made of it"`
}

func newApprovalItem(x decisions.ApprovalView) approvalItem {
	out := approvalItem{
		ID:           x.ID,
		ClientID:     x.ClientID,
		ClientName:   x.ClientName,
		AgentID:      x.AgentID,
		AgentName:    x.AgentName,
		InstanceID:   x.InstanceID,
		Kind:         x.Kind,
		Mode:         x.Mode,
		PoolID:       web.NilIfEmpty(x.PoolID),
		InstanceType: web.NilIfEmpty(x.InstanceType),
		Reason:       x.Reason,
		AskedBy:      x.AskedBy,
		State:        x.State,
		AskedAt:      web.ExactTime{Time: x.AskedAt},
		ExpiresAt:    web.ExactTime{Time: x.ExpiresAt},
		AnsweredBy:   web.NilIfEmpty(x.AnsweredBy),
	}
	if x.AnsweredAt != nil {
		out.AnsweredAt = &web.ExactTime{Time: *x.AnsweredAt}
	}
	if x.CommandID != "" {
		id := "switch/" + x.CommandID
		out.Operation = &id
	}
	return out
}

func (a *Approvals) list(ctx context.Context, in *listApprovalsRequest) (*approvalList, error) {
	clientID := in.ClientID
	if tenant := web.TenantScope(ctx); tenant != "" {
		clientID = tenant
	}
	turning := web.Paging{After: in.After} // its next page is in the body
	found, err := a.Store.List(ctx, clientID, in.State, turning.PageOf(web.ValueOr(in.Limit, 50)))
	found, err = web.FinishPage(&turning, found, err, func(x decisions.ApprovalView) pg.Cursor {
		return pg.Cursor{At: x.AskedAt, ID: x.ID}
	})
	items, err := web.MapRows(found, err, newApprovalItem)
	if err != nil {
		return nil, err
	}
	return &approvalList{Approvals: *items, Next: turning.NextCursor()}, nil
}

// approvalPath names a question.
type approvalPath struct {
	ApprovalID string `json:"-" uri:"approval_id"`
}

func (a *Approvals) show(ctx context.Context, in *approvalPath) (*approvalItem, error) {
	found, err := a.Store.Get(ctx, web.TenantScope(ctx), in.ApprovalID)
	if err != nil {
		return nil, err
	}
	out := newApprovalItem(*found)
	return &out, nil
}

type answerRequest struct {
	web.OptionalBody
	approvalPath
}

type approvalAnswer struct {
	approvalItem

	Note *string `json:"note" doc:"what may keep the approved move from being made"`
}

func (a *Approvals) approve(ctx context.Context, in *answerRequest) (*approvalAnswer, error) {
	return a.answer(ctx, in.ApprovalID, true)
}

func (a *Approvals) reject(ctx context.Context, in *answerRequest) (*approvalAnswer, error) {
	return a.answer(ctx, in.ApprovalID, false)
}

func (a *Approvals) answer(ctx context.Context, id string, approve bool) (*approvalAnswer, error) {
	found, note, err := a.Store.Answer(ctx, decisions.Answer{
		ID: id, ClientID: web.TenantScope(ctx), Approve: approve, By: web.ActorName(ctx),
	})
	if err != nil {
		return nil, err
	}
	return &approvalAnswer{newApprovalItem(*found), web.NilIfEmpty(note)}, nil
}

// Linked reads the question of a webhook's link. Fails with approval.bad_link and
// approval.not_found.
func (a *Approvals) Linked(ctx context.Context, id, sinkID, token string) (*decisions.ApprovalView, error) {
	if err := a.Links.Check(id, sinkID, token); err != nil {
		return nil, err
	}
	return a.Store.GetLinked(ctx, id, sinkID)
}

// AnswerLinked answers a question by a webhook's link. Fails as Linked and as an answer do.
func (a *Approvals) AnswerLinked(ctx context.Context, id, sinkID, token string, approve bool) (*decisions.ApprovalView, string, error) {
	found, err := a.Linked(ctx, id, sinkID, token)
	if err != nil {
		return nil, "", err
	}
	return a.Store.Answer(ctx, decisions.Answer{
		ID: id, ClientID: found.ClientID, Approve: approve, By: "link of webhook " + sinkID,
	})
}
