package control

import (
	"context"
	"net/http"

	"spotkeeper/activities"
	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/sweeps"
)

// LeftOverStore is the part of sweeps.LeftOvers that its route uses.
type LeftOverStore interface {
	Decide(ctx context.Context, clientID, instanceID string, end bool, by string) (*sweeps.LeftOver, error)
}

// Nudger sends news to the workflow of an operation.
type Nudger interface {
	Nudge(ctx context.Context, in activities.Nudge) error
}

// LeftOvers lets a person decide on an old primary that AWS has announced the end of and
// has not taken.
type LeftOvers struct {
	Store     LeftOverStore
	Workflows Nudger
}

// Routes lists the endpoints.
func (l *LeftOvers) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodPost,
			Path:     "/api/client/instances/:instance_id/left-over",
			ID:       "decideLeftOver",
			Summary:  "End or keep an old instance that AWS announced the end of and has not taken",
			Auth:     web.Client,
			Status:   202,
			Endpoint: web.NewEndpoint(l.decide),
		},
	}
}

type leftOverRequest struct {
	web.InstancePath
	Action string `json:"action" binding:"required,oneof=end keep" doc:"end: it is terminated; keep: it is left to its owner"`
}

type leftOverAnswer struct {
	InstanceID string `json:"instance_id"`
	AgentID    string `json:"agent_id"`
	Operation  string `json:"operation_id" doc:"which carries it out"`
	Href       string `json:"href"`
}

// decide makes the decision durable. A message that gets lost is made up for by the sweep.
func (l *LeftOvers) decide(ctx context.Context, in *leftOverRequest) (*leftOverAnswer, error) {
	got, err := l.Store.Decide(ctx, web.TenantScope(ctx), in.InstanceID, in.Action == "end", web.ActorName(ctx))
	if err != nil {
		return nil, err
	}
	if err := l.Workflows.Nudge(ctx, activities.Nudge{OperationID: got.Operation, AgentID: got.AgentID}); err != nil {
		web.LoggerFrom(ctx).WarnContext(ctx, "a termination has no news yet of a decision", "agent_id", got.AgentID,
			"operation_id", got.Operation, "error", err)
	}
	return &leftOverAnswer{
		InstanceID: in.InstanceID,
		AgentID:    got.AgentID,
		Operation:  got.Operation,
		Href:       web.OperationHref(got.Operation),
	}, nil
}
