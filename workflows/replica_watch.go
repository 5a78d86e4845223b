package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// lookEvery is how often a held replica reads its row when no news comes. News that got
// lost with its sender is found so.
const lookEvery = 15 * time.Minute

// Refusals of EC2 in a row that are asked again, with pauses from 5 s to 5 min, before
// the replica is given up. A poll gives up after 5 minutes, because an instance has ten
// to be ready; the watch of a held one after half an hour.
const (
	pollRefusals   = 6
	watchRefusals  = 12
	firstPause     = 5 * time.Second
	longestPause   = 5 * time.Minute
	refusalsExpire = 10 * time.Minute // a watch that lasted so long was not refused
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

// poll waits until EC2 answers what the activity waits for, unless the agent on the
// instance speaks first. An instance that the agent launched may be out of our sight:
// only its agent's word counts. A refusal is asked again after a pause.
func (r *replicaRun) poll(ctx workflow.Context, summary string, activity any) error {
	ctx, stop := workflow.WithCancel(ctx)
	defer stop()
	var refusal error
	ask := patience{most: pollRefusals}
	policy := pollPolicy
	if r.row.Urgent() && r.row.Replica.State == replica.Launching {
		policy.ScheduleToCloseTimeout = silentAfter
	}
	for {
		answer := r.startPoll(ctx, policy, summary, activity)
		intime, err := r.await(ctx, r.deadline.Sub(workflow.Now(ctx)), func() bool { return answer.IsReady() || r.ready })
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
		case refusal == nil, isInstanceGone(refusal), isCancel(refusal), policy.ScheduleToCloseTimeout == silentAfter && r.isSilent(refusal):
			return refusal
		case policy.ScheduleToCloseTimeout == silentAfter && fault.Is(refusal, replica.NotRunning):
			continue // EC2 answers: it is on its way
		}
		pause, again := ask.pause()
		if !again {
			return refusal
		}
		r.addStep(ctx, summary, stepFailed, "asking again in %s: %s", pause, sentence(refusal))
		if _, err := r.await(ctx, pause, func() bool { return r.ready }); err != nil || r.isOver() {
			return err
		}
	}
}

// silentAfter is how long EC2 may leave an urgent question about a new instance without
// an answer before the answer to its launch is all there is.
const silentAfter = 25 * time.Second

// isSilent says whether EC2 has not answered at all: it throttles, or is away.
func (*replicaRun) isSilent(err error) bool {
	return err != nil && !isCancel(err) && fault.KindOf(err).Retryable() && !fault.Is(err, replica.NotRunning)
}

// startPoll begins a poll of EC2 about the instance. There is no answer about one that the
// agent launched.
func (r *replicaRun) startPoll(ctx workflow.Context, policy workflow.ActivityOptions, summary string, activity any) workflow.Future {
	if r.byAgent() {
		never, _ := workflow.NewFuture(ctx)
		return never
	}
	return runActivity(ctx, policy, summary, activity, activities.WatchInput{AgentID: r.in.AgentID, InstanceID: r.instanceID, Standby: true})
}

// hold waits until the replica is promoted or retired. When its time is over it wakes
// the Guardian, and goes on waiting: the Guardian decides. An instance that stops or
// ends meanwhile is a failure.
func (r *replicaRun) hold(ctx workflow.Context) error {
	r.enterPhase(ctx, "standing_by", "%s stands by", r.instanceID)
	ctx, stop := workflow.WithCancel(ctx)
	defer stop()
	w := r.watch(ctx)
	over := false
	for {
		if r.row.Replica.Expired && !over {
			over = true
			r.addStep(ctx, "hold is over", stepDone, "after %s", r.row.Replica.Hold)
			r.flush(ctx)
			wakeGuardian(ctx, r.in.AgentID, r.in.ReplicaID+" hold is over")
		}
		_, err := r.await(ctx, r.nextLook(), w.end.IsReady)
		switch {
		case err != nil || r.isOver():
			return err
		case r.refused != nil:
			return r.refusal()
		case w.end.IsReady():
			if err := w.handleEnd(ctx, r); err != nil {
				return err
			}
		default:
			if err := r.read(ctx); err != nil || r.isOver() {
				return err
			}
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && !r.stale && r.refused == nil && workflow.AllHandlersFinished(ctx) {
			return workflow.NewContinueAsNewError(ctx, Replica, r.in)
		}
	}
}

// nextLook is when the row is read next although no news came: when the hold is over,
// by the database's clock, and every quarter of an hour.
func (r *replicaRun) nextLook() time.Duration {
	if left := r.row.HoldLeft; left > 0 && left < lookEvery {
		return max(left, time.Second)
	}
	return lookEvery
}

// watch is the watch of a held instance.
type watch struct {
	end      workflow.Future
	began    time.Time
	patience patience
}

func (r *replicaRun) watch(ctx workflow.Context) *watch {
	w := &watch{patience: patience{most: watchRefusals}}
	w.begin(ctx, r, 0)
	return w
}

// begin watches after a pause.
func (w *watch) begin(ctx workflow.Context, r *replicaRun, pause time.Duration) {
	var instances *activities.Instances
	end, settle := workflow.NewFuture(ctx)
	w.end, w.began = end, workflow.Now(ctx).Add(pause)
	workflow.Go(ctx, func(ctx workflow.Context) {
		if err := workflow.Sleep(ctx, pause); err != nil {
			settle.SetError(err)
			return
		}
		settle.Chain(r.startPoll(ctx, watchPolicy, "watch "+r.instanceID, instances.AwaitGone))
	})
}

// handleEnd takes the answer of a watch that has ended. An instance that has ended, or a
// watch that is refused again and again, is a failure; otherwise it watches on.
func (w *watch) handleEnd(ctx workflow.Context, r *replicaRun) error {
	var seen activities.InstanceState
	err := w.end.Get(ctx, &seen)
	switch {
	case err == nil:
		return replica.Gone.New("instance %s is %s and cannot take over", r.instanceID, seen.State)
	case isCancel(err):
		return err
	}
	if workflow.Now(ctx).Sub(w.began) >= refusalsExpire {
		w.patience.refused = 0
	}
	pause, more := w.patience.pause()
	if !more {
		return err
	}
	r.addStep(ctx, "watch "+r.instanceID, stepFailed, "watching again in %s: %s", pause, sentence(err))
	w.begin(ctx, r, pause)
	return nil
}
