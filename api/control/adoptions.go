package control

import (
	"context"
	"net/http"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/postgres/agents"
)

// AdoptionStore is the part of agents.Adoptions that its route uses.
type AdoptionStore interface {
	AskAgain(ctx context.Context, clientID, instanceID, by string) (*agents.AdoptionState, error)
}

// Adoptions has EC2 asked again whose an instance is.
type Adoptions struct{ Store AdoptionStore }

// Routes lists the endpoints.
func (a *Adoptions) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodPost,
			Path:     "/api/client/instances/:instance_id/adopt",
			ID:       "adoptInstance",
			Summary:  "Ask EC2 again whether an instance is the client's",
			Auth:     web.Client,
			Status:   202,
			Endpoint: web.NewEndpoint(a.ask),
		},
	}
}

type adoptRequest struct {
	web.InstancePath
	web.OptionalBody
}

type adoptionAnswer struct {
	InstanceID string        `json:"instance_id"`
	Proof      string        `json:"proof" doc:"launched, adopted or unproven"`
	Unproven   *web.Unproven `json:"unproven" doc:"null when it is proven; otherwise what EC2 said last"`
	AdoptedAt  *web.Time     `json:"adopted_at"`
	Operation  *string       `json:"operation_id" doc:"of the adoption that is under way"`
}

// ask makes the adoption of an instance due. What EC2 says shows in the operation, and in
// the agent's state.
func (a *Adoptions) ask(ctx context.Context, in *adoptRequest) (*adoptionAnswer, error) {
	s, err := a.Store.AskAgain(ctx, web.TenantScope(ctx), in.InstanceID, web.ActorName(ctx))
	if err != nil {
		return nil, err
	}
	out := &adoptionAnswer{
		InstanceID: in.InstanceID,
		Proof:      string(s.Proof),
		AdoptedAt:  web.NewTime(s.AdoptedAt),
		Operation:  web.NilIfEmpty(s.OperationID),
	}
	if s.Proof == adoption.Unproven {
		out.Unproven = &web.Unproven{Cause: string(s.Cause), Reason: s.Reason, Repair: s.Repair}
	}
	return out, nil
}
