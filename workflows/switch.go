package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
	"spotkeeper/internal/switching"
)

// SwitchInput starts a Switch. Fields are only ever added.
type SwitchInput struct {
	AgentID       string           `json:"agent_id"`
	ClientID      string           `json:"client_id,omitempty"`
	CommandID     string           `json:"command_id,omitempty"` // empty: nobody ordered it
	Launcher      agent.Launcher   `json:"launcher"`
	Target        switching.Target `json:"target"`
	Reason        string           `json:"reason,omitempty"`
	Trigger       string           `json:"trigger,omitempty"`
	OldInstanceID string           `json:"old_instance_id,omitempty"`
	ReplicaID     string           `json:"replica_id,omitempty"` // made for this switch, when we launch
	Epoch         int64            `json:"epoch,omitempty"`
	KeepOld       time.Duration    `json:"keep_old,omitempty"`
	Fate          roles.Fate       `json:"fate,omitempty"`
	Reported      bool             `json:"reported,omitempty"` // started by a report that nobody waited for
	Resumed       bool             `json:"resumed,omitempty"`  // its first start was lost: the news of its replica may have come and gone
}

// SwitchStatus is the result of a Switch.
type SwitchStatus struct {
	Phase         switching.Phase `json:"phase"`
	NewInstanceID string          `json:"new_instance_id,omitempty"`
}

// Switch moves an agent to a fresh instance and retires the old one. Its instance
// is a replica like any other, so a switch that is called off before the cut-over
// leaves it to the failover that called it off; one that fails or is cancelled
// retires it. From the cut-over on, Switch only goes forward: what is left is to
// end the old instance.
func Switch(ctx workflow.Context, in SwitchInput) (*SwitchStatus, error) {
	op, err := show(ctx, KindSwitch, in.AgentID)
	if err != nil {
		return nil, err
	}
	s := &switchRun{operation: op, in: in, replicaID: in.ReplicaID}
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	return s.run(ctx)
}

type switchRun struct {
	*operation
	in        SwitchInput
	status    SwitchStatus
	replicaID string
	ready     bool          // the replica can take over
	lost      error         // the replica, or the agent's attempt, failed
	report    *SwitchReport // of the agent, when it launches: the one that names the instance
	callOff   string        // why it was called off
	cancelled bool          // by a person
}

func (s *switchRun) listen(ctx workflow.Context) error {
	news, callOff, reports := workflow.GetSignalChannel(ctx, SignalNews), workflow.GetSignalChannel(ctx, SignalCallOff), workflow.GetSignalChannel(ctx, SignalReport)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var n activities.News
			if more := news.Receive(ctx, &n); !more {
				return
			}
			s.hear(n)
		}
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		var c activities.CallOff
		callOff.Receive(ctx, &c)
		s.callOff = c.Why
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var r SwitchReport
			if more := reports.Receive(ctx, &r); !more {
				return
			}
			s.hearAgent(r)
		}
	})
	return workflow.SetUpdateHandler(ctx, UpdateCancel, func(workflow.Context, CancelInput) (*OperationAnswer, error) {
		if s.progress.Committed || s.callOff != "" {
			return nil, Committed.New("%s is past its point of no return", s.progress.OperationID).With("operation_id", s.progress.OperationID)
		}
		s.cancelled = true
		return &OperationAnswer{OperationID: s.progress.OperationID}, nil
	})
}

func (s *switchRun) hear(n activities.News) {
	switch n.State {
	case replica.Ready:
		s.ready, s.status.NewInstanceID = true, n.InstanceID
	case replica.Failed:
		s.lost = fault.Code(n.Code).New("%s", n.Error)
	default:
		s.status.NewInstanceID = n.InstanceID
	}
}

// hearAgent takes in what the agent says of its attempt. The one that names the
// instance counts; one that only says "failed" ends the wait.
func (s *switchRun) hearAgent(r SwitchReport) {
	switch {
	case r.Done && !r.Success:
		if s.report == nil {
			s.lost = switching.NeverReady.New("the agent reports that the switch failed: %s", r.Message)
		}
	case r.InstanceID != "" && s.report == nil:
		s.report, s.ready, s.status.NewInstanceID = &r, true, r.InstanceID
	}
}

func (s *switchRun) run(ctx workflow.Context) (*SwitchStatus, error) {
	s.begin(ctx, activities.BeginOperation{Summary: s.summary(), Cause: s.in.Reason, InstanceID: s.in.OldInstanceID, ReplicaID: s.in.ReplicaID})
	if s.in.Reported {
		if done, err := s.takeOver(ctx); done || err != nil {
			return s.answer(ctx, err)
		}
	}
	if s.in.Resumed {
		if err := s.catchUp(ctx); err != nil {
			return nil, s.abandon(ctx, err)
		}
	}
	if err := s.await(ctx); err != nil {
		return nil, s.abandon(ctx, err)
	}
	if s.callOff != "" {
		return s.letGo(ctx)
	}

	// The point of no return: from here on neither a cancellation nor a call-off
	// is heard. The epoch refuses the cut-over when a failover was faster.
	s.progress.Committed = true
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if err := s.cutOver(ctx); err != nil {
		return nil, s.abandon(ctx, err)
	}
	return s.retireOld(ctx)
}

