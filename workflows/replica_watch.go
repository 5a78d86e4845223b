package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/workflows/steps"
)

// Refusals of EC2 in a row that are asked again, with pauses from 5 s on, before the
// replica is given up: five minutes in all, because an instance has ten to be ready.
const (
	pollRefusals = 6
	firstPause   = 5 * time.Second
	longestPause = 5 * time.Minute
)

// patience says how long to pause before something that was refused is asked again.
type patience struct{ most, refused int }

// pause returns the next pause, and false when it was refused too often.
func (p *patience) pause() (time.Duration, bool) {
	if p.refused++; p.refused > p.most {
		return 0, false
	}
	return min(firstPause<<min(p.refused-1, 10), longestPause), true
}

// poll waits until EC2 gives the answer that the activity waits for, or until a heartbeat
// from the instance arrives. The control plane may be unable to see an instance that the
// agent launched: only its heartbeat counts then. A refusal is asked again after a pause.
func (r *replicaRun) poll(ctx workflow.Context, summary string) error {
	ctx, stop := workflow.WithCancel(ctx)
	defer stop()
	var refusal error
	ask := patience{most: pollRefusals}
	hidden := false // EC2 did not know the instance at the end of the last question
	for {
		policy := steps.PollPolicy
		if r.row.Urgent() {
			policy = steps.UrgentPollPolicy
		}
		probing := r.row.Urgent() && r.row.Replica.State == replica.Launching
		if probing {
			policy.ScheduleToCloseTimeout = silentAfter
		}
		answer := r.startPoll(ctx, policy, summary)
		intime, err := r.await(ctx, r.deadline.Sub(workflow.Now(ctx)), r.instanceID+" must be ready by now",
			func() bool { return answer.IsReady() || r.ready })
		switch {
		case err != nil || r.isOver() || r.ready:
			return err
		case r.refused != nil:
			return r.refusal()
		case !intime && refusal != nil:
			return refusal
		case !intime:
			return replica.NotReady.New("instance %s was not ready within %s", r.instanceID, replica.ReadyDeadline)
		}
		refusal = answer.Get(ctx, nil)
		switch {
		case refusal == nil, isInstanceGone(refusal), steps.IsCancellation(refusal), probing && isSilent(refusal):
			return refusal
		case probing && hidden && isUnseen(refusal):
			return replica.Unseen.Wrap(refusal, "EC2 has not shown instance %s within %s", r.instanceID, unseenAfter)
		case probing && fault.Is(refusal, replica.NotRunning): // EC2 answers: the instance starts, or runs already
			hidden = isUnseen(refusal)
			if err := r.read(ctx); err != nil || r.isOver() {
				return err
			}
			continue
		}
		pause, again := ask.pause()
		if !again {
			return refusal
		}
		r.addStep(ctx, summary, stepFailed, "asking again in %s: %s", pause, steps.Sentence(refusal))
		if _, err := r.await(ctx, pause, "ask about "+r.instanceID+" again", func() bool { return r.ready }); err != nil || r.isOver() {
			return err
		}
	}
}

// silentAfter is how long EC2 may leave an urgent question about a new instance without
// an answer before the answer to its launch is all there is.
const silentAfter = 25 * time.Second

// unseenAfter is how long EC2 may answer in an emergency that it does not know a new instance before
// another one is launched: two questions. EC2 shows new instances within seconds.
const unseenAfter = 2 * silentAfter

// isUnseen says whether EC2 answers that it does not know the instance.
func isUnseen(err error) bool {
	state, _ := instanceEnd(err)
	return fault.Is(err, replica.NotRunning) && state == activities.StateAbsent
}

// isSilent says whether EC2 has not answered at all: it throttles, or is away.
func isSilent(err error) bool {
	return err != nil && !steps.IsCancellation(err) && fault.KindOf(err).Retryable() && !fault.Is(err, replica.NotRunning)
}

// awaitUp waits until the instance runs and passes its checks.
func (r *replicaRun) awaitUp(ctx workflow.Context) error {
	return r.poll(ctx, "wait until "+r.instanceID+" is up")
}

// startPoll begins a poll of EC2 about the instance. There is no answer about one that the
// agent launched.
func (r *replicaRun) startPoll(ctx workflow.Context, policy workflow.ActivityOptions, summary string) workflow.Future {
	if r.byAgent() {
		never, _ := workflow.NewFuture(ctx)
		return never
	}
	var instances *activities.Instances
	return steps.RunActivity(ctx, policy, summary, instances.AwaitUp,
		activities.UpInput{AgentID: r.in.AgentID, InstanceID: r.instanceID, ReplicaID: r.in.ReplicaID, Where: r.where,
			Urgent: r.row.Urgent()})
}

// hold waits until the replica is promoted or is over. When its time is over it wakes
// the Guardian, and keeps waiting: the Guardian decides. It does not look at EC2: the
// watch of all standbys writes into the row that an instance has stopped or ended, and
// the sweep has the row read again when news got lost.
func (r *replicaRun) hold(ctx workflow.Context) error {
	r.enterPhase(ctx, "standing_by", "%s stands by", r.instanceID)
	over := false
	for {
		if r.row.Replica.Expired && !over {
			over = true
			r.addStep(ctx, "hold is over", stepDone, "after %s", r.row.Replica.Hold)
			r.flush(ctx)
			wakeGuardian(ctx, r.in.AgentID, r.in.ReplicaID+" hold is over")
		}
		if err := r.awaitNews(ctx); err != nil {
			return err
		}
		if r.refused != nil {
			return r.refusal()
		}
		if err := r.read(ctx); err != nil || r.isOver() {
			return err
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && r.unseen.instanceID == "" && !r.stale && r.refused == nil &&
			workflow.AllHandlersFinished(ctx) {
			return workflow.NewContinueAsNewError(ctx, Replica, r.in)
		}
	}
}

// awaitNews waits for news, and until the hold is over when there is one, by the
// database's clock.
func (r *replicaRun) awaitNews(ctx workflow.Context) error {
	r.fresh = false
	came := func() bool { return r.stale || r.refused != nil }
	if left := r.row.HoldLeft; left > 0 {
		_, err := steps.AwaitWithin(ctx, max(left, time.Second), "the end of the hold of "+r.instanceID, came)
		return err
	}
	return workflow.Await(ctx, came)
}
