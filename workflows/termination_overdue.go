package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/workflows/steps"
)

// overdueVersion marks the Terminations that notify of an instance that AWS has not taken.
const overdueVersion = "tell-of-overdue-instance"

// PhaseNotTaken is the phase of a Termination whose instance has outlived its deadline: a
// person may have it ended or kept.
const PhaseNotTaken = "not_taken"

// awaitTaken waits for the end of an instance that outlives its deadline. AWS may not follow
// a notice up: after a while the client is notified, because the instance costs money and its
// successor has its place, and a person may have it ended or kept. decided says that a
// person did; otherwise seen is how EC2 shows its end.
func (t *terminationRun) awaitTaken(ctx workflow.Context, watch activities.WatchInput,
	seen *activities.InstanceState,
) (decided bool, err error) {
	var instances *activities.Instances
	watching, stop := workflow.WithCancel(ctx)
	defer stop()
	gone := steps.RunActivity(watching, steps.WatchPolicy, "wait until "+t.in.InstanceID+" is gone", instances.AwaitGone, watch)
	if workflow.GetVersion(ctx, overdueVersion, workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return false, gone.Get(ctx, seen)
	}
	notified := false
	for !gone.IsReady() {
		wait := steps.WatchPolicy.ScheduleToCloseTimeout
		if !notified {
			wait = max(t.facts.Notice.Deadline.Add(overdue).Sub(workflow.Now(ctx)), 0)
		}
		nudges := t.nudges
		if _, err := steps.AwaitWithin(ctx, wait, "watch whether AWS takes "+t.in.InstanceID,
			func() bool { return gone.IsReady() || t.nudges != nudges }); err != nil {
			return false, err
		}
		if gone.IsReady() {
			break
		}
		if !notified && !workflow.Now(ctx).Before(t.facts.Notice.Deadline.Add(overdue)) {
			notified = true
			t.notifyOverdue(ctx)
			continue
		}
		if err := t.read(ctx); err != nil {
			return false, err
		}
		if decided, err := t.followDecision(ctx, stop); decided {
			return true, err
		}
	}
	return false, gone.Get(ctx, seen)
}

func (t *terminationRun) notifyOverdue(ctx workflow.Context) {
	id := t.in.InstanceID
	t.unsaved.Warn = "AWS announced the end of " + id + " for " +
		t.facts.Notice.Deadline.UTC().Format(time.TimeOnly) + " UTC and has not taken it: " +
		t.facts.Outcome.NewPrimary + " is the primary of " + t.facts.LogicalID + ", and both cost money. " +
		"End or keep the old one by POST /api/client/instances/" + id + "/left-over"
	t.enterPhase(ctx, PhaseNotTaken, "%s lives on past its deadline; end it or keep it", id)
}

// followDecision does what a person has decided about the old instance.
func (t *terminationRun) followDecision(ctx workflow.Context, stop workflow.CancelFunc) (decided bool, err error) {
	switch t.facts.EndedBy {
	case endedByUs:
		stop()
		t.addStep(ctx, t.in.InstanceID+" is left over", stepDone, "a person has it ended")
		return true, t.endOld(ctx)
	case endedByNobody:
		stop()
		t.addStep(ctx, t.in.InstanceID+" is kept", stepDone, "a person has it kept")
		return true, nil
	}
	return false, nil
}

// Values of TerminationFacts.EndedBy that a person decides on.
const (
	endedByUs     = "us"
	endedByNobody = "nobody"
)
