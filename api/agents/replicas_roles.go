package agents

import (
	"cmp"
	"context"
	"strings"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/workflows"
)

// PrimaryNow means that a replica was promoted and is the primary.
var PrimaryNow = fault.Define("replica.is_primary_now", fault.Invalid)

// syncPatience is how long a promotion waits for a replica that is not ready.
const syncPatience = 10 * time.Minute

type promoteRequest struct {
	replicaPath
	web.OptionalBody
	Demote *web.Bool `json:"demote_old_primary" doc:"true, the default: the old primary becomes the standby; false: it is retired"`
	Wait   *web.Bool `json:"wait_for_sync" doc:"wait until the replica is ready, at most ten minutes"`
	Silent *web.Bool `json:"accept_silent" doc:"promote although the agent on the standby has not been heard of: its work may not run"`
	Key    string    `json:"-" header:"Idempotency-Key" binding:"max=200"`
}

type promoteAnswer struct {
	Success    bool      `json:"success"`
	Message    string    `json:"message"`
	NewPrimary string    `json:"new_instance_id"`
	OldPrimary string    `json:"old_instance_id"`
	Demoted    bool      `json:"demoted"`
	At         *web.Time `json:"switch_time"` // null while it waits
	Operation  string    `json:"operation_id"`
	Pending    bool      `json:"pending,omitempty"`
	Warning    string    `json:"warning,omitempty" doc:"what follows when the agent on the standby has not been heard of"`
}

func (r *Replicas) promote(ctx context.Context, in *promoteRequest) (*promoteAnswer, error) {
	view, err := r.Views.Replica(ctx, web.TenantScope(ctx), in.AgentID, in.ReplicaID)
	ended := err == nil && (view.State == replica.Retired || view.State == replica.Retiring ||
		view.State == replica.Failed)
	if ended || fault.Is(err, replica.NotFound) {
		return nil, replica.NotFound.New("Replica not found or inactive")
	}
	if err != nil {
		return nil, err
	}
	if view.State != replica.Ready && view.State != replica.Running {
		return nil, replica.NotReady.New("Replica not ready for promotion").With("current_status", view.State.LegacyWord()).
			With("required_status", "ready or syncing")
	}
	if r.Lock != nil && view.InstanceID != nil {
		if err := r.Lock.RequireOurs(ctx, in.AgentID, *view.InstanceID); err != nil {
			return nil, err
		}
	}
	order := workflows.PromoteInput{
		ReplicaID: view.ID,
		Demote:    in.Demote.Or(true),
		By:        web.ActorName(ctx),
		RequestID: idempotencyKey(ctx, "promote", view.ID, in.Key),

		AcceptSilent: in.Silent.Or(false),
	}
	if view.State == replica.Running || in.Wait.Or(false) {
		order.Wait = syncPatience
	}
	answer, err := r.Workflows.Promote(ctx, in.AgentID, order)
	if err != nil {
		return nil, err
	}
	out := &promoteAnswer{
		Success:    true,
		Message:    "Replica promoted to primary",
		NewPrimary: cmp.Or(answer.NewPrimary, instanceOf(*view)),
		OldPrimary: answer.OldPrimary,
		Demoted:    order.Demote,
		At:         web.NewTime(&answer.At),
		Operation:  answer.OperationID,
	}
	if !answer.Changed {
		out.Message, out.At, out.Pending = "The replica will be promoted as soon as it is ready and its agent is heard of", nil,
			true
	}
	out.Warning = warnOfSilence(answer, order, out.NewPrimary)
	return out, nil
}

// warnOfSilence explains what follows when a standby's agent has sent no heartbeat, "" when it has.
func warnOfSilence(answer *workflows.PromoteAnswer, order workflows.PromoteInput, instanceID string) string {
	switch {
	case !answer.Silent:
		return ""
	case !answer.Changed:
		return "The agent on " + instanceID + " has not been heard of. The promotion waits five minutes for it and is given up then. " +
			"accept_silent promotes without it."
	case order.Demote:
		return "The agent on " + instanceID + " has not been heard of: if its work does not start there, promote the old primary, " +
			"which stays as the standby."
	default:
		return "The agent on " + instanceID + " has not been heard of: if its work does not start there, it runs nowhere, " +
			"because the old primary is ended."
	}
}

type removeReplicaRequest struct {
	replicaPath
	Key string `json:"-" header:"Idempotency-Key" binding:"max=200"`
}

type removeReplicaAnswer struct {
	Success      bool     `json:"success"`
	Message      string   `json:"message"`
	ReplicaID    string   `json:"replica_id"`
	TerminatedAt web.Time `json:"terminated_at"`
}

func (r *Replicas) remove(ctx context.Context, in *removeReplicaRequest) (*removeReplicaAnswer, error) {
	view, err := r.Views.Replica(ctx, web.TenantScope(ctx), in.AgentID, in.ReplicaID)
	if err != nil {
		return nil, err
	}
	switch {
	case view.State == replica.Promoted && view.Active:
		return nil, PrimaryNow.New("A promoted replica is the primary and cannot be terminated").
			With("current_status", "promoted")
	case !view.State.IsOpen():
		ended := web.ValueOr(view.EndedAt, r.Now()) // it is ending, if not yet
		return nil, replica.AlreadyEnded.New("Replica already terminated").With("terminated_at", web.TimeOf(ended))
	}
	order := workflows.DeleteReplicaInput{
		ReplicaID: view.ID,
		By:        web.ActorName(ctx),
		RequestID: idempotencyKey(ctx, "delete-replica", view.ID, in.Key),
	}
	if _, err := r.Workflows.DeleteReplica(ctx, in.AgentID, order); err != nil {
		return nil, err
	}
	return &removeReplicaAnswer{
		Success:      true,
		Message:      "Replica terminated",
		ReplicaID:    view.ID,
		TerminatedAt: web.TimeOf(r.Now()),
	}, nil
}

// idempotencyKey makes an Idempotency-Key the caller's own, so that two tenants may
// choose the same. Empty stays empty.
func idempotencyKey(ctx context.Context, what, about, key string) string {
	if key == "" {
		return ""
	}
	return strings.Join([]string{what, about, web.PrincipalFrom(ctx).ClientID, key}, "/")
}

func agentUnknown(err error) bool { return fault.Is(err, agent.NotFound) }
