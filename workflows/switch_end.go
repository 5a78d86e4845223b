package workflows

import (
	"cmp"
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
	"spotkeeper/internal/switching"
)

// abandon gives the switch up and returns its cause. The replica is closed in
// Postgres first; one that a failover has promoted is not closed, and left alone.
func (s *switchRun) abandon(ctx workflow.Context, cause error) error {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if isCancel(cause) {
		cause = Cancelled.Wrap(cause, "%s was called off", s.progress.OperationID)
	}
	s.status.Phase = switching.Abandoned
	s.record(ctx, string(fault.CodeOf(cause)))
	s.enter(ctx, string(switching.Abandoned), "%s", cause)
	status := "failed"
	if isCancel(cause) {
		status = "cancelled"
	}
	s.closeCommand(ctx, status, sentence(cause))
	if err := s.retireReplica(ctx); err != nil {
		return err
	}
	s.endBadly(ctx, cause, s.summary()+" was given up", "A switch of "+s.in.AgentID+" failed: "+sentence(cause))
	return cause
}

// letGo leaves the replica to the failover that called the switch off, and sees
// to it that it is not forgotten when the failover took another one.
func (s *switchRun) letGo(ctx workflow.Context) (*SwitchStatus, error) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	s.status.Phase = switching.Abandoned
	s.record(ctx, string(switching.CalledOff))
	s.enter(ctx, string(switching.Abandoned), "called off: %s", s.callOff)
	s.closeCommand(ctx, "cancelled", s.callOff)
	deadline := workflow.Now(ctx).Add(switching.AgentDeadline)
	for pause := 2 * time.Second; ; pause = min(2*pause, 30*time.Second) {
		settled, err := s.settled(ctx, deadline)
		if err != nil {
			return nil, err
		}
		if settled {
			break
		}
		seen := s.status.NewInstanceID
		if _, err := workflow.AwaitWithTimeout(ctx, pause, func() bool { return s.status.NewInstanceID != seen || s.lost != nil }); err != nil {
			return nil, err
		}
	}
	s.end(ctx, activities.EndOperation{State: stateCancelled, Summary: s.summary() + " was called off: " + s.callOff, Code: string(switching.CalledOff)})
	return &s.status, nil
}

// settled says whether nothing of a switch that was called off is left to care
// for: its replica was promoted or given up. One that nobody needs is retired.
func (s *switchRun) settled(ctx workflow.Context, deadline time.Time) (bool, error) {
	if s.replicaID == "" && s.in.Launcher == agent.ByAgent {
		// The agent does not hear a call-off: it may yet report an instance.
		if s.report == nil {
			silent := s.lost != nil || !workflow.Now(ctx).Before(deadline)
			return silent, nil //nolint:nilerr // its failure is an end too, not ours
		}
		if err := s.adopt(ctx); err != nil {
			s.note(ctx, "late report", stepFailed, "%s", err)
			return true, nil
		}
	}
	var local *activities.Roles
	var set roles.Set
	if err := lasting(ctx, "read the roles", local.LoadRoles, &set, s.in.AgentID); err != nil {
		return false, err
	}
	if _, open := set.Replica(s.replicaID); !open {
		return true, nil
	}
	if _, waits := set.Undecided(); waits {
		return false, nil
	}
	return true, s.retireReplica(ctx)
}

// retireReplica gives up the replica of the switch, if it is still to be had.
func (s *switchRun) retireReplica(ctx workflow.Context) error {
	var local *activities.Roles
	if s.replicaID == "" {
		return nil
	}
	var ours bool
	err := lasting(ctx, "retire replica "+s.replicaID, local.AdvanceReplica, &ours, roles.Step{ReplicaID: s.replicaID, To: replica.Retiring})
	if err != nil || !ours {
		return err
	}
	return s.release(ctx, replica.Retiring)
}

func (s *switchRun) release(ctx workflow.Context, as replica.State) error {
	var msgs *activities.Messages
	return deliver(ctx, "release replica "+s.replicaID, msgs.ReleaseReplica, activities.Release{
		AgentID: s.in.AgentID, ReplicaID: s.replicaID, InstanceID: s.status.NewInstanceID, As: as, Launcher: s.in.Launcher})
}

