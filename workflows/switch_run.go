package workflows

import (
	"cmp"
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows/steps"
)

// switchStep is what a switch does next.
type switchStep int

// Steps of a switch. Those below switchFinish lead to another look at the rows, the
// others to its end.
const (
	switchWait    switchStep = iota // for the instance
	switchOpen                      // decide on the replica
	switchCutOver                   // make the new instance primary
	switchFinish                    // it has cut over: do what is left
	switchKnown                     // the new instance is the primary without us
	switchLetGo                     // AWS takes the old primary: a failover goes first
	switchAbandon                   // give it up
)

// Pauses of a switch.
const (
	switchLook        = 30 * time.Second // between two looks at the rows, when no news comes
	switchFirstPause  = 2 * time.Second  // after a refused step, growing
	switchMaxRefusals = 6                // of steps that Postgres refuses; then it is given up
)

// switchRun is a switch in flight: the steps that Switch and AgentSwitch share. Each
// brings its own judgement of the rows.
type switchRun struct {
	*operation

	judge     func(*activities.SwitchFacts) (switchStep, error)
	successor func(workflow.Context) (instanceID string, err error) // makes the new instance a replica
	fate      func() roles.OldPrimaryPolicy                         // of the old instance
	limit     time.Duration                                         // until the instance is ready

	in        SwitchInput
	facts     *activities.SwitchFacts // as read last
	status    SwitchStatus
	deadline  time.Time
	refusals  int
	news      bool // the rows may have changed
	cancelled bool // by a person
	letting   bool // it was called off and only sees to its replica
}

// newSwitch registers what a switch understands. It must run before anything blocks.
func newSwitch(ctx workflow.Context, in SwitchInput) (*switchRun, error) {
	op, err := newOperation(ctx, KindSwitch, in.AgentID)
	if err != nil {
		return nil, err
	}
	s := &switchRun{operation: op, in: in}
	steps.OnSignal(ctx, SignalNews, func() { s.news = true })
	return s, workflow.SetUpdateHandler(ctx,
		UpdateCancel, func(workflow.Context, CancelInput) (*OperationAnswer, error) {
			if s.progress.Committed || s.letting {
				return nil, Committed.New("%s is past its point of no return", s.progress.OperationID).
					With("operation_id", s.progress.OperationID)
			}
			s.cancelled = true
			return &OperationAnswer{OperationID: s.progress.OperationID}, nil
		})
}

// run looks at the rows, does the next step, and looks again, until the switch ends.
func (s *switchRun) run(ctx workflow.Context) (*SwitchStatus, error) {
	s.deadline = workflow.Now(ctx).Add(s.limit)
	for {
		if err := s.read(ctx); err != nil {
			s.closeWithError(ctx, err, s.summary()+" could not be carried out", "")
			return nil, err
		}
		next, cause := s.judge(s.facts)
		switch next {
		case switchFinish:
			return s.finishMove(ctx)
		case switchKnown:
			return s.finishKnown(ctx)
		case switchLetGo:
			return s.yieldToFailover(ctx)
		case switchAbandon:
			return nil, s.abandon(ctx, cause)
		}
		if err := s.proceed(ctx, next); err != nil {
			return nil, s.abandon(ctx, err)
		}
	}
}

// read reads the state of the switch, also when the workflow was cancelled: whether
// there is something to undo shows in the rows only.
func (s *switchRun) read(ctx workflow.Context) error {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	var local *activities.Switches
	var facts activities.SwitchFacts
	s.news = false // what comes from now on may be younger than the rows
	if err := steps.RunUntilSaved(ctx, "read the switch", local.LoadSwitch, &facts,
		activities.LoadSwitchInput(s.in)); err != nil {
		return err
	}
	if s.facts == nil {
		s.facts = &facts
		s.describe(activities.OperationProgress{
			Summary:    s.summary(),
			Cause:      facts.Reason,
			InstanceID: facts.OldID,
			ReplicaID:  facts.Replica.ID,
		})
	}
	s.facts = &facts
	return nil
}

// proceed does a step that is followed by another look at the rows.
func (s *switchRun) proceed(ctx workflow.Context, next switchStep) error {
	if err := s.checkNotCancelled(ctx); err != nil {
		return err
	}
	var err error
	switch next {
	case switchOpen:
		s.enterSwitchPhase(ctx, switching.Launching, "launching towards %s %s", s.facts.Target.Mode,
			s.facts.Target.PoolID)
		err = s.openReplica(ctx)
	case switchCutOver:
		err = s.cutOver(ctx)
	default:
		return s.await(ctx)
	}
	switch {
	case fault.Is(err, switching.Busy): // another switch has not let go of its replica: the deadline bounds the wait
		s.addStep(ctx, string(s.status.Phase), stepDropped, "%s", steps.Sentence(err))
		return s.pause(ctx, switchLook)
	case fault.Is(err, roles.StaleEpoch), fault.Is(err, roles.IsPrimary), fault.Is(err, switching.AlreadyDone):
		s.refusals++
		s.addStep(ctx, string(s.status.Phase), stepDropped, "%s", steps.Sentence(err))
		if s.refusals >= switchMaxRefusals {
			return err
		}
		return s.pause(ctx, switchFirstPause<<(s.refusals-1))
	}
	return err
}

// checkNotCancelled fails when a person has called the switch off.
func (s *switchRun) checkNotCancelled(ctx workflow.Context) error {
	if s.cancelled {
		return steps.Cancelled.New("a person called it off")
	}
	return ctx.Err()
}

