package agents

import (
	"cmp"
	"context"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows"
)

// noticeTimeout is above the wait and below the agents' own 30 s.
const noticeTimeout = 25 * time.Second

// longestWait is how long a notice waits for its outcome at most.
const longestWait = 20 * time.Second

// NoticeStore is the part of postgres.Notices that takes notices in.
type NoticeStore interface {
	Take(ctx context.Context, clientID string, n interruption.Notice, judge roles.NoticeJudge) (*roles.TakenNotice, error)
}

// Aftercare starts what follows from a notice, after its answer.
type Aftercare interface {
	BeginNotice() (done func())
	Add(taken *roles.TakenNotice)
}

// takeNotice makes a notice durable and judges it in one transaction: with a ready
// successor the roles have changed when it returns.
func (r *Replicas) takeNotice(ctx context.Context, scope string, n interruption.Notice) (*roles.TakenNotice, error) {
	defer r.Aftercare.BeginNotice()()
	return r.Notices.Take(ctx, scope, n, roles.JudgeNotice)
}

type terminationRequest struct {
	web.AgentPath
	web.OptionalBody
	InstanceID string           `json:"instance_id" binding:"max=64"`
	Deadline   *web.NoticeTime  `json:"termination_time"`
	DetectedAt *web.NoticeTime  `json:"detected_at"`
	Action     web.NoticeAction `json:"action" example:"terminate"`
	ReplicaID  string           `json:"replica_id" binding:"max=64" doc:"the replica to promote; by default the best"`
}

// terminationAnswer says what became of the agent. Success is true only when
// the agent on the old instance may stop: it does so at once.
type terminationAnswer struct {
	Success        bool   `json:"success"`
	Message        string `json:"message"`
	Action         string `json:"action"`
	NewInstanceID  string `json:"new_instance_id,omitempty"`
	ReplicaID      string `json:"replica_id,omitempty"`
	FailoverTimeMS *int64 `json:"failover_time_ms,omitempty"`
	OperationID    string `json:"operation_id,omitempty"`
	Error          string `json:"error,omitempty"`

	Unproven *web.Unproven `json:"unproven,omitempty" doc:"with action unproven: why no replacement is launched"`
}

// snapshotWanted documents the 503 of a notice: no successor is known, and the agent must
// stay alive. The members beside error and code are missing where a dependency was away.
type snapshotWanted struct {
	Error       string  `json:"error"`
	Code        string  `json:"code" example:"notice.no_replica"`
	Success     *bool   `json:"success,omitempty" doc:"false"`
	Action      *string `json:"action,omitempty" example:"emergency_snapshot_required"`
	Message     *string `json:"message,omitempty"`
	OperationID *string `json:"operation_id,omitempty" doc:"which acts on the notice all the same"`
}

// terminationImminent takes the notice in: with a ready successor the roles change in
// the same transaction, and nothing but Postgres is needed. Otherwise the Guardian
// brings a successor about, and the answer waits for it. A 2xx means that the notice is
// never lost; a 503 means that the agent must stay alive, and the notice is acted on all
// the same.
func (r *Replicas) terminationImminent(ctx context.Context, in *terminationRequest) (*terminationAnswer, error) {
	began := r.Now()
	if in.InstanceID == "" {
		return nil, web.InvalidRequest.New("instance_id is required").With("details",
			map[string][]string{"instance_id": {"Missing data for required field."}})
	}
	scope := web.TenantScope(ctx)
	if in.ReplicaID != "" {
		if err := r.mayPromote(ctx, scope, in.AgentID, in.ReplicaID); err != nil {
			return nil, err
		}
	}
	taken, err := r.takeNotice(ctx, scope, interruption.Notice{
		AgentID:    in.AgentID,
		InstanceID: in.InstanceID,
		Kind:       interruption.Termination,
		Deadline:   in.Deadline.OrZero(),
		Door:       "http",
		Action:     interruption.Action(in.Action),
		ArrivedAt:  began,
		ReplicaID:  in.ReplicaID,
	})
	if err != nil {
		return nil, unknownAgent(err)
	}
	if taken.Verdict.Ruling == roles.RuledFailOver {
		r.Aftercare.Add(taken)
		return promoted(taken.Outcome.NewPrimary, taken.Outcome.ReplicaID, taken.Operation(), r.Now().Sub(began)), nil
	}
	if taken.Role != agent.Primary {
		return r.notPrimary(ctx, scope, taken, in, r.Now().Sub(began))
	}
	if taken.Verdict.Ruling == roles.RuledUnproven {
		return r.unproven(ctx, in.AgentID, in.InstanceID)
	}
	order := workflows.NoticeInput{
		InstanceID: in.InstanceID,
		Deadline:   taken.Outcome.Deadline,
		ReplicaID:  in.ReplicaID,
		Wait:       r.NoticeWait,
	}
	if order.Wait <= 0 || order.Wait > longestWait {
		order.Wait = longestWait
	}
	answer, err := r.Workflows.TerminationNotice(ctx, in.AgentID, order)
	if err != nil {
		return nil, err
	}
	return r.outcome(ctx, in.AgentID, in.InstanceID, taken.Set.Launcher, answer, r.Now().Sub(began))
}

