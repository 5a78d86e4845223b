package workflows

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows/steps"
)

// unseenInstance is an instance that RunInstances answered with and that EC2 did not show in time.
type unseenInstance struct {
	instanceID string
	where      replica.Candidate
	ending     workflow.Future // nil until another instance was launched
}

// leaveUnseen has another candidate tried in place of an instance that EC2 does not show. It is kept
// until another one was launched. The second one of a replica, and one beside which no candidate is
// left, is taken to run: at the deadline it is better than none.
func (r *replicaRun) leaveUnseen(ctx workflow.Context, where replica.Candidate, cause error) (next bool, err error) {
	const step = "wait until EC2 shows "
	if r.unseen.instanceID != "" || !r.others {
		r.addStep(ctx, step+r.instanceID, stepDropped, "%s, so it is taken to run", steps.Sentence(cause))
		return false, r.recordRunning(ctx)
	}
	var local *activities.Roles
	replaced := false
	if err := steps.RunUntilSaved(ctx, "let go of "+r.instanceID, local.ReplaceInstance, &replaced, roles.Replacement{
		ReplicaID: r.in.ReplicaID, InstanceID: r.instanceID, Reason: steps.Sentence(cause), Unseen: true}); err != nil {
		return false, err
	}
	if !replaced {
		if err := r.read(ctx); err != nil || r.isOver() {
			return false, err
		}
		return false, cause
	}
	r.addStep(ctx, step+r.instanceID, stepFailed, "%s, so another one is launched", steps.Sentence(cause))
	r.unseen = unseenInstance{instanceID: r.instanceID, where: where}
	r.instanceID, r.progress.NewInstanceID = "", ""
	return true, cause
}

// takeUnseen continues with the instance that EC2 did not show, because no other one could be launched.
func (r *replicaRun) takeUnseen(ctx workflow.Context) error {
	where := r.unseen.where
	r.instanceID, r.where, r.progress.NewInstanceID = r.unseen.instanceID, where, r.unseen.instanceID
	r.unseen = unseenInstance{}
	if _, err := r.advance(ctx, roles.ReplicaTransition{
		To:         replica.Launching,
		InstanceID: r.instanceID,
		Where:      &where,
	}); err != nil || r.isOver() {
		return err
	}
	r.addStep(ctx, "take "+r.instanceID, stepDone, "no other instance could be launched, so it is taken to run")
	return r.recordRunning(ctx)
}

// endUnseen begins to end the instance that EC2 did not show, now that there is another one. EC2 takes
// the order when it shows the instance. One that it shows only later than the order waits is found
// by the sweep of orphans, because its row says that it has ended.
func (r *replicaRun) endUnseen(ctx workflow.Context) {
	if r.unseen.instanceID == "" || r.unseen.ending != nil {
		return
	}
	var instances *activities.Instances
	through, _ := workflow.NewDisconnectedContext(ctx)
	r.unseen.ending = steps.RunActivity(through, steps.UnseenPolicy, "terminate "+r.unseen.instanceID+" when EC2 shows it",
		instances.RetireInstance, activities.WatchInput{AgentID: r.in.AgentID, InstanceID: r.unseen.instanceID})
}

// awaitUnseen waits until the instance that EC2 did not show has ended, or is known to be none.
func (r *replicaRun) awaitUnseen(ctx workflow.Context) {
	if r.unseen.instanceID == "" {
		return
	}
	r.endUnseen(ctx)
	if err := r.unseen.ending.Get(ctx, nil); err != nil {
		r.addStep(ctx, "terminate "+r.unseen.instanceID, stepFailed, "%s", steps.Sentence(err))
		return
	}
	r.addStep(ctx, "terminate "+r.unseen.instanceID, stepDone, "")
}