// adopt takes in the instance that the agent launched: as a replica, so that the
// same guarded change of roles serves both launchers. The switch goes on from the
// roles as they are now, because the agent's word is younger than the command.
func (s *switchRun) adopt(ctx workflow.Context) error {
	var local *activities.Roles
	var opened roles.Opened
	key := cmp.Or(s.in.CommandID, s.status.NewInstanceID)
	in := roles.Opening{AgentID: s.in.AgentID, Kind: replica.Switch, For: key, CreatedBy: "agent", Reason: s.in.Reason, RequestID: "report/" + key,
		InstanceID: s.status.NewInstanceID, Plan: replica.Plan{Pool: s.in.Target.PoolID, Mode: s.in.Target.Mode, InstanceType: s.in.Target.InstanceType}}
	if err := lasting(ctx, "take in "+s.status.NewInstanceID, local.OpenReplica, &opened, in); err != nil {
		return err
	}
	s.replicaID, s.progress.ReplicaID = opened.Replica.ID, opened.Replica.ID
	if s.callOff == "" && s.in.OldInstanceID == "" || s.in.Reported {
		s.in.OldInstanceID, s.in.Epoch = opened.Set.Primary.ID, opened.Set.Epoch
		s.in.Fate = roles.Leave
		if !opened.Set.AutoTerminate {
			s.in.Fate = roles.Keep
		}
	}
	return nil
}

// takeOver judges a report that nobody waited for. It answers true when there is
// nothing to do: the instance is the primary already, or a Switch in flight is
// told instead.
func (s *switchRun) takeOver(ctx workflow.Context) (bool, error) {
	var local *activities.Roles
	var msgs *activities.Messages
	if _, err := workflow.AwaitWithTimeout(ctx, time.Second, func() bool { return s.report != nil || s.lost != nil }); err != nil {
		return false, err
	}
	if s.report == nil {
		return true, nil
	}
	var set roles.Set
	if err := lasting(ctx, "read the roles", local.LoadRoles, &set, s.in.AgentID); err != nil {
		return false, err
	}
	switch {
	case set.Primary.ID == s.report.InstanceID:
		return true, nil
	case set.OpenSwitch != "" && set.OpenSwitch != s.in.CommandID:
		n := activities.News{OperationID: SwitchID(set.OpenSwitch), InstanceID: s.report.InstanceID, State: replica.Ready}
		return true, deliver(ctx, "tell "+n.OperationID, msgs.TellOperation, n)
	}
	return false, nil
}

// catchUp reads what a switch has missed that starts late. Whatever happens to its
// replica from now on it is told.
func (s *switchRun) catchUp(ctx workflow.Context) error {
	var local *activities.Roles
	var set roles.Set
	if err := lasting(ctx, "read the roles", local.LoadRoles, &set, s.in.AgentID); err != nil {
		return err
	}
	r, open := set.Replica(s.replicaID)
	switch {
	case set.Primary.ID != s.in.OldInstanceID:
		return roles.Stale.New("%s is the primary now, not %s", set.Primary.ID, s.in.OldInstanceID)
	case !open:
		return switching.NeverReady.New("its replica ended before the switch began")
	}
	s.ready, s.status.NewInstanceID = s.ready || r.State == replica.Ready, cmp.Or(s.status.NewInstanceID, r.InstanceID)
	return nil
}

// answer ends a switch that had nothing to do.
func (s *switchRun) answer(ctx workflow.Context, err error) (*SwitchStatus, error) {
	if err != nil {
		return nil, s.abandon(ctx, err)
	}
	s.status.Phase = switching.Done
	s.end(ctx, activities.EndOperation{State: stateSucceeded, Phase: string(switching.Done), Summary: s.summary() + ": the report was known already"})
	return &s.status, nil
}

// record keeps the switch's row. One that nobody ordered has none of ours.
func (s *switchRun) record(ctx workflow.Context, code string) {
	var local *activities.Switches
	if s.in.CommandID == "" {
		return
	}
	write := s.page
	if s.status.Phase.Over() { // until it is written the agent counts as being switched
		write = s.settle
	}
	write(ctx, "record "+string(s.status.Phase), local.RecordSwitch, activities.SwitchPhase{
		CommandID: s.in.CommandID, AgentID: s.in.AgentID, OperationID: s.progress.OperationID, Phase: s.status.Phase, Trigger: s.in.Trigger,
		OldID: s.in.OldInstanceID, NewID: s.status.NewInstanceID, Code: code})
}

func (s *switchRun) closeCommand(ctx workflow.Context, status, message string) {
	var local *activities.Switches
	if s.in.CommandID == "" {
		return
	}
	s.settle(ctx, "close the command: "+status, local.CloseCommand, activities.CommandResult{CommandID: s.in.CommandID, Status: status, Message: message})
}