// await returns when the new instance is ready, or the switch was called off.
func (s *switchRun) await(ctx workflow.Context) error {
	limit := 2 * switching.ReadyDeadline // the Replica has its own, shorter one
	s.phase(ctx, switching.Launching, "launching towards %s %s", s.in.Target.Mode, s.in.Target.PoolID)
	if s.in.Launcher == agent.ByAgent {
		limit = switching.AgentDeadline
	}
	settled := func() bool { return s.ready || s.lost != nil || s.callOff != "" || s.cancelled }
	deadline := workflow.Now(ctx).Add(limit)
	intime, err := workflow.AwaitWithTimeout(ctx, limit, func() bool { return settled() || s.status.NewInstanceID != "" })
	if err == nil && intime && !settled() {
		s.progress.NewInstanceID = s.status.NewInstanceID
		s.phase(ctx, switching.Waiting, "%s is starting", s.status.NewInstanceID)
		intime, err = workflow.AwaitWithTimeout(ctx, max(deadline.Sub(workflow.Now(ctx)), 0), settled)
	}
	switch {
	case err != nil:
		return err
	case s.cancelled:
		return Cancelled.New("a person called it off")
	case s.callOff != "":
		return nil
	case s.lost != nil:
		return s.lost
	case !intime:
		return switching.NeverReady.New("no instance was ready within %s", limit)
	}
	return nil
}

// cutOver makes the new instance primary, and says so to all who wait for it.
func (s *switchRun) cutOver(ctx workflow.Context) error {
	var local *activities.Roles
	var msgs *activities.Messages
	s.progress.NewInstanceID = s.status.NewInstanceID
	s.phase(ctx, switching.CuttingOver, "making %s primary instead of %s", s.status.NewInstanceID, s.in.OldInstanceID)
	if s.in.Launcher == agent.ByAgent {
		if err := s.adopt(ctx); err != nil {
			return err
		}
	}
	c := roles.Change{AgentID: s.in.AgentID, Epoch: s.in.Epoch, OldID: s.in.OldInstanceID, NewID: s.status.NewInstanceID, ReplicaID: s.replicaID,
		Fate: s.in.Fate, Cause: roles.BySwitch, OperationID: s.progress.OperationID}
	if err := lasting(ctx, "make "+c.NewID+" primary", local.ChangeRoles, nil, c); err != nil {
		return err
	}
	s.note(ctx, "primary changed", stepDone, "%s", c.NewID)
	s.closeCommand(ctx, "completed", "")
	if err := s.release(ctx, replica.Promoted); err != nil {
		return err
	}
	return deliver(ctx, "wake the guardian", msgs.WakeGuardian, activities.WakeInput{AgentID: s.in.AgentID, Why: "switched"})
}

// retireOld ends the old instance when its time is over, if that is ours to do.
func (s *switchRun) retireOld(ctx workflow.Context) (*SwitchStatus, error) {
	var instances *activities.Instances
	old := s.in.OldInstanceID
	switch s.in.Fate {
	case roles.Retire:
		s.phase(ctx, switching.Retiring, "ending %s in %s", old, s.in.KeepOld)
		if err := workflow.Sleep(ctx, s.in.KeepOld); err != nil {
			return nil, err
		}
		err := step(ctx, retirePolicy, "terminate "+old, instances.RetireInstance, activities.WatchInput{AgentID: s.in.AgentID, InstanceID: old}).Get(ctx, nil)
		switch {
		case err == nil:
			s.note(ctx, "terminate "+old, stepDone, "")
		case fault.Is(err, roles.IsPrimary):
			s.note(ctx, "terminate "+old, stepDropped, "it is the primary again")
		default:
			err = UndoFailed.Wrap(err, "instance %s may still be running", old)
			s.endBadly(ctx, err, s.summary()+": the old instance may still be running", "Instance "+old+" could not be terminated and may still cost money")
			return nil, err
		}
	case roles.Leave:
		s.note(ctx, "old instance", stepDone, "%s is left to its agent", old)
	default:
		s.note(ctx, "old instance", stepDone, "%s is kept", old)
	}
	s.phase(ctx, switching.Done, "the agent lives on %s", s.status.NewInstanceID)
	s.end(ctx, activities.EndOperation{State: stateSucceeded, Summary: s.summary() + " to " + s.status.NewInstanceID})
	return &s.status, nil
}

// phase records how far the switch is, in its row and on its page.
func (s *switchRun) phase(ctx workflow.Context, p switching.Phase, format string, args ...any) {
	s.status.Phase = p
	s.record(ctx, "")
	s.enter(ctx, string(p), format, args...)
}

func (s *switchRun) summary() string { return "switch of " + s.in.AgentID }
