package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
)

// healWithin is how long a Termination goes on watching for a late heir.
const healWithin = time.Hour

// TerminationInput starts a Termination. Outcome is undecided while the Guardian
// still looks for an heir.
type TerminationInput struct {
	Notice   interruption.Notice  `json:"notice"`
	Outcome  interruption.Outcome `json:"outcome"`
	ClientID string               `json:"client_id,omitempty"`
	Keeping  agent.Keeping        `json:"keeping,omitempty"`
	Launcher agent.Launcher       `json:"launcher,omitempty"`
	CallOff  []string             `json:"call_off,omitempty"` // the switches in flight
}

// TerminationResult is how the loss of an instance ended.
type TerminationResult struct {
	Outcome interruption.Outcome `json:"outcome"`
	Left    time.Duration        `json:"left"` // before the deadline, when it was decided
}

// Termination is what operators see of a lost instance, and its aftercare: it
// calls a switch off, ends the promoted replica's stand-by, and watches the old
// instance until AWS has taken it. The role change itself is the Guardian's:
// nothing here is on the way of the answer. It launches nothing and changes no
// roles, so there is nothing to undo; it cannot be called off.
func Termination(ctx workflow.Context, in TerminationInput) (*TerminationResult, error) {
	op, err := show(ctx, KindTermination, in.Notice.AgentID)
	if err != nil {
		return nil, err
	}
	op.progress.Committed = true
	t := &terminationRun{operation: op, in: in, outcome: in.Outcome}
	t.listen(ctx)
	return t.run(ctx)
}

type terminationRun struct {
	*operation
	in      TerminationInput
	outcome interruption.Outcome
	left    time.Duration // when it was decided
}

func (t *terminationRun) listen(ctx workflow.Context) {
	news := workflow.GetSignalChannel(ctx, SignalNews)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var n activities.News
			if more := news.Receive(ctx, &n); !more {
				return
			}
			if n.Outcome != nil && !t.promoted() {
				t.outcome = *n.Outcome
			}
		}
	})
}

func (t *terminationRun) promoted() bool { return t.outcome.Result == interruption.Promoted }

func (t *terminationRun) run(ctx workflow.Context) (*TerminationResult, error) {
	n := t.in.Notice
	t.begin(ctx, activities.BeginOperation{Summary: "AWS takes " + n.InstanceID, Cause: string(n.Kind), InstanceID: n.InstanceID, ReplicaID: t.outcome.ReplicaID, Deadline: &n.Deadline})
	t.note(ctx, "notice taken", stepDone, "%s goes at %s", n.InstanceID, n.Deadline.UTC().Format(time.TimeOnly))
	if err := t.callOff(ctx); err != nil {
		return nil, err
	}
	if err := t.awaitHeir(ctx); err != nil {
		return nil, err
	}
	if !t.promoted() {
		return t.unhealed(ctx)
	}
	t.left = n.Deadline.Sub(workflow.Now(ctx))
	t.progress.ReplicaID, t.progress.NewInstanceID = t.outcome.ReplicaID, t.outcome.NewPrimary
	t.note(ctx, "primary changed", stepDone, "%s took over from %s", t.outcome.NewPrimary, n.InstanceID)
	if err := t.aftercare(ctx); err != nil {
		return nil, err
	}
	t.end(ctx, activities.EndOperation{State: stateSucceeded, Phase: "done", Summary: t.outcome.NewPrimary + " took over from " + n.InstanceID})
	return &TerminationResult{Outcome: t.outcome, Left: t.left}, nil
}

// callOff tells the switches in flight that a failover needs their instance.
func (t *terminationRun) callOff(ctx workflow.Context) error {
	var msgs *activities.Messages
	for _, id := range t.in.CallOff {
		if err := deliver(ctx, "call off "+id, msgs.CallOffSwitch, activities.CallOff{OperationID: id, Why: "AWS takes " + t.in.Notice.InstanceID}); err != nil {
			return err
		}
		t.note(ctx, "call off "+id, stepDone, "its instance may take over")
	}
	return nil
}

// awaitHeir returns when the Guardian has decided. Until the deadline it only
// listens; it reads for itself there, and goes on for a while: an agent that was
// lost is healed by a late heir.
func (t *terminationRun) awaitHeir(ctx workflow.Context) error {
	if t.promoted() {
		return nil
	}
	n := t.in.Notice
	t.enter(ctx, "looking_for_an_heir", "nothing can take over from %s yet", n.InstanceID)
	if _, err := workflow.AwaitWithTimeout(ctx, max(n.Deadline.Sub(workflow.Now(ctx)), 0), t.promoted); err != nil {
		return err
	}
	until := workflow.Now(ctx).Add(healWithin)
	for pause := 5 * time.Second; !t.promoted() && workflow.Now(ctx).Before(until); pause = min(2*pause, 5*time.Minute) {
		before := t.outcome.Result
		if err := t.read(ctx); err != nil {
			return err
		}
		switch {
		case t.promoted():
			return nil
		case t.outcome.Result == interruption.NotPrimary:
			return nil
		case before != interruption.Lost && t.outcome.Result == interruption.Lost:
			t.enter(ctx, "lost", "the deadline passed without an heir; a replacement is still being made")
		}
		if _, err := workflow.AwaitWithTimeout(ctx, pause, t.promoted); err != nil {
			return err
		}
	}
	return nil
}

