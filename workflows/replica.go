package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
)

// recheckEvery is how often a held replica makes sure that it is still wanted. A
// release that got lost with its sender is found out so.
const recheckEvery = 6 * time.Hour

// releaseWithin is how long a release may take that Postgres knows of already.
const releaseWithin = 30 * time.Second

// ReplicaInput starts a Replica. One that is started by a release, only to retire
// an instance, has nothing but the first two.
type ReplicaInput struct {
	AgentID    string         `json:"agent_id"`
	ReplicaID  string         `json:"replica_id"`
	ClientID   string         `json:"client_id,omitempty"`
	Kind       replica.Kind   `json:"kind,omitempty"`
	For        string         `json:"for,omitempty"`
	Launcher   agent.Launcher `json:"launcher,omitempty"`
	Delay      time.Duration  `json:"delay,omitempty"` // back-off before the launch
	Hold       time.Duration  `json:"hold,omitempty"`  // zero: until it is released
	Epoch      int64          `json:"epoch,omitempty"`
	InstanceID string         `json:"instance_id,omitempty"` // it exists already
	Ready      bool           `json:"ready,omitempty"`       // and is ready
	HoldOver   bool           `json:"hold_over,omitempty"`   // its hold ended in an earlier run
}

// ReplicaResult is how a Replica ended.
type ReplicaResult struct {
	InstanceID string        `json:"instance_id,omitempty"`
	PoolID     string        `json:"pool_id,omitempty"`
	State      replica.State `json:"state"`
}

// Replica is one standby from the decision to its end: choose a pool, launch,
// wait until it is ready, hold it until it is promoted or retired. It outlives
// the Guardian that started it, and wakes one when something changes.
//
// An instance it launched is terminated by it unless it was promoted: until the
// promotion everything can be undone, and is, also when the workflow is cancelled.
func Replica(ctx workflow.Context, in ReplicaInput) (*ReplicaResult, error) {
	op, err := show(ctx, KindReplica, in.AgentID)
	if err != nil {
		return nil, err
	}
	r := &replicaRun{operation: op, in: in, instanceID: in.InstanceID}
	if err := r.listen(ctx); err != nil {
		return nil, err
	}
	return r.run(ctx)
}

type replicaRun struct {
	*operation
	in         ReplicaInput
	instanceID string
	poolID     string
	ready      bool                // its agent said so
	refused    *ReplicaReport      // its agent gave it up
	released   *activities.Release // somebody decided its end
}

// listen takes in every message. A release that came with the start is seen at
// once, so that a Replica which is started only to retire does nothing else.
func (r *replicaRun) listen(ctx workflow.Context) error {
	release, reports := workflow.GetSignalChannel(ctx, SignalRelease), workflow.GetSignalChannel(ctx, SignalReport)
	take := func(as activities.Release) {
		if r.released == nil || as.As == replica.Promoted {
			r.released = &as
		}
	}
	var first activities.Release
	for release.ReceiveAsync(&first) {
		take(first)
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var as activities.Release
			if more := release.Receive(ctx, &as); !more {
				return
			}
			take(as)
		}
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var report ReplicaReport
			if more := reports.Receive(ctx, &report); !more {
				return
			}
			r.hear(report)
		}
	})
	return workflow.SetUpdateHandler(ctx, UpdateCancel, r.onCancel)
}

// hear takes in what the agent says. An instance, once named, stays the one.
func (r *replicaRun) hear(report ReplicaReport) {
	if r.instanceID == "" {
		r.instanceID = report.InstanceID
	}
	switch report.Status {
	case "ready":
		r.ready = true
	case "failed", "terminated":
		r.refused = &report
	}
}

// onCancel retires the replica because a person wants it.
func (r *replicaRun) onCancel(ctx workflow.Context, _ CancelInput) (*OperationAnswer, error) {
	if r.in.Kind == replica.Switch {
		return nil, Committed.New("this replica belongs to %s: call that off", SwitchID(r.in.For)).With("operation_id", SwitchID(r.in.For))
	}
	ours, err := r.record(ctx, roles.Step{To: replica.Retiring})
	switch {
	case err != nil:
		return nil, err
	case !ours:
		return nil, Committed.New("replica %s was promoted or has ended", r.in.ReplicaID)
	}
	if r.released == nil {
		r.released = &activities.Release{AgentID: r.in.AgentID, ReplicaID: r.in.ReplicaID, InstanceID: r.instanceID, As: replica.Retiring, Launcher: r.in.Launcher}
	}
	return &OperationAnswer{OperationID: r.progress.OperationID}, nil
}