// unknownAgent gives agents and pages the sentence they know.
func unknownAgent(err error) error {
	if agentUnknown(err) {
		return agent.NotFound.New("Agent not found")
	}
	return err
}

// mayPromote judges a replica that the agent asks for by name. Its readiness is
// the Guardian's business; that it is the agent's own is ours.
func (r *Replicas) mayPromote(ctx context.Context, scope, agentID, replicaID string) error {
	view, err := r.Views.Replica(ctx, scope, agentID, replicaID)
	if fault.Is(err, replica.NotFound) || err == nil && view.InstanceID == nil {
		return replica.NotFound.New("Replica instance_id not found")
	}
	return err
}

// notPrimary answers for an instance that is not the primary: it was replaced, it is a
// standby, or it is unknown. Only an instance that was replaced may stop. When the
// instance's successor still is the primary, the answer is that failover; otherwise it is
// the present primary.
func (r *Replicas) notPrimary(
	ctx context.Context,
	scope string,
	taken *roles.TakenNotice,
	in *terminationRequest,
	took time.Duration,
) (*terminationAnswer, error) {
	o := taken.Outcome
	switch {
	case !taken.Known:
		return &terminationAnswer{
			Action:  "not_primary",
			Message: "This instance is not known to play a part for the agent: nothing is done.",
		}, nil
	case o.Result == interruption.Promoted && o.NewPrimary == taken.Set.Primary.ID:
		return promoted(o.NewPrimary, o.ReplicaID, workflows.TerminationID(in.AgentID, in.InstanceID), took), nil
	case taken.Role == agent.Retiring || taken.Role == agent.Retired:
		return r.replaced(ctx, scope, in.AgentID)
	}
	r.Aftercare.Add(taken) // a replica that is about to go is no candidate any more
	return &terminationAnswer{Action: "not_primary", Message: "This instance is a replica, not the primary.",
		OperationID: workflows.TerminationID(in.AgentID, in.InstanceID)}, nil
}

// replaced answers for an instance whose agent has moved already.
func (r *Replicas) replaced(ctx context.Context, scope, agentID string) (*terminationAnswer, error) {
	a, err := r.Views.Agent(ctx, scope, agentID)
	if err != nil {
		return nil, err
	}
	return &terminationAnswer{
		Success:       true,
		Action:        "already_replaced",
		Message:       "This instance was replaced before.",
		NewInstanceID: web.Deref(a.InstanceID),
	}, nil
}

func (r *Replicas) outcome(
	ctx context.Context,
	agentID, instanceID string,
	launcher agent.Launcher,
	answer *workflows.NoticeAnswer,
	took time.Duration,
) (*terminationAnswer, error) {
	operation := cmp.Or(answer.OperationID, workflows.TerminationID(agentID, instanceID))
	switch {
	case answer.Status == workflows.NoticePromoted:
		return promoted(answer.NewPrimary, answer.ReplicaID, operation, took), nil
	case answer.Status == workflows.NoticeInProgress && launcher != agent.ByAgent:
		return &terminationAnswer{
			Success:     true,
			Action:      "failover_in_progress",
			Message:     "A replacement is being made: the failover completes without this agent.",
			OperationID: operation,
		}, nil
	case answer.Status == workflows.NoticeNotPrimary: // it moved while we asked
		return r.replaced(ctx, web.TenantScope(ctx), agentID)
	}
	return nil, interruption.NoReplica.New("No replica available").With("success", false).With("action",
		"emergency_snapshot_required").
		With("message", "Agent should create emergency state snapshot and upload to S3").With("operation_id", operation)
}

func promoted(newPrimary, replicaID, operationID string, took time.Duration) *terminationAnswer {
	ms := took.Milliseconds()
	return &terminationAnswer{
		Success: true, Action: "replica_promoted", Message: "Automatic failover completed",
		NewInstanceID: newPrimary, ReplicaID: replicaID, FailoverTimeMS: &ms, OperationID: operationID,
	}
}
