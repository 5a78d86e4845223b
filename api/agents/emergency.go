package agents

import (
	"cmp"
	"context"
	"fmt"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/views"
	"spotkeeper/workflows"
)

type emergencyRequest struct {
	web.AgentPath
	web.OptionalBody
	Signal     web.Text        `json:"signal_type"`
	InstanceID string          `json:"instance_id" binding:"max=64"`
	Deadline   *web.NoticeTime `json:"termination_time"`
}

type emergencyPool struct {
	ID   *string `json:"id"`
	Name *string `json:"name"`
	AZ   *string `json:"az"`
}

type emergencyAnswer struct {
	Success    bool           `json:"success"`
	ReplicaID  *string        `json:"replica_id"`
	InstanceID *string        `json:"instance_id"`
	Pool       *emergencyPool `json:"pool"`
	HourlyCost *float64       `json:"hourly_cost"`
	Message    string         `json:"message"`
	Urgency    string         `json:"urgency"`
	Operation  string         `json:"operation_id,omitempty"`
	Unproven   *web.Unproven  `json:"unproven,omitempty"`
	status     int
}

// Status implements Statused.
func (a *emergencyAnswer) Status() int { return a.status }

// emergency asks for a replica, once per instance and signal. An instance that
// is not the primary, because it was replaced or is not known, needs none: the
// signal is only acknowledged, so that the agent on that instance goes on.
func (r *Replicas) emergency(ctx context.Context, in *emergencyRequest) (*emergencyAnswer, error) {
	kind, urgency := interruption.Kind(in.Signal), "high"
	if !kind.Valid() {
		return nil, interruption.UnknownKind.New("Invalid signal_type")
	}
	if kind == interruption.Termination {
		urgency = "critical"
	}
	a, err := r.findAgent(ctx, in.AgentID)
	if err != nil {
		return nil, err
	}
	if kind == interruption.Rebalance && a.Keeping != agent.KeepAuto {
		return nil, agent.AutoOff.New("Emergency replica creation disabled").
			With("reason",
				"auto_switch_enabled is OFF. Enable auto-switch mode in agent configuration to allow automatic emergency replicas.").
			With("hint", "Turn on Auto-Switch Mode in agent settings to enable emergency failover protection")
	}
	notice := interruption.Notice{
		AgentID:    a.ID,
		InstanceID: cmp.Or(in.InstanceID, web.Deref(a.InstanceID)),
		Kind:       kind,
		Deadline:   in.Deadline.OrZero(),
		Door:       "http",
		ArrivedAt:  r.Now(),
	}
	taken, err := r.takeNotice(ctx, a.ClientID, notice)
	if err != nil {
		return nil, unknownAgent(err)
	}
	if taken.Verdict.Ruling == roles.RuledFailOver {
		return r.failedOver(ctx, a, taken, urgency)
	}
	if taken.Role != agent.Primary {
		r.Aftercare.Add(taken)
		return &emergencyAnswer{
			Success: true,
			Urgency: urgency,
			status:  200,
			Message: fmt.Sprintf("Instance %s is not the primary of this agent: it needs no replica.",
				notice.InstanceID),
		}, nil
	}
	if taken.Verdict.Ruling == roles.RuledUnproven {
		answer, err := r.unproven(ctx, a.ID, notice.InstanceID)
		if err != nil {
			return nil, err
		}
		return &emergencyAnswer{Urgency: urgency, status: 200, Message: answer.Message, Unproven: answer.Unproven}, nil
	}
	ask := workflows.EmergencyInput{InstanceID: notice.InstanceID, Kind: kind, Deadline: taken.Outcome.Deadline}
	if kind == interruption.Rebalance {
		ask.Hold = r.RebalanceHold
	}
	answer, err := r.Workflows.EmergencyReplica(ctx, a.ID, ask)
	if err != nil {
		return nil, err
	}
	out := &emergencyAnswer{
		Success:   true,
		Urgency:   urgency,
		Operation: answer.OperationID,
		status:    201,
		Message:   "An emergency replica is launching.",
	}
	if answer.Existing {
		out.Message = "There is a replica for this instance already."
	}
	if answer.ReplicaID == "" {
		return out, nil
	}
	out.ReplicaID = &answer.ReplicaID
	return out, r.describe(ctx, a, answer.ReplicaID, out)
}

// failedOver answers for an agent that a ready successor took over from at once.
func (r *Replicas) failedOver(
	ctx context.Context,
	a *views.AgentView,
	taken *roles.TakenNotice,
	urgency string,
) (*emergencyAnswer, error) {
	r.Aftercare.Add(taken)
	out := &emergencyAnswer{
		Success:   true,
		Urgency:   urgency,
		Operation: taken.Operation(),
		status:    201,
		ReplicaID: &taken.Outcome.ReplicaID,
		Message:   "There is a replica for this instance already.",
	}
	return out, r.describe(ctx, a, taken.Outcome.ReplicaID, out)
}

func (r *Replicas) describe(ctx context.Context, a *views.AgentView, replicaID string, out *emergencyAnswer) error {
	view, err := r.Views.Replica(ctx, a.ClientID, a.ID, replicaID)
	if err != nil {
		return err
	}
	instance, pool := instanceOf(*view), newReplicaBody(*view).Pool
	out.InstanceID, out.HourlyCost = &instance, view.HourlyCost
	if pool.ID != nil {
		out.Pool = &emergencyPool{ID: pool.ID, Name: pool.Name, AZ: pool.AZ}
	}
	return nil
}

// findAgent reads an agent that is not deleted. Fails with agent.not_found.
func (r *Replicas) findAgent(ctx context.Context, agentID string) (*views.AgentView, error) {
	a, err := r.Views.Agent(ctx, web.TenantScope(ctx), agentID)
	if err == nil && a.Status == agent.StatusDeleted {
		err = agent.NotFound.New("Agent not found")
	}
	return a, err
}
