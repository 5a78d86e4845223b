package agents

import (
	"cmp"
	"context"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
	"spotkeeper/workflows"
)

// createReplicaRequest asks for a standby, or with an instance_id reports one
// that the agent has launched already.
type createReplicaRequest struct {
	web.AgentPath
	web.OptionalBody
	PoolID        *string           `json:"pool_id" binding:"omitempty,max=100"`
	ExcludeZones  []string          `json:"exclude_zones" binding:"max=50,dive,max=64"`
	MaxHourlyCost *float64          `json:"max_hourly_cost" binding:"omitempty,min=0,max=1000"`
	CreatedBy     string            `json:"created_by" binding:"max=255"`
	Tags          map[string]string `json:"tags" binding:"max=50"`
	InstanceID    string            `json:"instance_id" binding:"max=64"`
	ReplicaType   string            `json:"replica_type" binding:"omitempty,oneof=manual emergency"`
	ParentID      string            `json:"parent_instance_id" binding:"max=64"`
	State         string            `json:"status" binding:"omitempty,oneof=launching syncing ready"`
	Key           string            `json:"-" header:"Idempotency-Key" binding:"max=200"`
}

type createReplicaAnswer struct {
	Success    bool       `json:"success"`
	ReplicaID  string     `json:"replica_id"`
	InstanceID string     `json:"instance_id"`
	Pool       poolAnswer `json:"pool"`
	HourlyCost *float64   `json:"hourly_cost"`
	Status     string     `json:"status"`
	Message    string     `json:"message"`
	Operation  string     `json:"operation_id,omitempty"`
}

func (r *Replicas) create(ctx context.Context, in *createReplicaRequest) (*createReplicaAnswer, error) {
	a, err := r.Views.Agent(ctx, web.TenantScope(ctx), in.AgentID)
	if err != nil || a.Status == agent.StatusDeleted || in.InstanceID == "" && a.Status != agent.StatusOnline {
		if err == nil || agentUnknown(err) {
			err = agent.NotFound.New("Agent not found or offline")
		}
		return nil, err
	}
	order := workflows.CreateReplicaInput{
		Plan:      replica.Plan{Mode: agent.Spot, ExcludeZones: in.ExcludeZones},
		CreatedBy: cmp.Or(in.CreatedBy, "unknown"),
		Tags:      in.Tags,
		RequestID: idempotencyKey(ctx, "create-replica", in.AgentID, in.Key),
	}
	if in.MaxHourlyCost != nil {
		order.Plan.MaxHourlyCost = *in.MaxHourlyCost
	}
	if in.InstanceID != "" {
		r.reported(in, &order)
	} else if err := r.standby(ctx, a, in, &order); err != nil {
		return nil, err
	}
	answer, err := r.Workflows.CreateReplica(ctx, a.ID, order)
	if err != nil {
		return nil, err
	}
	view, err := r.Views.Replica(ctx, a.ClientID, a.ID, answer.ReplicaID)
	if err != nil {
		return nil, err
	}
	return &createReplicaAnswer{
		Success:    true,
		ReplicaID:  view.ID,
		InstanceID: instanceOf(*view),
		Pool:       newReplicaBody(*view).Pool,
		HourlyCost: view.HourlyCost,
		Status:     view.State.LegacyWord(),
		Message:    "Replica is launching. Connect your agent to establish sync.",
		Operation:  answer.OperationID,
	}, nil
}

// reported binds an instance that exists. Refusing it would leave it running
// and nothing would end it, so neither the mode nor a limit is asked.
func (r *Replicas) reported(in *createReplicaRequest, order *workflows.CreateReplicaInput) {
	order.InstanceID, order.ParentID, order.Ready = in.InstanceID, in.ParentID, in.State == "ready"
	order.Kind = replica.Manual
	if in.ReplicaType == "emergency" {
		order.Kind = replica.Rebalance
	}
	if in.PoolID != nil {
		if _, _, err := agent.SplitPool(*in.PoolID); err == nil {
			order.Plan.Pool = *in.PoolID
		}
	}
}

// standby judges a request for the standby of manual mode, in the order in which
// pages know the refusals.
func (r *Replicas) standby(
	ctx context.Context,
	a *views.AgentView,
	in *createReplicaRequest,
	order *workflows.CreateReplicaInput,
) error {
	if a.Keeping != agent.KeepManual {
		return replica.NotAllowed.New("Manual replicas not enabled for this agent").With("hint",
			"Enable manual_replica_enabled in agent settings")
	}
	if in.PoolID != nil && *in.PoolID != "" {
		pool, err := r.Views.Pool(ctx, *in.PoolID)
		if err != nil {
			return err
		}
		if a.InstanceType != nil && pool.InstanceType != *a.InstanceType {
			return replica.WrongType.New("Pool instance type mismatch").With("agent_type", *a.InstanceType).
				With("pool_type", pool.InstanceType)
		}
		if a.Region != nil && *a.Region != "" && pool.Region != *a.Region {
			return switching.InvalidTarget.New(
				"The pool %s lies in %s and the agent runs in %s: a standby lives in its agent's region.",
				pool.ID, pool.Region, *a.Region)
		}
		order.Plan.Pool = pool.ID
	}
	existing, err := r.Views.AgentReplicas(ctx, a.ClientID, a.ID, false, pg.Page{})
	if err != nil {
		return err
	}
	for _, x := range existing {
		if x.State.IsOpen() && x.Kind == replica.Manual {
			return replica.AlreadyExists.New("Replica already exists for this agent").
				With("current_count", 1).With("max_allowed", 1).With("replica_id", x.ID).
				With("note", "Manual replica mode maintains exactly 1 replica. Delete existing replica first.")
		}
	}
	return nil
}
