package workflows

import (
	"errors"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/workflows/steps"
)

// RemovalInput starts a Removal.
type RemovalInput struct {
	AgentID string `json:"agent_id"`
}

// RemovalResult says what a Removal ended.
type RemovalResult struct {
	Replicas  int `json:"replicas"`
	Instances int `json:"instances"`
}

// Removal ends what a removed agent leaves: its replicas and the instances we launched
// for it. The agent is gone already when it starts, so it only goes forward and cannot
// be called off. Whenever it begins, it reads what is still left.
func Removal(ctx workflow.Context, in RemovalInput) (*RemovalResult, error) {
	op, err := newOperation(ctx, KindRemoval, in.AgentID)
	if err != nil {
		return nil, err
	}
	op.progress.Committed = true
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	var local *activities.Roles
	var instances *activities.Instances
	var left activities.Removed
	if err := steps.RunUntilSaved(ctx, "read what is left", local.RemoveAgent, &left,
		activities.RemoveAgentInput{AgentID: in.AgentID}); err != nil {
		return nil, err
	}
	op.enterPhase(ctx, "removing", "%d replicas and %d instances are left", len(left.Replicas), len(left.Instances))
	for _, id := range left.Replicas {
		sendNews(ctx, activities.Nudge{OperationID: ReplicaID(id), AgentID: in.AgentID, Start: true})
		op.addStep(ctx, "replica "+id, stepDone, "its workflow ends it")
	}
	ends := make([]workflow.Future, len(left.Instances))
	for i, id := range left.Instances {
		ends[i] = steps.RunActivity(ctx, steps.RetirePolicy, "terminate "+id, instances.RetireInstance,
			activities.WatchInput{AgentID: in.AgentID, InstanceID: id})
	}
	var failed error
	for i, id := range left.Instances {
		err := ends[i].Get(ctx, nil)
		if adoption.Refused(err) {
			op.addStep(ctx, "terminate "+id, stepDropped, "%s", steps.Sentence(err))
			continue
		}
		if err != nil {
			failed = errors.Join(failed, err)
			op.addStep(ctx, "terminate "+id, stepFailed, "%s", steps.Sentence(err))
			continue
		}
		op.addStep(ctx, "terminate "+id, stepDone, "")
	}
	if failed != nil {
		err := steps.UndoFailed.Wrap(failed, "instances of removed agent %s may still be running", in.AgentID)
		op.closeWithError(ctx, err, "removal of agent "+in.AgentID+": instances may still be running",
			"Instances of a removed agent could not be terminated")
		return nil, err
	}
	op.closeRow(ctx, activities.OperationEnd{
		State:   stateSucceeded,
		Phase:   "done",
		Summary: "agent " + in.AgentID + " was removed",
	})
	return &RemovalResult{Replicas: len(left.Replicas), Instances: len(left.Instances)}, nil
}
