package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows/steps"
)

// Times of a Termination.
const (
	healWithin = time.Hour        // how long it goes on watching for a late successor
	takenAfter = 15 * time.Second // after the deadline, before it looks whether AWS has taken the instance
	overdue    = 3 * time.Minute  // after the deadline, before a notification that the instance still runs
)

// TerminationInput starts a Termination.
type TerminationInput struct {
	AgentID    string `json:"agent_id"`
	InstanceID string `json:"instance_id"`
}

// TerminationResult is how the loss of an instance ended.
type TerminationResult struct {
	Outcome interruption.Outcome `json:"outcome"`
	Left    time.Duration        `json:"left"` // before the deadline, when it was decided
	// LeftText is Left for readers of the Temporal UI, which shows a Duration in nanoseconds.
	LeftText string `json:"left_text,omitempty"`
}

// Termination is what operators see of a lost instance, and its aftercare: it wakes the
// Guardian at the moments that matter while there is no successor, has the promoted
// replica's workflow end, and watches the old instance until AWS has taken it. The
// roles are changed where the notice is taken in, or by the Guardian; the answer does not
// wait for this workflow. It reads the notice's state whenever it begins. It launches
// nothing and changes no roles, so there is nothing to undo and nothing to call off.
func Termination(ctx workflow.Context, in TerminationInput) (*TerminationResult, error) {
	op, err := newOperation(ctx, KindTermination, in.AgentID)
	if err != nil {
		return nil, err
	}
	op.progress.Committed = true
	t := &terminationRun{operation: op, in: in}
	t.listen(ctx)
	return t.run(ctx)
}

type terminationRun struct {
	*operation
	in     TerminationInput
	facts  activities.TerminationFacts
	nudges int
}

func (t *terminationRun) listen(ctx workflow.Context) {
	steps.OnSignal(ctx, SignalNews, func() { t.nudges++ })
}

func (t *terminationRun) promoted() bool { return t.facts.Outcome.Result == interruption.Promoted }

// read asks Postgres for the state of the notice. An agent or a notice that is not there any
// more concerns no primary.
func (t *terminationRun) read(ctx workflow.Context) error {
	var local *activities.Roles
	err := steps.RunUntilSaved(ctx, "read the notice", local.LoadTermination, &t.facts,
		activities.LoadTerminationInput{AgentID: t.in.AgentID, InstanceID: t.in.InstanceID})
	if fault.Is(err, agent.NotFound) {
		t.facts.Outcome.Result = interruption.NotPrimary
		return nil
	}
	return err
}

func (t *terminationRun) run(ctx workflow.Context) (*TerminationResult, error) {
	if err := t.read(ctx); err != nil {
		return nil, err
	}
	n := t.facts.Notice
	t.describe(activities.OperationProgress{
		Summary:    "AWS takes " + t.in.InstanceID,
		Cause:      string(interruption.Termination),
		InstanceID: t.in.InstanceID,
		ReplicaID:  t.facts.Outcome.ReplicaID,
		Deadline:   &n.Deadline,
	})
	t.addOpening(ctx)
	for _, id := range t.facts.Switches { // its instance may take over: it reads that and lets go
		sendNews(ctx, activities.Nudge{OperationID: id, AgentID: t.in.AgentID})
		t.addStep(ctx, "call off "+id, stepDone, "its instance may take over")
	}
	if err := t.awaitSuccessor(ctx); err != nil {
		return nil, err
	}
	if !t.promoted() {
		return t.endWithoutSuccessor(ctx)
	}
	o := t.facts.Outcome
	left := n.Deadline.Sub(workflow.Now(ctx))
	t.progress.ReplicaID, t.progress.NewInstanceID = o.ReplicaID, o.NewPrimary
	changed := workflow.Now(ctx)
	if t.facts.ChangedAt != nil {
		changed, left = *t.facts.ChangedAt, n.Deadline.Sub(*t.facts.ChangedAt)
	}
	t.addStepAt(ctx, changed, "primary changed", stepDone, "%s took over from %s", o.NewPrimary, t.in.InstanceID)
	if err := t.aftercare(ctx); err != nil {
		return nil, err
	}
	t.closeRow(ctx, activities.OperationEnd{
		State:   stateSucceeded,
		Phase:   "done",
		Summary: o.NewPrimary + " took over from " + t.in.InstanceID,
	})
	return &TerminationResult{Outcome: o, Left: left, LeftText: left.Round(time.Millisecond).String()}, nil
}