func (r *replicaRun) run(ctx workflow.Context) (*ReplicaResult, error) {
	r.begin(ctx, activities.BeginOperation{Summary: r.summary(), Cause: string(r.in.Kind), ReplicaID: r.in.ReplicaID, InstanceID: r.instanceID})
	for _, phase := range []func(workflow.Context) error{r.wait, r.launch, r.awaitReady, r.hold} {
		if r.isReleased() {
			break
		}
		if err := phase(ctx); err != nil {
			if workflow.IsContinueAsNewError(err) {
				return nil, err
			}
			return r.fail(ctx, err)
		}
	}
	return r.finish(ctx)
}

// wait sits out the back-off.
func (r *replicaRun) wait(ctx workflow.Context) error {
	if r.in.Delay <= 0 {
		return nil
	}
	r.enter(ctx, "backing_off", "the launch waits %s, because former ones failed or many notices come first", r.in.Delay.Round(time.Second))
	_, err := workflow.AwaitWithTimeout(ctx, r.in.Delay, func() bool { return r.isReleased() || r.instanceID != "" })
	return err
}

// awaitReady returns when the instance could take over, or was released. EC2's
// status checks or the word of the agent on it are enough.
func (r *replicaRun) awaitReady(ctx workflow.Context) error {
	var instances *activities.Instances
	if r.in.Ready {
		return nil
	}
	watch := activities.WatchInput{AgentID: r.in.AgentID, InstanceID: r.instanceID}
	deadline := workflow.Now(ctx).Add(replica.ReadyDeadline)
	if r.in.Launcher != agent.ByAgent {
		r.enter(ctx, "starting", "waiting until %s runs", r.instanceID)
		if err := r.poll(ctx, step, "wait until "+r.instanceID+" runs", instances.AwaitRunning, watch, deadline); err != nil || r.isReleased() {
			return err
		}
	}
	if err := r.advance(ctx, roles.Step{To: replica.Running, InstanceID: r.instanceID}); err != nil || r.isReleased() {
		return err
	}
	if r.in.Kind.Emergency() { // at the deadline a running one is better than none
		if err := r.wake(ctx, "runs"); err != nil {
			return err
		}
	}
	r.enter(ctx, "synchronizing", "%s runs, waiting until it is ready", r.instanceID)
	if r.in.Launcher == agent.ByAgent {
		if err := r.awaitWord(ctx, deadline); err != nil || r.isReleased() {
			return err
		}
	} else if err := r.poll(ctx, step, "wait until "+r.instanceID+" passes its checks", instances.AwaitReady, watch, deadline); err != nil || r.isReleased() {
		return err
	}
	if err := r.advance(ctx, roles.Step{To: replica.Ready, InstanceID: r.instanceID}); err != nil || r.isReleased() {
		return err
	}
	r.note(ctx, "ready", stepDone, "%s can take over", r.instanceID)
	return r.news(ctx, replica.Ready, nil)
}

type stepper func(ctx workflow.Context, policy workflow.ActivityOptions, summary string, activity any, args ...any) workflow.Future

// poll waits for EC2, unless the agent on the instance speaks first.
func (r *replicaRun) poll(ctx workflow.Context, run stepper, summary string, activity any, in activities.WatchInput, deadline time.Time) error {
	ctx, stop := workflow.WithCancel(ctx)
	defer stop()
	seen := run(ctx, pollPolicy, summary, activity, in)
	intime, err := workflow.AwaitWithTimeout(ctx, max(deadline.Sub(workflow.Now(ctx)), 0), func() bool {
		return seen.IsReady() || r.ready || r.isReleased() || r.refused != nil
	})
	switch {
	case err != nil:
		return err
	case r.isReleased() || r.ready:
		return nil
	case r.refused != nil:
		return r.agentGaveUp()
	case !intime:
		return replica.NotReady.New("instance %s was not ready within %s", r.instanceID, replica.ReadyDeadline)
	}
	return seen.Get(ctx, nil)
}

