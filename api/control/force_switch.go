package control

import (
	"context"
	"net/http"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/postgres/views"
	"spotkeeper/workflows"
)

// NotThePrimary means that an instance is a standby, so that it cannot be switched.
var NotThePrimary = fault.Define("instance.not_the_primary", fault.Conflict)

// SwitchViews is the part of postgres.Views that a switch is judged by.
type SwitchViews interface {
	InstancePlace(ctx context.Context, clientID, id string) (*views.InstancePlace, error)
	Pool(ctx context.Context, id string) (*views.PoolPriceView, error)
}

// Switches serves switches that a person requests.
type Switches struct {
	Views     SwitchViews
	Commands  workflows.CommandOrders
	Workflows workflows.SwitchStarter
}

// Routes lists the endpoints.
func (s *Switches) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodPost,
			Path:     "/api/client/instances/:instance_id/force-switch",
			ID:       "forceSwitch",
			Summary:  "Move the agent of an instance to another pool, or to on-demand",
			Auth:     web.Client,
			Launches: true,
			Status:   200,
			Endpoint: web.NewEndpoint(s.force),
			Timeout:  web.GuardianTimeout,
		},
	}
}

type forceSwitchRequest struct {
	web.InstancePath
	web.LegacyValidation
	Target       string `json:"target" binding:"required,oneof=ondemand pool spot"`
	PoolID       string `json:"pool_id" binding:"max=100" doc:"where to, as <instance type>.<zone>; needed unless target is ondemand"`
	InstanceType string `json:"new_instance_type" binding:"max=50"`
}

type forceSwitchAnswer struct {
	Success   bool   `json:"success"`
	CommandID string `json:"command_id"`
	Message   string `json:"message"`
	Operation string `json:"operation_id"`
	Href      string `json:"href"`
}

func (s *Switches) force(ctx context.Context, in *forceSwitchRequest) (*forceSwitchAnswer, error) {
	place, err := s.Views.InstancePlace(ctx, web.TenantScope(ctx), in.InstanceID)
	switch {
	case fault.Is(err, views.InstanceNotFound):
		return nil, views.InstanceNotFound.New("Instance or agent not found")
	case err != nil:
		return nil, err
	case place.AgentID == nil, place.Role == string(agent.Retired), place.Role == string(agent.Retiring), web.Deref(
		place.AgentStatus) == string(agent.StatusDeleted):
		return nil, agent.NotFound.New("No agent assigned to instance")
	case place.Role != string(agent.Primary):
		return nil, NotThePrimary.New("The instance stands by for an agent: promote its replica instead.")
	}
	target, err := s.target(ctx, in)
	if err != nil {
		return nil, err
	}
	notify := "Manual switch queued for " + place.ID
	if in.InstanceType != "" {
		notify += " (type: " + in.InstanceType + ")"
	}
	moves := &workflows.SwitchOrders{Commands: s.Commands, Guardians: s.Workflows}
	moved, err := moves.OrderSwitch(ctx, switching.SwitchRequest{
		AgentID:  *place.AgentID,
		Target:   target,
		Priority: switching.PriorityManual,
		By:       web.ActorName(ctx),
		Reason:   "force-switch",
		Notify:   notify,
	})
	if err != nil {
		return nil, err
	}
	return &forceSwitchAnswer{
		Success: true, CommandID: moved.CommandID, Message: "Switch command queued. Agent will execute on next check.",
		Operation: moved.OperationID, Href: web.OperationHref(moved.OperationID),
	}, nil
}

// target judges where to go. A pool that is not known is not gone to: an agent
// would launch something else and call it that.
func (s *Switches) target(ctx context.Context, in *forceSwitchRequest) (switching.Target, error) {
	if in.Target == "ondemand" {
		return switching.Target{Mode: agent.OnDemand, InstanceType: in.InstanceType}, nil
	}
	if in.PoolID == "" {
		sentence := "Missing data for required field."
		return switching.Target{}, switching.InvalidTarget.New("pool_id is required for a switch to a spot pool").
			With("details", map[string][]string{"pool_id": {sentence}})
	}
	pool, err := s.Views.Pool(ctx, in.PoolID)
	if err != nil {
		return switching.Target{}, err
	}
	if in.InstanceType != "" && in.InstanceType != pool.InstanceType {
		return switching.Target{}, replica.WrongType.New(
			"The pool is of another instance type than new_instance_type").With("pool_type", pool.InstanceType)
	}
	target := switching.Target{Mode: agent.Spot, PoolID: pool.ID, InstanceType: pool.InstanceType}
	return target, target.Validate()
}