// endWords say what AWS does with an instance.
func endWords(action interruption.Action) string {
	switch action {
	case interruption.Stop:
		return "is stopped"
	case interruption.Hibernate:
		return "is hibernated"
	default:
		return "goes"
	}
}

// addOpening writes what happened when the notice was taken in, with the times.
func (t *terminationRun) addOpening(ctx workflow.Context) {
	f := t.facts
	if f.ReceivedAt.IsZero() {
		return
	}
	if f.ArrivedAt != nil {
		t.addStepAt(ctx, *f.ArrivedAt, "notice arrived", stepDone, "by the door %s", f.Notice.Door)
	}
	t.addStepAt(ctx, f.ReceivedAt, "notice durable", stepDone, "%s %s at %s", t.in.InstanceID, endWords(f.Notice.Action),
		f.Notice.Deadline.UTC().Format(time.TimeOnly))
	if f.JudgedAt != nil {
		t.addStepAt(ctx, *f.JudgedAt, "judged", stepDone, "")
	}
}

// awaitSuccessor returns when the notice is decided. It wakes the Guardian when a
// successor that was wanted should have an instance, when there is just time for a last
// resort, and at the deadline; and it continues for a while, because an agent that was
// lost is healed by a late successor.
func (t *terminationRun) awaitSuccessor(ctx workflow.Context) error {
	if t.decided() {
		return nil
	}
	deadline := t.facts.Notice.Deadline
	t.enterPhase(ctx, "looking_for_an_heir", "nothing can take over from %s yet", t.in.InstanceID)
	moments := []time.Time{workflow.Now(ctx).Add(roles.StallAfter), deadline.Add(-interruption.FailoverMargin),
		deadline.Add(100 * time.Millisecond)}
	until := deadline.Add(healWithin)
	for pause := 5 * time.Second; !t.decided() && workflow.Now(ctx).Before(until); {
		wait := pause
		late := len(moments) == 0
		if late {
			pause = min(2*pause, 5*time.Minute)
		} else {
			wait = max(moments[0].Sub(workflow.Now(ctx)), 0)
		}
		seen := t.nudges
		nudged, err := steps.AwaitWithin(ctx, wait, "look for a successor of "+t.in.InstanceID+" again",
			func() bool { return t.nudges != seen })
		if err != nil {
			return err
		}
		if !nudged {
			if !late {
				moments = moments[1:]
			}
			wakeGuardian(ctx, t.in.AgentID, "no successor yet")
		}
		before := t.facts.Outcome.Result
		if err := t.read(ctx); err != nil {
			return err
		}
		if before != interruption.Lost && t.facts.Outcome.Result == interruption.Lost {
			t.enterPhase(ctx, "lost", "the deadline passed without a successor; a replacement is still being made")
		}
	}
	return nil
}

func (t *terminationRun) decided() bool {
	return t.facts.Outcome.Result != interruption.Undecided && t.facts.Outcome.Result != interruption.Lost
}

// endWithoutSuccessor ends the page of a notice that nothing answered.
func (t *terminationRun) endWithoutSuccessor(ctx workflow.Context) (*TerminationResult, error) {
	res := &TerminationResult{Outcome: t.facts.Outcome}
	if t.decided() {
		t.closeRow(ctx, activities.OperationEnd{
			State:   stateSucceeded,
			Phase:   "done",
			Summary: t.in.InstanceID + " was not a primary any more",
		})
		return res, nil
	}
	name := t.facts.LogicalID
	if name == "" {
		name = t.in.AgentID
	}
	t.closeRow(ctx, activities.OperationEnd{
		State:    stateFailed,
		Phase:    "lost",
		Summary:  "nothing took over from " + t.in.InstanceID,
		Code:     string(interruption.NoReplica),
		Error:    "the deadline passed without a successor",
		Notify:   name + " has had no living primary for an hour",
		Severity: "critical",
	})
	return res, nil
}