// await waits for news of the instance.
func (s *switchRun) await(ctx workflow.Context) error {
	f := s.facts
	switch id := cmp.Or(f.NewID, f.Replica.InstanceID); {
	case id != "" && id != s.status.NewInstanceID:
		s.status.NewInstanceID, s.progress.NewInstanceID = id, id
		s.enterSwitchPhase(ctx, switching.Waiting, "%s is starting", id)
	case s.status.Phase == "":
		s.enterSwitchPhase(ctx, switching.Launching, "launching towards %s %s", f.Target.Mode, f.Target.PoolID)
	}
	return s.waitFor(ctx, switchLook, "look at the rows again", func() bool { return s.news || s.cancelled })
}

// pause waits before a step that was refused is tried again.
func (s *switchRun) pause(ctx workflow.Context, d time.Duration) error {
	s.flush(ctx)
	return s.waitFor(ctx, d, "try the refused step again", func() bool { return s.cancelled })
}

// waitFor waits, and fails with switch.never_ready when the time of the switch is over.
func (s *switchRun) waitFor(ctx workflow.Context, d time.Duration, summary string, until func() bool) error {
	left := s.deadline.Sub(workflow.Now(ctx))
	if left <= 0 {
		return switching.NeverReady.New("no instance was ready within %s", s.limit)
	}
	if _, err := steps.AwaitWithin(ctx, min(d, left), summary, until); err != nil {
		return err
	}
	return s.checkNotCancelled(ctx)
}

// cutOver makes the new instance primary. Meanwhile it cannot be called off; the
// epoch refuses it when a failover was faster.
func (s *switchRun) cutOver(ctx workflow.Context) error {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	s.progress.Committed = true
	err := s.changeRoles(ctx)
	s.progress.Committed = err == nil
	return err
}

func (s *switchRun) changeRoles(ctx workflow.Context) error {
	var local *activities.Roles
	f := s.facts
	s.status.NewInstanceID = cmp.Or(f.NewID, f.Replica.InstanceID)
	s.progress.NewInstanceID = s.status.NewInstanceID
	s.enterSwitchPhase(ctx, switching.CuttingOver, "making %s primary instead of %s", s.status.NewInstanceID, f.Primary)
	instanceID, err := s.successor(ctx)
	if err != nil {
		return err
	}
	return steps.RunUntilSaved(ctx, "make "+instanceID+" primary", local.ChangeRoles, nil, roles.RoleChange{
		AgentID: s.in.AgentID, Epoch: f.Epoch, OldID: f.Primary, NewID: instanceID, ReplicaID: f.Replica.ID,
		Fate: s.fate(), Cause: roles.BySwitch, OperationID: s.progress.OperationID})
}

// rememberReplica keeps the replica of the switch until the rows are read again.
func (s *switchRun) rememberReplica(r roles.Replica) {
	s.facts.Replica = activities.SwitchReplica{ID: r.ID, State: r.State, InstanceID: r.InstanceID}
	s.progress.ReplicaID = r.ID
}

// enterSwitchPhase begins a phase, in the row of the switch and on its page. One that has begun
// goes on.
func (s *switchRun) enterSwitchPhase(ctx workflow.Context, p switching.Phase, format string, args ...any) {
	if s.status.Phase == p {
		return
	}
	s.record(ctx, p, "")
	s.enterPhase(ctx, string(p), format, args...)
}

// record keeps the row of the switch. A move that nothing ordered has only the row
// that its report made. Until the end of a switch is written the agent counts as
// being switched, so this keeps trying.
func (s *switchRun) record(ctx workflow.Context, p switching.Phase, code fault.Code) {
	s.status.Phase = p
	if !s.facts.Ordered {
		return
	}
	var local *activities.Switches
	in := activities.SwitchPhase{
		CommandID:   s.in.SwitchID,
		AgentID:     s.in.AgentID,
		OperationID: s.progress.OperationID,
		Phase:       p,
		Trigger:     s.facts.Trigger,
		OldID:       s.facts.OldID,
		NewID:       s.status.NewInstanceID,
		Code:        string(code),
	}
	var err error
	if p.FreesAgent() {
		err = steps.RetryWhileUnavailable(ctx, steps.PagePolicy, "record "+string(p), local.RecordSwitch, nil, in)
	} else {
		err = steps.RunLocalWith(ctx, steps.PagePolicy, "record "+string(p), local.RecordSwitch, in).Get(ctx, nil)
	}
	s.logWarning(ctx, "the phase of a switch was not recorded", err)
}

// closeCommand ends the command. One that has ended keeps its result.
func (s *switchRun) closeCommand(ctx workflow.Context, status, message string) {
	if !s.facts.Ordered {
		return
	}
	var local *activities.Switches
	in := activities.CommandResult{CommandID: s.in.SwitchID, Status: status, Message: message}
	s.logWarning(ctx, "a command was not closed",
		steps.RetryWhileUnavailable(ctx, steps.PagePolicy, "close the command: "+status, local.CloseCommand, nil, in))
}

func (s *switchRun) logWarning(ctx workflow.Context, what string, err error) {
	if err != nil {
		workflow.GetLogger(ctx).Warn(what, "agent_id", s.in.AgentID, "operation_id", s.progress.OperationID,
			"error", err)
	}
}

func (s *switchRun) summary() string {
	if s.facts == nil {
		return "switch of " + s.in.AgentID
	}
	return "switch of " + cmp.Or(s.facts.LogicalID, s.in.AgentID)
}