// awaitWord waits until the agent says that its instance is ready.
func (r *replicaRun) awaitWord(ctx workflow.Context, deadline time.Time) error {
	intime, err := workflow.AwaitWithTimeout(ctx, max(deadline.Sub(workflow.Now(ctx)), 0), func() bool {
		return r.ready || r.isReleased() || r.refused != nil
	})
	switch {
	case err != nil || r.isReleased() || r.ready:
		return err
	case r.refused != nil:
		return r.agentGaveUp()
	case !intime:
		return replica.NotReady.New("the agent did not report %s ready within %s", r.instanceID, replica.ReadyDeadline)
	}
	return nil
}

func (r *replicaRun) agentGaveUp() error {
	return replica.Gone.New("its agent reports it %s: %s", r.refused.Status, r.refused.Message)
}

// hold waits for the release. When the time of a kind that is not kept for ever
// is over it wakes the Guardian, and goes on waiting: the Guardian decides. An
// instance that ends meanwhile is a failure.
func (r *replicaRun) hold(ctx workflow.Context) error {
	r.enter(ctx, "standing_by", "%s stands by", r.instanceID)
	ctx, stop := workflow.WithCancel(ctx)
	defer stop()
	gone := r.watchEnd(ctx)
	until := workflow.Now(ctx).Add(r.in.Hold)
	for over := r.in.Hold == 0 || r.in.HoldOver; !r.isReleased(); {
		pause := recheckEvery
		if left := until.Sub(workflow.Now(ctx)); !over && left < pause {
			pause = max(left, 0)
		}
		stirred, err := workflow.AwaitWithTimeout(ctx, pause, func() bool { return r.isReleased() || r.refused != nil || gone.IsReady() })
		switch {
		case err != nil:
			return err
		case r.isReleased():
		case r.refused != nil:
			return r.agentGaveUp()
		case stirred:
			if err := gone.Get(ctx, nil); err == nil {
				return replica.Gone.New("instance %s has ended", r.instanceID)
			}
			gone = r.watchEnd(ctx) // EC2 could not say: watch on
		case !over && !workflow.Now(ctx).Before(until):
			over = true
			r.note(ctx, "hold is over", stepDone, "after %s", r.in.Hold)
			r.save(ctx)
			if err := r.wake(ctx, "hold is over"); err != nil {
				return err
			}
		default:
			if err := r.recheck(ctx); err != nil {
				return err
			}
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && !r.isReleased() && r.refused == nil && workflow.AllHandlersFinished(ctx) {
			next := r.in
			next.InstanceID, next.Ready, next.Delay, next.HoldOver = r.instanceID, true, 0, over
			return workflow.NewContinueAsNewError(ctx, Replica, next)
		}
	}
	return nil
}

// watchEnd watches the held instance. One that an agent launched may be out of
// our sight: its agent tells.
func (r *replicaRun) watchEnd(ctx workflow.Context) workflow.Future {
	var instances *activities.Instances
	if r.in.Launcher == agent.ByAgent {
		never, _ := workflow.NewFuture(ctx)
		return never
	}
	return step(ctx, watchPolicy, "watch "+r.instanceID, instances.AwaitGone, activities.WatchInput{AgentID: r.in.AgentID, InstanceID: r.instanceID})
}

// recheck reads whether the replica is still open; one that is not was released,
// and the release got lost.
func (r *replicaRun) recheck(ctx workflow.Context) error {
	var local *activities.Roles
	var set roles.Set
	if err := lasting(ctx, "read the roles", local.LoadRoles, &set, r.in.AgentID); err != nil {
		if fault.Is(err, agent.NotFound) {
			set = roles.Set{}
		} else {
			return err
		}
	}
	if _, open := set.Replica(r.in.ReplicaID); open || r.isReleased() {
		return nil
	}
	as := replica.Retiring
	if set.Primary.ID == r.instanceID && r.instanceID != "" {
		as = replica.Promoted
	}
	r.released = &activities.Release{AgentID: r.in.AgentID, ReplicaID: r.in.ReplicaID, InstanceID: r.instanceID, As: as, Launcher: r.in.Launcher}
	return nil
}

func (r *replicaRun) isReleased() bool { return r.released != nil }

func isCancel(err error) bool {
	_, cancelled := errors.AsType[*temporal.CanceledError](err)
	return cancelled || errors.Is(err, workflow.ErrCanceled) || fault.Is(err, Cancelled)
}