// aftercare is what follows a change of primary. Each step is recorded with the
// seconds that were left; what does not fit before the deadline is dropped.
func (t *terminationRun) aftercare(ctx workflow.Context) error {
	var instances *activities.Instances
	n, o := t.facts.Notice, t.facts.Outcome
	sendNews(ctx, activities.Nudge{OperationID: ReplicaID(o.ReplicaID), AgentID: t.in.AgentID})
	t.addStep(ctx, "replica released", stepDone, "%s is no stand-by any more", o.NewPrimary)
	t.addStep(ctx, t.handBack(), stepDone, "")
	if t.facts.Launcher == agent.ByAgent {
		t.addStep(ctx, "watch "+t.in.InstanceID, stepDropped, "its account is the agent's")
		t.flush(ctx)
		return steps.Sleep(ctx, max(n.Deadline.Sub(workflow.Now(ctx)), 0), "the deadline of "+t.in.InstanceID)
	}
	t.enterPhase(ctx, "waiting_for_aws", "%s runs until AWS takes it", t.in.InstanceID)
	if err := steps.Sleep(ctx, max(n.Deadline.Add(takenAfter).Sub(workflow.Now(ctx)), 0),
		"until AWS should have taken "+t.in.InstanceID); err != nil {
		return err
	}
	var seen activities.InstanceState
	watch := activities.WatchInput{AgentID: t.in.AgentID, InstanceID: t.in.InstanceID}
	// It should have gone by now, so one look in this task is likely to be enough.
	err := steps.RunLocalWith(ctx, steps.LookPolicy, "look whether "+t.in.InstanceID+" is gone", instances.AwaitGone, watch).
		Get(ctx, &seen)
	if err != nil && !steps.IsCancellation(err) {
		var decided bool
		if decided, err = t.awaitTaken(ctx, watch, &seen); decided {
			return err
		}
	}
	switch {
	case steps.IsCancellation(err):
		return err
	case err != nil:
		t.addStep(ctx, "watch "+t.in.InstanceID, stepFailed, "%s", steps.Sentence(err)) // the orphan sweep is the second line
	case seen.State == activities.StateStopped || seen.State == activities.StateStopping:
		return t.endStopped(ctx, seen)
	default:
		t.addStep(ctx, t.in.InstanceID+" is gone", stepDone, "%s %s", seen.State, seen.Reason)
	}
	return nil
}

// endStopped ends an instance that AWS has only stopped: it still costs, and could come
// back beside its successor.
func (t *terminationRun) endStopped(ctx workflow.Context, seen activities.InstanceState) error {
	t.addStep(ctx, t.in.InstanceID+" has stopped", stepDone, "%s %s", seen.State, seen.Reason)
	return t.endOld(ctx)
}

func (t *terminationRun) endOld(ctx workflow.Context) error {
	var instances *activities.Instances
	id := t.in.InstanceID
	err := steps.RunActivity(ctx, steps.RetirePolicy, "terminate "+id, instances.RetireInstance,
		activities.WatchInput{AgentID: t.in.AgentID, InstanceID: id}).Get(ctx, nil)
	switch {
	case steps.IsCancellation(err):
		return err
	case adoption.Refused(err):
		t.addStep(ctx, "terminate "+id, stepDropped, "%s", steps.Sentence(err))
	case err != nil:
		t.addStep(ctx, "terminate "+id, stepFailed, "%s", steps.Sentence(err)) // the orphan sweep is the second line
	default:
		t.addStep(ctx, "terminate "+id, stepDone, "")
	}
	return nil
}

// handBack says what cares for the agent from now on.
func (t *terminationRun) handBack() string {
	if t.facts.Keeping == agent.KeepManual {
		return "a new standby is being built"
	}
	return "handed back to the engine"
}
