package workflows

import (
	"cmp"
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows/steps"
)

// ReplicaInput names a replica. The workflow reads everything else from its row.
type ReplicaInput struct {
	AgentID   string `json:"agent_id"`
	ReplicaID string `json:"replica_id"`
}

// ReplicaResult is how a Replica ended.
type ReplicaResult struct {
	InstanceID string        `json:"instance_id,omitempty"`
	PoolID     string        `json:"pool_id,omitempty"`
	State      replica.State `json:"state"`
}

// Replica is one standby from the decision to its end: choose a pool, launch, wait
// until it is ready, hold it until it is promoted or retired. It continues from wherever
// its row stands, however late it begins. It wakes the Guardian when something changes.
//
// An instance that was launched for it is terminated by it unless it was promoted:
// until the promotion everything can be undone, and is, also when the workflow is
// cancelled.
func Replica(ctx workflow.Context, in ReplicaInput) (*ReplicaResult, error) {
	op, err := newOperation(ctx, KindReplica, in.AgentID)
	if err != nil {
		return nil, err
	}
	r := &replicaRun{operation: op, in: in}
	if err := r.listen(ctx); err != nil {
		return nil, err
	}
	out, err := r.run(ctx)
	if !workflow.IsContinueAsNewError(err) {
		idle, cancel := workflow.NewDisconnectedContext(ctx)
		defer cancel()
		if handled := workflow.Await(idle, func() bool { return workflow.AllHandlersFinished(idle) }); handled != nil {
			return nil, handled
		}
	}
	return out, err
}

type replicaRun struct {
	*operation
	in         ReplicaInput
	row        *roles.ReplicaRow // as it was last read
	stale      bool              // news came since
	fresh      bool              // this run has neither waited nor written anything since
	up         bool              // its instance runs and passes its checks
	instanceID string
	named      bool            // the agent named the instance, so its reports count and not EC2's state
	ready      bool            // its agent reported it ready
	refused    *ReplicaReport  // its agent gave it up
	deadline   time.Time       // for the instance to be ready
	launching  workflow.Future // the launch in flight
	doubts     int             // instances whose end may have been their set-up's fault or their pool's
	where      replica.Candidate
	others     bool           // candidates are left beside the one that is tried
	unseen     unseenInstance // launched, and never shown by EC2
}

// listen takes in every message. News carries no fact, so it is enough to know that
// some came. Reports are judged by the row, so the first ones wait until it is read.
func (r *replicaRun) listen(ctx workflow.Context) error {
	steps.OnSignal(ctx, SignalNews, func() { r.stale = true })
	reports := workflow.GetSignalChannel(ctx, SignalReport)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var report ReplicaReport
			if more := reports.Receive(ctx, &report); !more {
				return
			}
			if err := workflow.Await(ctx, r.isRowRead); err != nil {
				return
			}
			r.takeReport(report)
		}
	})
	return workflow.SetUpdateHandler(ctx, UpdateCancel, r.onCancel)
}

// takeReport takes in what the agent reports. An instance, once named, stays the one, and of
// an instance that the control plane launches the agent names none: a report about
// another instance is ignored.
func (r *replicaRun) takeReport(report ReplicaReport) {
	if r.instanceID == "" {
		if !r.byAgent() {
			return
		}
		r.instanceID, r.named = report.InstanceID, report.InstanceID != ""
	}
	if report.InstanceID != r.instanceID && (report.InstanceID != "" || r.takenOver()) {
		return
	}
	switch report.Status {
	case "ready":
		r.ready = true
	case "failed", "terminated":
		r.refused = &report
	}
}

