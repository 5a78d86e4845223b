package workflows

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows/steps"
)

// finishMove does what is left after the cut-over. Nothing of it harms when it was
// done before.
func (s *switchRun) finishMove(ctx workflow.Context) (*SwitchStatus, error) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	change := s.facts.Change
	s.progress.Committed = true
	s.status.NewInstanceID, s.progress.NewInstanceID = change.NewID, change.NewID
	s.progress.ReplicaID = change.ReplicaID
	s.addStep(ctx, "primary changed", stepDone, "%s", change.NewID)
	s.closeCommand(ctx, "completed", "")
	sendNews(ctx, activities.Nudge{OperationID: ReplicaID(change.ReplicaID), AgentID: s.in.AgentID}) // it was promoted
	wakeGuardian(ctx, s.in.AgentID, "switched")
	if err := s.endOld(ctx, change); err != nil {
		s.closeWithError(ctx, err, s.summary()+": the old instance may still be running",
			"Instance "+change.OldID+" could not be terminated and may still cost money")
		return nil, err
	}
	return s.succeed(ctx, s.summary()+" to "+change.NewID)
}

// finishKnown ends a switch whose instance became the primary in another way.
func (s *switchRun) finishKnown(ctx workflow.Context) (*SwitchStatus, error) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	s.status.NewInstanceID, s.progress.NewInstanceID = s.facts.NewID, s.facts.NewID
	s.closeCommand(ctx, "completed", "")
	return s.succeed(ctx, s.summary()+": the agent lives on "+s.facts.NewID+" already")
}

func (s *switchRun) succeed(ctx workflow.Context, summary string) (*SwitchStatus, error) {
	s.record(ctx, switching.Done, "")
	s.addStep(ctx, string(switching.Done), stepDone, "the agent lives on %s", s.status.NewInstanceID)
	s.closeRow(ctx, activities.OperationEnd{State: stateSucceeded, Phase: string(switching.Done), Summary: summary})
	return &s.status, nil
}

// endOld ends the old instance when its time is over, if that is ours to do.
func (s *switchRun) endOld(ctx workflow.Context, change *activities.SwitchChange) error {
	old := change.OldID
	switch {
	case change.OldGone:
		s.addStep(ctx, "old instance", stepDone, "%s has ended", old)
		return nil
	case change.EndedBy == "agent":
		s.addStep(ctx, "old instance", stepDone, "%s is left to its agent", old)
		return nil
	case change.EndedBy != "us":
		s.addStep(ctx, "old instance", stepDone, "%s is kept", old)
		return nil
	}
	keep := max(change.KeepLeft, 0)
	s.enterSwitchPhase(ctx, switching.Retiring, "ending %s in %s", old, keep)
	if err := steps.Sleep(ctx, keep, old+" lives on for "+keep.String()); err != nil {
		return err
	}
	var instances *activities.Instances
	err := steps.RunActivity(ctx, steps.RetirePolicy, "terminate "+old, instances.RetireInstance,
		activities.WatchInput{AgentID: s.in.AgentID, InstanceID: old}).Get(ctx, nil)
	switch {
	case err == nil:
		s.addStep(ctx, "terminate "+old, stepDone, "")
	case fault.Is(err, roles.IsPrimary):
		s.addStep(ctx, "terminate "+old, stepDropped, "it is the primary again")
	case adoption.Refused(err):
		s.addStep(ctx, "terminate "+old, stepDropped, "%s", steps.Sentence(err))
	default:
		s.addStep(ctx, "terminate "+old, stepFailed, "%s", steps.Sentence(err))
		return steps.UndoFailed.Wrap(err, "instance %s may still be running", old)
	}
	return nil
}

// abandon gives the switch up and returns its cause. The replica is closed in
// Postgres first; one that a failover has promoted is not closed, and left alone.
func (s *switchRun) abandon(ctx workflow.Context, cause error) error {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	status := "failed"
	if steps.IsCancellation(cause) {
		status = "cancelled"
		if !fault.Is(cause, steps.Cancelled) {
			cause = steps.Cancelled.Wrap(cause, "%s was called off", s.progress.OperationID)
		}
	}
	s.recordAbandoned(ctx, fault.CodeOf(cause))
	s.closeCommand(ctx, status, steps.Sentence(cause))
	if err := s.retireReplica(ctx); err != nil {
		return err
	}
	s.addStep(ctx, string(switching.Abandoned), stepFailed, "%s", steps.Sentence(cause))
	s.progress.Phase = string(switching.Abandoned)
	name := s.summary()
	s.closeWithError(ctx, cause, name+" was given up: "+steps.Sentence(cause), "The "+name+" failed: "+steps.Sentence(cause))
	return cause
}

// yieldToFailover leaves the replica to the failover that goes before the switch, and sees to
// it that it is not forgotten when the failover took another one.
func (s *switchRun) yieldToFailover(ctx workflow.Context) (*SwitchStatus, error) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	s.letting = true
	why := "AWS takes " + s.facts.OldID
	s.recordAbandoned(ctx, switching.CalledOff)
	s.closeCommand(ctx, "cancelled", why)
	if s.awaitsFailover() {
		s.enterPhase(ctx, string(switching.Abandoned), "called off: %s", why)
	}
	for s.awaitsFailover() {
		if _, err := steps.AwaitWithin(ctx, switchLook, "look what the failover took", func() bool { return s.news }); err != nil {
			return nil, err
		}
		if err := s.read(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.retireReplica(ctx); err != nil {
		return nil, err
	}
	s.closeRow(ctx, activities.OperationEnd{State: stateCancelled, Phase: string(switching.Abandoned),
		Summary: s.summary() + " was called off: " + why, Code: string(switching.CalledOff)})
	return &s.status, nil
}

// awaitsFailover says whether a failover may still take the replica.
func (s *switchRun) awaitsFailover() bool {
	return s.facts.Noticed && s.facts.Replica.State.IsOpen()
}

// recordAbandoned records that the switch was given up, unless its order had ended
// before the switch began: then there was none.
func (s *switchRun) recordAbandoned(ctx workflow.Context, code fault.Code) {
	s.status.Phase = switching.Abandoned
	if s.facts.Phase != "" || s.facts.Status == switching.Pending {
		s.record(ctx, switching.Abandoned, code)
	}
}

// retireReplica retires the replica of the switch while it is open.
func (s *switchRun) retireReplica(ctx workflow.Context) error {
	r := s.facts.Replica
	if !r.State.IsOpen() {
		return nil
	}
	var local *activities.Roles
	var out roles.Advanced
	err := steps.RunUntilSaved(ctx, "retire replica "+r.ID, local.AdvanceReplica, &out,
		roles.ReplicaTransition{ReplicaID: r.ID, To: replica.Retiring})
	if err == nil && out.Ours {
		sendNews(ctx, activities.Nudge{OperationID: ReplicaID(r.ID), AgentID: s.in.AgentID, Start: true})
	}
	return err
}