// read asks Postgres how the notice stands.
func (t *terminationRun) read(ctx workflow.Context) error {
	var local *activities.Roles
	var set roles.Set
	err := lasting(ctx, "read the outcome", local.LoadRoles, &set, t.in.Notice.AgentID)
	if fault.Is(err, agent.NotFound) {
		t.outcome.Result = interruption.NotPrimary
		return nil
	}
	if err != nil {
		return err
	}
	if o, told := set.Outcome(t.in.Notice.InstanceID, interruption.Termination); told && !t.promoted() {
		t.outcome = o
	}
	return nil
}

// unhealed ends the page of a notice that nothing answered.
func (t *terminationRun) unhealed(ctx workflow.Context) (*TerminationResult, error) {
	res := &TerminationResult{Outcome: t.outcome}
	if t.outcome.Result == interruption.NotPrimary {
		t.end(ctx, activities.EndOperation{State: stateSucceeded, Phase: "done", Summary: t.in.Notice.InstanceID + " was nobody's primary any more"})
		return res, nil
	}
	t.end(ctx, activities.EndOperation{State: stateFailed, Phase: "lost", Summary: "nothing took over from " + t.in.Notice.InstanceID, Code: string(interruption.NoReplica),
		Error: "the deadline passed without an heir", Notify: t.in.Notice.AgentID + " has had no living primary for an hour", Severity: "critical"})
	return res, nil
}

// aftercare is what follows a change of primary. Each step is recorded with the
// seconds that were left; what does not fit before the deadline is dropped.
func (t *terminationRun) aftercare(ctx workflow.Context) error {
	var msgs *activities.Messages
	var instances *activities.Instances
	n := t.in.Notice
	if err := deliver(ctx, "release replica "+t.outcome.ReplicaID, msgs.ReleaseReplica, activities.Release{AgentID: n.AgentID,
		ReplicaID: t.outcome.ReplicaID, InstanceID: t.outcome.NewPrimary, As: replica.Promoted}); err != nil {
		return err
	}
	t.note(ctx, "replica released", stepDone, "%s is no stand-by any more", t.outcome.NewPrimary)
	if err := deliver(ctx, "wake the guardian", msgs.WakeGuardian, activities.WakeInput{AgentID: n.AgentID, Why: "failed over"}); err != nil {
		return err
	}
	t.note(ctx, t.handBack(), stepDone, "")
	if t.in.Launcher == agent.ByAgent {
		t.note(ctx, "watch "+n.InstanceID, stepDropped, "its account is the agent's")
		t.save(ctx)
		return workflow.Sleep(ctx, max(n.Deadline.Sub(workflow.Now(ctx)), 0))
	}
	t.checkHeir(ctx)
	t.enter(ctx, "waiting_for_aws", "%s runs until AWS takes it", n.InstanceID)
	if err := workflow.Sleep(ctx, max(n.Deadline.Sub(workflow.Now(ctx)), 0)); err != nil { // it will not go before
		return err
	}
	var seen activities.InstanceState
	err := step(ctx, watchPolicy, "wait until "+n.InstanceID+" is gone", instances.AwaitGone, activities.WatchInput{AgentID: n.AgentID, InstanceID: n.InstanceID}).Get(ctx, &seen)
	switch {
	case isCancel(err):
		return err
	case err != nil:
		t.note(ctx, "watch "+n.InstanceID, stepFailed, "%s", err) // the sweep is the second line
	default:
		t.note(ctx, n.InstanceID+" is gone", stepDone, "%s %s", seen.State, seen.Reason)
	}
	return nil
}

// checkHeir looks at the new primary at EC2 while the old one still lives. One
// look is a local step: it is short, and optional.
func (t *terminationRun) checkHeir(ctx workflow.Context) {
	var instances *activities.Instances
	name := "look at " + t.outcome.NewPrimary
	if t.in.Notice.Deadline.Sub(workflow.Now(ctx)) < interruption.Margin {
		t.note(ctx, name, stepDropped, "no time is left")
		return
	}
	var seen activities.InstanceState
	err := localStepWith(ctx, lookPolicy, name, instances.DescribeInstance, activities.WatchInput{AgentID: t.in.Notice.AgentID, InstanceID: t.outcome.NewPrimary}).Get(ctx, &seen)
	if err != nil {
		t.note(ctx, name, stepFailed, "%s", err)
		return
	}
	t.note(ctx, name, stepDone, "%s", seen.State)
}

// handBack says who cares for the agent from now on.
func (t *terminationRun) handBack() string {
	if t.in.Keeping == agent.KeepManual {
		return "a new standby is being built"
	}
	return "handed back to the engine"
}
