package activities

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/temporal"

	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// The details of launch.instance_gone, by which a workflow judges what the instance
// died of.
const (
	GoneState  = "state"  // in EC2's words
	GoneReason = "reason" // EC2's state reason, such as Server.InsufficientInstanceCapacity
	GoneRan    = "ran"    // not empty: it had been seen running
	// GoneWalk is not empty where another candidate is tried whatever the reason blames. Ends that
	// were recorded before it lack it.
	GoneWalk = "walk"
)

func errInstanceGone(id string, seen *CloudInstance) *fault.Error {
	e := replica.InstanceGone.New("instance %s is %s", id, seen.State)
	if seen.Reason != "" {
		e = replica.InstanceGone.New("instance %s is %s: %s", id, seen.State, seen.Reason)
	}
	return e.With(GoneState, seen.State).With(GoneReason, seen.Reason).With(GoneWalk, "yes")
}

// AwaitGone returns once the instance has ended or stopped, and says which. One that
// ended is marked retired; a primary stays one, because its agent still waits for a
// successor. One that stopped or hibernates still exists, so it is left to the caller
// to end. Until then AwaitGone fails with launch.not_running. An instance that EC2 does
// not show counts as ended only when it is too old to be merely unseen.
func (i *Instances) AwaitGone(ctx context.Context, in WatchInput) (out *InstanceState, err error) {
	err = i.Slots.Run(ctx, func() error {
		out, err = i.lookWhetherGone(ctx, in)
		return err
	})
	return out, err
}

func (i *Instances) lookWhetherGone(ctx context.Context, in WatchInput) (*InstanceState, error) {
	where, seen, err := i.describeOwned(ctx, in)
	switch {
	case err != nil:
		return nil, err
	case seen.State == StateTerminated, seen.State == StateAbsent && seen.gone(where.LaunchedAt, i.now()):
		if where.Proof.Proven() { // nothing at EC2 changes on an agent's claim
			if err := i.Fleet.CancelRequest(ctx, where.Account, where.Region, in.InstanceID); err != nil {
				return nil, err
			}
		}
		return newInstanceState(seen), i.Store.MarkRetired(ctx, in.InstanceID)
	case seen.State == StateStopping, seen.State == StateStopped:
		return newInstanceState(seen), nil
	default:
		return nil, errNotYet("instance %s is still %s", in.InstanceID, seen.State)
	}
}

func (i *Instances) describeOwned(ctx context.Context, in WatchInput) (*EndingInstance, *CloudInstance, error) {
	where, err := i.Store.Whereabouts(ctx, in.AgentID, in.InstanceID)
	if err != nil {
		return nil, nil, err
	}
	seen, err := i.Fleet.State(ctx, where.Account, where.Region, in.InstanceID)
	return where, seen, err
}

func newInstanceState(c *CloudInstance) *InstanceState {
	return &InstanceState{State: c.State, Reason: c.Reason, ChecksOK: c.ChecksOK, Mode: c.Mode, PoolID: c.PoolID}
}

// RetireInstance ends an instance: it is taken out of its role in a transaction
// that refuses a primary, then terminated, then marked retired. One that has
// ended already is success; "not found" is believed only of an instance old
// enough to be known. One that only an agent has named, or that EC2 does not show as
// ours, is forgotten: its owner ends it. Fails with instance.unproven and
// instance.not_ours then, and with roles.is_primary, launch.not_running and
// launch.refused.
func (i *Instances) RetireInstance(ctx context.Context, in WatchInput) error {
	where, err := i.Store.MarkRetiring(ctx, in.AgentID, in.InstanceID)
	if err != nil || where.Ended {
		return err
	}
	if err := i.terminate(ctx, in.InstanceID, where); err != nil {
		if adoption.Refused(err) {
			if err := i.Store.Forget(ctx, in.AgentID, in.InstanceID, LaunchEnd{
				Code:  fault.CodeOf(err),
				Error: faultSentence(err),
			}); err != nil {
				return err
			}
			i.Log.WarnContext(ctx, "an instance is left alone", "client_id", where.Account.ClientID,
				"agent_id", in.AgentID,
				"instance_id", in.InstanceID, "code", fault.CodeOf(err))
		}
		return err
	}
	i.Log.InfoContext(ctx, "terminated", "client_id", where.Account.ClientID, "agent_id", in.AgentID,
		"instance_id", in.InstanceID)
	return i.Store.MarkRetired(ctx, in.InstanceID)
}

// terminate ends an instance whose row says that we launched or adopted it. The call also
// checks EC2's tags first.
func (i *Instances) terminate(ctx context.Context, instanceID string, where *EndingInstance) error {
	if !where.Proof.Proven() {
		return adoption.NotProven.New(
			"only an agent's word says that instance %s is the client's, so it is left alone", instanceID)
	}
	return i.Fleet.Terminate(ctx, where.Account, where.Region, instanceID, where.LaunchedAt)
}

// errNotYet is launch.not_running as an expected answer: tried again, no alert.
func errNotYet(format string, args ...any) error {
	return temporal.NewApplicationErrorWithOptions(fmt.Sprintf(format, args...), string(replica.NotRunning),
		temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign})
}
