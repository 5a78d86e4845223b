package workflows

import (
	"cmp"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
)

// finish ends as the release says. A cancellation is not heard any more: what is
// to be ended is ended.
func (r *replicaRun) finish(ctx workflow.Context) (*ReplicaResult, error) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	r.instanceID = cmp.Or(r.instanceID, r.released.InstanceID) // an earlier run launched it
	r.progress.Committed = true
	if r.released.As == replica.Promoted {
		return r.close(ctx, replica.Promoted)
	}
	if err := r.terminate(ctx); err != nil {
		return nil, err
	}
	if _, err := r.record(ctx, roles.Step{To: replica.Retired}); err != nil {
		return nil, err
	}
	return r.close(ctx, replica.Retired)
}

// fail gives the replica up and undoes the launch. It is closed in Postgres
// first, so that nobody chooses it as an heir while its instance ends; one that
// was promoted or released meanwhile is left to whoever did that.
func (r *replicaRun) fail(ctx workflow.Context, cause error) (*ReplicaResult, error) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if fault.Is(cause, replica.AlreadyEnded) { // given up while it was being launched
		if err := r.awaitRelease(ctx); err != nil {
			return nil, err
		}
	}
	if r.isReleased() {
		return r.finish(ctx)
	}
	to := roles.Step{To: replica.Failed, InstanceID: r.instanceID, ErrorCode: fault.CodeOf(cause), Error: sentence(cause)}
	if isCancel(cause) {
		to = roles.Step{To: replica.Retiring}
	}
	ours, err := r.record(ctx, to)
	if err != nil {
		return nil, err
	}
	if !ours {
		if err := r.awaitRelease(ctx); err != nil {
			return nil, err
		}
		if !r.isReleased() {
			return nil, cause
		}
		return r.finish(ctx)
	}
	r.progress.Committed = true
	r.enter(ctx, "giving_up", "%s", cause)
	if err := r.news(ctx, replica.Failed, cause); err != nil {
		return nil, err
	}
	if err := r.terminate(ctx); err != nil {
		return nil, err
	}
	if isCancel(cause) {
		if _, err := r.record(ctx, roles.Step{To: replica.Retired}); err != nil {
			return nil, err
		}
		cause = Cancelled.Wrap(cause, "replica %s was called off", r.in.ReplicaID)
	}
	notify := ""
	switch fault.CodeOf(cause) {
	case replica.Refused, replica.Misconfigured, replica.TokenReused:
		notify = "No replacement can be launched for " + r.in.AgentID + ": " + sentence(cause)
	case replica.Quota:
		notify = "A quota keeps " + r.in.AgentID + " from launching a replacement: " + sentence(cause)
	case replica.NoPool:
		notify = "No pool has room for a replacement of " + r.in.AgentID
	}
	r.endBadly(ctx, cause, r.summary()+" failed", notify)
	return nil, cause
}

// terminate ends the instance, if there is one. One that an agent launched may
// be out of our reach: then its owner is told.
func (r *replicaRun) terminate(ctx workflow.Context) error {
	var instances *activities.Instances
	if r.instanceID == "" {
		return nil
	}
	r.enter(ctx, "retiring", "ending %s", r.instanceID)
	err := step(ctx, retirePolicy, "terminate "+r.instanceID, instances.RetireInstance, activities.WatchInput{AgentID: r.in.AgentID, InstanceID: r.instanceID}).Get(ctx, nil)
	launcher := r.in.Launcher
	if r.released != nil {
		launcher = cmp.Or(launcher, r.released.Launcher)
	}
	switch {
	case err == nil:
		r.note(ctx, "terminate "+r.instanceID, stepDone, "")
		return nil
	case fault.Is(err, roles.IsPrimary):
		r.note(ctx, "terminate "+r.instanceID, stepDropped, "it is the primary now")
		return nil
	case launcher == agent.ByAgent:
		r.note(ctx, "terminate "+r.instanceID, stepFailed, "its agent launched it and we may not end it: %s", err)
		return nil
	}
	err = UndoFailed.Wrap(err, "instance %s may still be running", r.instanceID)
	r.endBadly(ctx, err, r.summary()+": its instance may still be running", "Instance "+r.instanceID+" could not be terminated and may still cost money")
	return err
}

func (r *replicaRun) close(ctx workflow.Context, as replica.State) (*ReplicaResult, error) {
	r.end(ctx, activities.EndOperation{State: stateSucceeded, Phase: string(as), Summary: r.summary() + " was " + string(as)})
	return &ReplicaResult{InstanceID: r.instanceID, PoolID: r.poolID, State: as}, nil
}

// advance records a state. When Postgres says that the replica was promoted or
// given up meanwhile, it waits for the release that says so.
func (r *replicaRun) advance(ctx workflow.Context, to roles.Step) error {
	ours, err := r.record(ctx, to)
	if err != nil || ours {
		return err
	}
	return r.awaitRelease(ctx)
}

// awaitRelease waits for a release that is on its way, and reads the roles when
// it does not come.
func (r *replicaRun) awaitRelease(ctx workflow.Context) error {
	if _, err := workflow.AwaitWithTimeout(ctx, releaseWithin, r.isReleased); err != nil {
		return err
	}
	return r.recheck(ctx)
}

func (r *replicaRun) record(ctx workflow.Context, to roles.Step) (ours bool, err error) {
	var local *activities.Roles
	to.ReplicaID = r.in.ReplicaID
	err = lasting(ctx, "record "+string(to.To), local.AdvanceReplica, &ours, to)
	return ours, err
}

// news tells whoever waits: the Guardian, which judges anew, and the operation
// that the replica was made for, or that waits to promote it.
func (r *replicaRun) news(ctx workflow.Context, state replica.State, cause error) error {
	var msgs *activities.Messages
	if err := r.wake(ctx, string(state)); err != nil {
		return err
	}
	n := activities.News{OperationID: PromotionID(r.in.ReplicaID), ReplicaID: r.in.ReplicaID, InstanceID: r.instanceID, State: state}
	if r.in.Kind == replica.Switch {
		n.OperationID = SwitchID(r.in.For)
	}
	if cause != nil {
		n.Code, n.Error = string(fault.CodeOf(cause)), sentence(cause)
	}
	return deliver(ctx, "tell "+n.OperationID, msgs.TellOperation, n)
}

// tellSwitch tells the Switch that the replica was made for how far it is.
func (r *replicaRun) tellSwitch(ctx workflow.Context, state replica.State) error {
	var msgs *activities.Messages
	if r.in.Kind != replica.Switch || r.isReleased() {
		return nil
	}
	n := activities.News{OperationID: SwitchID(r.in.For), ReplicaID: r.in.ReplicaID, InstanceID: r.instanceID, State: state}
	return deliver(ctx, "tell "+n.OperationID, msgs.TellOperation, n)
}

func (r *replicaRun) wake(ctx workflow.Context, why string) error {
	var msgs *activities.Messages
	return deliver(ctx, "wake the guardian: "+why, msgs.WakeGuardian, activities.WakeInput{AgentID: r.in.AgentID, Why: r.in.ReplicaID + " " + why})
}

func (r *replicaRun) summary() string {
	if r.in.Kind == "" {
		return "retiring replica " + r.in.ReplicaID
	}
	return string(r.in.Kind) + " replica for " + r.in.For
}
