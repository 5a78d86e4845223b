package workflows

import (
	"errors"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/replica"
)

// RemovalInput starts a Removal: what a removed agent leaves.
type RemovalInput struct {
	AgentID   string   `json:"agent_id"`
	ClientID  string   `json:"client_id,omitempty"`
	By        string   `json:"by,omitempty"`
	CallOff   []string `json:"call_off,omitempty"`  // the switches in flight
	Replicas  []string `json:"replicas,omitempty"`  // whose workflows must let go
	Instances []string `json:"instances,omitempty"` // launched by us
}

// RemovalResult says what a Removal ended.
type RemovalResult struct {
	Replicas  int `json:"replicas"`
	Instances int `json:"instances"`
}

// Removal ends what a removed agent leaves: its switch, its replicas, the
// instances we launched for it. The agent is gone already when it starts, so it
// only goes forward and cannot be called off.
func Removal(ctx workflow.Context, in RemovalInput) (*RemovalResult, error) {
	op, err := show(ctx, KindRemoval, in.AgentID)
	if err != nil {
		return nil, err
	}
	op.progress.Committed = true
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	op.begin(ctx, activities.BeginOperation{Summary: "removal of agent " + in.AgentID, Cause: in.By})
	op.enter(ctx, "removing", "%d replicas and %d instances are left", len(in.Replicas), len(in.Instances))
	var msgs *activities.Messages
	var instances *activities.Instances
	for _, id := range in.CallOff {
		if err := deliver(ctx, "call off "+id, msgs.CallOffSwitch, activities.CallOff{OperationID: id, Why: "the agent was removed"}); err != nil {
			return nil, err
		}
	}
	for _, id := range in.Replicas {
		if err := deliver(ctx, "release replica "+id, msgs.ReleaseReplica, activities.Release{AgentID: in.AgentID, ReplicaID: id, As: replica.Retiring}); err != nil {
			return nil, err
		}
		op.note(ctx, "replica "+id, stepDone, "told to end")
	}
	ends := make([]workflow.Future, len(in.Instances))
	for i, id := range in.Instances {
		ends[i] = step(ctx, retirePolicy, "terminate "+id, instances.RetireInstance, activities.WatchInput{AgentID: in.AgentID, InstanceID: id})
	}
	var failed error
	for i, id := range in.Instances {
		if err := ends[i].Get(ctx, nil); err != nil {
			failed = errors.Join(failed, err)
			op.note(ctx, "terminate "+id, stepFailed, "%s", err)
			continue
		}
		op.note(ctx, "terminate "+id, stepDone, "")
	}
	if failed != nil {
		err := UndoFailed.Wrap(failed, "instances of removed agent %s may still be running", in.AgentID)
		op.endBadly(ctx, err, "removal of agent "+in.AgentID+": instances may still be running", "Instances of a removed agent could not be terminated")
		return nil, err
	}
	op.end(ctx, activities.EndOperation{State: stateSucceeded, Phase: "done", Summary: "agent " + in.AgentID + " was removed"})
	return &RemovalResult{Replicas: len(in.Replicas), Instances: len(in.Instances)}, nil
}