// onCancel retires the replica at a person's request.
func (r *replicaRun) onCancel(ctx workflow.Context, _ CancelInput) (*OperationAnswer, error) {
	if err := workflow.Await(ctx, r.isRowRead); err != nil {
		return nil, err
	}
	if of := r.row.Replica; of.Kind == replica.Switch {
		return nil, Committed.New("this replica belongs to %s: call that off", SwitchID(of.For)).With("operation_id",
			SwitchID(of.For))
	}
	out, err := r.record(ctx, roles.ReplicaTransition{To: replica.Retiring})
	switch {
	case err != nil:
		return nil, err
	case !out.Ours:
		return nil, Committed.New("replica %s was promoted or has ended", r.in.ReplicaID)
	}
	r.stale = true
	wakeGuardian(ctx, r.in.AgentID, r.in.ReplicaID+" was called off")
	return &OperationAnswer{OperationID: r.progress.OperationID}, nil
}

func (r *replicaRun) run(ctx workflow.Context) (*ReplicaResult, error) {
	if err := r.read(ctx); err != nil {
		r.closeWithError(ctx, err, "replica "+r.in.ReplicaID+" cannot be read", "")
		return nil, err
	}
	of := r.row.Replica
	r.describe(activities.OperationProgress{
		Summary:    r.summary(),
		Cause:      string(of.Kind),
		ReplicaID:  of.ID,
		InstanceID: r.instanceID,
	})
	for _, phase := range []func(workflow.Context) error{r.wait, r.launch, r.awaitReady, r.hold} {
		if r.isOver() {
			break
		}
		if err := phase(ctx); err != nil {
			if workflow.IsContinueAsNewError(err) {
				return nil, err
			}
			return r.giveUp(ctx, err)
		}
	}
	return r.settle(ctx, nil)
}

// read reads the row again.
func (r *replicaRun) read(ctx workflow.Context) error {
	var local *activities.Roles
	var row roles.ReplicaRow
	r.stale = false
	if err := steps.RunUntilSaved(ctx, "read the replica", local.LoadReplica, &row, r.in.ReplicaID); err != nil {
		return err
	}
	r.row, r.fresh = &row, true
	r.instanceID = cmp.Or(r.instanceID, row.InstanceID())
	return nil
}

// refresh reads the row again when news came.
func (r *replicaRun) refresh(ctx workflow.Context) error {
	if !r.stale {
		return nil
	}
	return r.read(ctx)
}

// await waits until the condition holds, so long at most, and says whether it does. It
// reads the row again when news comes, and returns early when the replica is over or
// its agent gave it up. The summary is what operators read at the timer.
func (r *replicaRun) await(ctx workflow.Context, limit time.Duration, summary string, met func() bool) (bool, error) {
	until := workflow.Now(ctx).Add(limit)
	for {
		if err := r.refresh(ctx); err != nil || r.isOver() {
			return false, err
		}
		left := max(until.Sub(workflow.Now(ctx)), 0)
		r.fresh = false
		over := func() bool { return met() || r.stale || r.refused != nil }
		if _, err := steps.AwaitWithin(ctx, left, summary, over); err != nil {
			return false, err
		}
		if !r.stale {
			return met(), nil
		}
	}
}

// awaitAtLeisure is await without a limit, for what is bounded by itself.
func (r *replicaRun) awaitAtLeisure(ctx workflow.Context, met func() bool) error {
	for {
		if err := r.refresh(ctx); err != nil || r.isOver() {
			return err
		}
		r.fresh = false
		if err := workflow.Await(ctx, func() bool { return met() || r.stale || r.refused != nil }); err != nil ||
			!r.stale {
			return err
		}
	}
}

// wait sits out the back-off, which is in the row.
func (r *replicaRun) wait(ctx workflow.Context) error {
	for first := true; r.row.Replica.Wait > 0 && r.instanceID == "" && !r.isOver(); first = false {
		pause := r.row.Replica.Wait
		if first {
			r.enterPhase(ctx, "backing_off",
				"the launch waits %s, because former ones failed or many notices come first", pause.Round(time.Second))
		}
		_, err := r.await(ctx, pause, "the launch waits", func() bool { return r.instanceID != "" })
		if err != nil || r.isOver() || r.refused != nil {
			return cmp.Or(err, r.refusal())
		}
		if err := r.read(ctx); err != nil {
			return err
		}
	}
	return nil
}

