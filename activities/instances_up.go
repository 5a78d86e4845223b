package activities

import (
	"context"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

// UpInput names an instance that was launched for a replica.
type UpInput struct {
	AgentID    string            `json:"agent_id"`
	InstanceID string            `json:"instance_id"`
	ReplicaID  string            `json:"replica_id"`
	Where      replica.Candidate `json:"where"`
	// Urgent says that a primary is about to be lost.
	Urgent bool `json:"urgent,omitempty"`
}

// Unreadable is a refusal to be asked about an instance that an emergency has launched. EC2 has
// answered the launch, so the instance counts as one about which EC2 is silent.
var Unreadable = fault.Define("ec2.unreadable", fault.Unavailable)

// ReplicaStore is the part of postgres.Roles that activities use to advance replicas.
type ReplicaStore interface {
	AdvanceJudged(
		ctx context.Context,
		in roles.ReplicaTransition,
		wantsReview func(*roles.AgentRoles) bool,
	) (*roles.Advanced, error)
}

// AwaitUp returns once the instance runs and both of its status checks pass. Until then
// it fails with launch.not_running, and the retry policy is the poll. When the instance
// ended first it fails with launch.instance_gone.
//
// In an emergency a refused question says nothing about the instance: it fails with
// ec2.unreadable and is asked again. Else it fails with the refusal, which a person has to mend.
//
// The first attempt that sees the instance running records that, for the replica and
// for its pool, and wakes the Guardian when a notice waits for the replica: at the
// deadline one that runs is better than none. The records are levels, so an attempt that
// does not know of an earlier one may write them again.
func (i *Instances) AwaitUp(ctx context.Context, in UpInput) (*InstanceState, error) {
	ran := activity.IsActivity(ctx) && activity.HasHeartbeatDetails(ctx)
	where, seen, err := i.describeOwned(ctx, WatchInput{AgentID: in.AgentID, InstanceID: in.InstanceID})
	if err != nil && in.Urgent && (fault.Is(err, replica.Refused) || fault.Is(err, replica.Misconfigured)) {
		return nil, Unreadable.Wrap(err, "EC2 does not say how instance %s is", in.InstanceID)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case seen.State == StateRunning:
		if !ran {
			if err := i.recordRunning(ctx, in); err != nil {
				return nil, err
			}
			i.recordPool(ctx, in)
		}
		if seen.ChecksOK {
			return newInstanceState(seen), nil
		}
	case seen.gone(where.LaunchedAt, i.now()):
		gone := errInstanceGone(in.InstanceID, seen)
		if ran {
			gone = gone.With(GoneRan, "yes")
		}
		return nil, gone
	}
	if seen.State == StateAbsent {
		return nil, temporal.NewApplicationErrorWithOptions("EC2 does not show instance "+in.InstanceID,
			string(replica.NotRunning), temporal.ApplicationErrorOptions{
				Category: temporal.ApplicationErrorCategoryBenign,
				Details:  []any{map[string]string{GoneState: StateAbsent}},
			})
	}
	return nil, errNotYet("instance %s is %s, checks passed: %t", in.InstanceID, seen.State, seen.ChecksOK)
}

// recordRunning records that the instance runs, and has the next attempt know.
func (i *Instances) recordRunning(ctx context.Context, in UpInput) error {
	step := roles.ReplicaTransition{ReplicaID: in.ReplicaID, To: replica.Running, InstanceID: in.InstanceID}
	out, err := i.Replicas.AdvanceJudged(ctx, step, (*roles.AgentRoles).Unsettled)
	if err != nil {
		return err
	}
	if activity.IsActivity(ctx) {
		activity.RecordHeartbeat(ctx, StateRunning)
	}
	if !out.Wake {
		return nil
	}
	if err := i.Workflows.Wake(ctx, in.AgentID, in.ReplicaID+" runs"); err != nil {
		i.Log.WarnContext(ctx, "a wake got lost: the sweep makes up for it", "agent_id", in.AgentID, "error", err)
	}
	return nil
}

func (i *Instances) recordPool(ctx context.Context, in UpInput) {
	if err := i.Store.RecordPool(ctx, PoolOutcome{AgentID: in.AgentID, Where: in.Where}); err != nil {
		i.Log.WarnContext(ctx, "a pool's outcome was not remembered", "agent_id", in.AgentID, "pool", in.Where.Key(),
			"error", err)
	}
}
