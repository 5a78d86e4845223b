package workflows

import (
	"cmp"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows/steps"
)

// giveUp ends the replica because of a failure, or because the workflow was cancelled.
// It is closed in Postgres first, so that it is chosen as a successor no more while its
// instance ends. One that was promoted or retired meanwhile ends as that.
func (r *replicaRun) giveUp(ctx workflow.Context, cause error) (*ReplicaResult, error) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	if r.isOver() {
		return r.settle(ctx, nil)
	}
	to := roles.ReplicaTransition{
		To:         replica.Failed,
		InstanceID: r.instanceID,
		ErrorCode:  fault.CodeOf(cause),
		Error:      steps.Sentence(cause),
	}
	if steps.IsCancellation(cause) {
		to = roles.ReplicaTransition{To: replica.Retiring}
		cause = steps.Cancelled.Wrap(cause, "replica %s was called off", r.in.ReplicaID)
	}
	out, err := r.record(ctx, to)
	switch {
	case err != nil:
		return nil, err
	case !out.Ours:
		if err := r.read(ctx); err != nil {
			return nil, err
		}
		if !r.isOver() {
			return nil, cause
		}
		return r.settle(ctx, nil)
	}
	r.row.Replica.State = to.To
	r.progress.Committed = true
	r.enterPhase(ctx, "giving_up", "%s", steps.Sentence(cause))
	r.notifyWaiting(ctx, string(to.To), out)
	return r.settle(ctx, cause)
}

// settle ends the instance that the replica leaves and closes its page. The row says how
// the replica ended; the cause is why it failed in this run. A cancellation no longer has
// an effect: the instance is ended all the same.
func (r *replicaRun) settle(ctx workflow.Context, cause error) (*ReplicaResult, error) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	r.progress.Committed = true
	if r.launching != nil {
		// How it ended is in the row, and an instance too.
		_ = r.launching.Get(ctx, nil)
		r.fresh = false
	}
	if !r.fresh || r.stale {
		if err := r.read(ctx); err != nil {
			return nil, err
		}
	}
	if cause == nil && r.row.Replica.State == replica.Failed { // another writer has recorded it
		r.notifyWaiting(ctx, string(replica.Failed), &roles.Advanced{Awaited: true})
	}
	if r.row.Replica.State != replica.Promoted {
		if err := r.terminate(ctx); err != nil {
			return nil, err
		}
	}
	r.awaitUnseen(ctx)
	if r.row.Replica.State == replica.Retiring {
		if _, err := r.record(ctx, roles.ReplicaTransition{To: replica.Retired}); err != nil {
			return nil, err
		}
		r.row.Replica.State = replica.Retired
	}
	return r.close(ctx, cause)
}

// terminate ends the instance that remains of the replica, if one does. One that an
// agent launched may be out of our reach: then its owner has to end it.
func (r *replicaRun) terminate(ctx workflow.Context) error {
	var instances *activities.Instances
	id := r.row.Remains
	if id == "" {
		return nil
	}
	r.enterPhase(ctx, "retiring", "ending %s", id)
	in := activities.WatchInput{AgentID: r.in.AgentID, InstanceID: id}
	err := steps.RunActivity(ctx, steps.RetirePolicy, "terminate "+id, instances.RetireInstance, in).Get(ctx, nil)
	switch {
	case err == nil:
		r.addStep(ctx, "terminate "+id, stepDone, "")
		return nil
	case fault.Is(err, roles.IsPrimary):
		r.addStep(ctx, "terminate "+id, stepDropped, "it is the primary now")
		return nil
	case adoption.Refused(err):
		r.addStep(ctx, "terminate "+id, stepDropped, "%s", steps.Sentence(err))
		return nil
	case fault.Is(err, agent.InstanceOfOtherTenant):
		r.addStep(ctx, "terminate "+id, stepDropped, "it is not this agent's")
		return nil
	case r.byAgent():
		r.addStep(ctx, "terminate "+id, stepFailed, "its agent launched it and we may not end it: %s", steps.Sentence(err))
		return nil
	}
	err = steps.UndoFailed.Wrap(err, "instance %s may still be running", id)
	r.closeWithError(ctx, err, r.summary()+": its instance may still be running",
		"Instance "+id+" could not be terminated and may still cost money")
	return err
}

// close closes the page as the row says.
func (r *replicaRun) close(ctx workflow.Context, cause error) (*ReplicaResult, error) {
	of := r.row.Replica
	out := &ReplicaResult{InstanceID: r.instanceID, PoolID: cmp.Or(r.where.PoolID, of.PoolID), State: of.State}
	switch {
	case cause != nil:
		r.closeFailed(ctx, cause)
		return nil, cause
	case of.State == replica.Failed: // an earlier run, or another writer, has recorded why
		r.closeFailed(ctx, fault.Code(r.row.ErrorCode).New("%s", r.row.Error))
	default:
		r.closeRow(ctx, activities.OperationEnd{
			State:   stateSucceeded,
			Phase:   string(of.State),
			Summary: r.summary() + " was " + string(of.State),
		})
	}
	return out, nil
}

// closeFailed closes the page with the cause. The client is notified of what a person
// has to do something about: once for the same cause, which is counted, however many
// replicas fail by it until one is ready.
func (r *replicaRun) closeFailed(ctx workflow.Context, cause error) {
	code, reason := fault.CodeOf(cause), cmp.Or(detailOf(cause, replica.DetailWhy), steps.Sentence(cause))
	end := activities.OperationEnd{State: stateFailed, Summary: r.summary() + " failed",
		Code: string(code), Error: steps.Sentence(cause), Severity: "error"}
	switch code {
	case steps.Cancelled:
		end.State, end.Severity = stateCancelled, ""
	case replica.Refused, replica.Misconfigured, replica.TokenReused:
		end.Notify = "No replacement can be launched for " + r.row.LogicalID + ": " + reason
	case replica.QuotaUsedUp, replica.TypeQuotaUsedUp, replica.PartsQuotaUsedUp:
		end.Notify = "A quota keeps " + r.row.LogicalID + " from launching a replacement: " + reason
	case replica.NoPool:
		end.Notify = "No replacement can be launched for " + r.row.LogicalID + ": " + reason
	}
	if end.Notify != "" {
		end.NotifyKey = "launch:" + r.in.AgentID + "/" + end.Code
	}
	r.closeRow(ctx, end)
}