// awaitReady returns when the instance could take over, or the replica has ended. EC2's
// status checks or a heartbeat of the agent on it are enough.
func (r *replicaRun) awaitReady(ctx workflow.Context) error {
	if r.row.Replica.State == replica.Ready {
		return nil
	}
	if !r.up {
		r.enterPhase(ctx, "synchronizing", "%s runs, waiting until it is ready", r.instanceID)
		if err := r.awaitUp(ctx); err != nil || r.isOver() {
			return err
		}
	}
	out, err := r.advance(ctx, roles.ReplicaTransition{To: replica.Ready, InstanceID: r.instanceID})
	if err != nil || r.isOver() {
		return err
	}
	r.addStep(ctx, "ready", stepDone, "%s can take over", r.instanceID)
	r.row.HoldLeft = r.row.Replica.Hold // it has just begun, by the database's clock
	r.notifyWaiting(ctx, string(replica.Ready), out)
	return nil
}

func (r *replicaRun) isRowRead() bool { return r.row != nil }
func (r *replicaRun) isOver() bool    { return !r.row.Replica.State.IsOpen() }

// byAgent says whether the agent launches the instance, or has launched it. EC2 may not
// show such an instance to us.
func (r *replicaRun) byAgent() bool {
	return r.named || r.row.Replica.Launcher == agent.ByAgent
}

// takenOver says whether the control plane has launched what the agent was to. Such an
// agent may still report about an instance of its own.
func (r *replicaRun) takenOver() bool {
	return r.row.Launcher == agent.ByAgent && !r.byAgent()
}

// refusal is the failure of a replica that its agent gave up, nil when it did not.
func (r *replicaRun) refusal() error {
	if r.refused == nil {
		return nil
	}
	return replica.InstanceGone.New("its agent reports it %s: %s", r.refused.Status, r.refused.Message)
}

func (r *replicaRun) summary() string {
	return string(r.row.Replica.Kind) + " replica for " + r.row.Replica.For
}

// record writes a state, and says what that led to.
func (r *replicaRun) record(ctx workflow.Context, to roles.ReplicaTransition) (*roles.Advanced, error) {
	var local *activities.Roles
	var out roles.Advanced
	to.ReplicaID = r.in.ReplicaID
	r.fresh = false
	if err := steps.RunUntilSaved(ctx, "record "+string(to.To), local.AdvanceReplica, &out, to); err != nil {
		return nil, err
	}
	return &out, nil
}

// advance records a state. When the replica was promoted or given up meanwhile, it
// reads which of them.
func (r *replicaRun) advance(ctx workflow.Context, to roles.ReplicaTransition) (*roles.Advanced, error) {
	out, err := r.record(ctx, to)
	switch {
	case err != nil:
		return nil, err
	case !out.Ours:
		return out, r.read(ctx)
	}
	r.row.Replica.State = to.To
	return out, nil
}

// notifyWaiting reports a change of state to those who wait for it: the Guardian, when
// it has something to judge, and the operation that the replica was made for or that
// waits to promote it. They read the roles, so a report that gets lost is made up for
// by the sweep.
func (r *replicaRun) notifyWaiting(ctx workflow.Context, what string, out *roles.Advanced) {
	if out.Wake {
		wakeGuardian(ctx, r.in.AgentID, r.in.ReplicaID+" "+what)
	}
	if out.Awaited || r.row.Replica.Kind == replica.Switch {
		sendNews(ctx, activities.Nudge{OperationID: r.waitingOperation(), AgentID: r.in.AgentID})
	}
}

// waitingOperation is the operation that waits for the replica, if one does.
func (r *replicaRun) waitingOperation() string {
	if r.row.Replica.Kind == replica.Switch {
		return SwitchID(r.row.Replica.For)
	}
	return PromotionID(r.in.ReplicaID)
}
