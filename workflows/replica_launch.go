package workflows

import (
	"errors"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows/steps"
)

// launch returns when an instance runs: launched here through EC2, or by the agent at our
// request. It continues from an instance that was launched before.
func (r *replicaRun) launch(ctx workflow.Context) error {
	if s := r.row.Replica.State; s == replica.Running || s == replica.Ready {
		r.extendDeadline(ctx)
		return nil
	}
	avoid := &avoidance{}
	if r.instanceID != "" {
		next, err := r.adoptLaunched(ctx)
		if !next {
			return err
		}
		avoid.learn(r.where, err)
	}
	if r.byAgent() {
		if err := r.awaitAgent(ctx); err != nil || r.isOver() || r.row.Replica.State == replica.Running {
			return err
		}
	}
	return r.launchSomewhere(ctx, avoid)
}

// launchSomewhere tries the candidates in their order.
func (r *replicaRun) launchSomewhere(ctx workflow.Context, avoid *avoidance) error {
	var local *activities.Instances
	var choice activities.ChooseResult
	r.passPhase(ctx, "choosing", "choosing where to launch")
	in := activities.ChooseInput{AgentID: r.in.AgentID, ReplicaID: r.in.ReplicaID}
	if err := steps.RunUntilSaved(ctx, "choose pools", local.ChooseCandidates, &choice, in); err != nil {
		return err
	}
	avoid.revisits = choice.Revisit && r.row.Urgent()
	for n, c := range choice.Candidates {
		if why := avoid.reason(c); why != "" {
			r.addStep(ctx, "skip "+c.Key(), stepDropped, "%s", why)
			avoid.leaveOut(c)
			continue
		}
		if err := r.refresh(ctx); err != nil || r.isOver() {
			return err
		}
		r.others = n < len(choice.Candidates)-1
		next, err := r.launchPatiently(ctx, c)
		if !next {
			return err
		}
		avoid.learn(c, err)
		if !r.row.Urgent() && avoid.doubt(c, err) {
			break
		}
	}
	if ended, err := r.revisit(ctx, avoid); ended {
		return err
	}
	if r.unseen.instanceID != "" && r.unseen.ending == nil {
		return r.takeUnseen(ctx)
	}
	return avoid.verdict(len(choice.Candidates))
}

// revisit tries the candidates that were left out because of failures of others: those failures may
// have been about a zone or a type alone. A call that is refused again costs less than a fleet
// without a successor. ended is false when none of them gave an instance.
func (r *replicaRun) revisit(ctx workflow.Context, avoid *avoidance) (ended bool, err error) {
	for n := 0; avoid.revisits && n < mostRevisits; n++ {
		c, left := avoid.nextLeftOut()
		if !left {
			return false, nil
		}
		if err := r.refresh(ctx); err != nil || r.isOver() {
			return true, err
		}
		r.others = len(avoid.leftOut) > 0
		next, err := r.launchPatiently(ctx, c)
		if !next {
			return true, err
		}
		avoid.learn(c, err)
	}
	return false, nil
}

// launchIn launches in one pool and waits until the instance runs. When it fails it says
// whether the next candidate may help.
func (r *replicaRun) launchIn(ctx workflow.Context, c replica.Candidate) (next bool, err error) {
	var made activities.LaunchResult
	r.enterPhase(ctx, "launching", "launching in %s (%s)", c.Key(), c.Why)
	if err := r.request(ctx, c, &made); steps.IsCancellation(err) || r.isOver() {
		return false, err
	} else if err != nil {
		r.addStep(ctx, "launch in "+c.Key(), stepFailed, "%s",
			strings.TrimPrefix(string(fault.CodeOf(err))+": "+steps.Sentence(err), ": "))
		r.remember(ctx, c, fault.CodeOf(err))
		return r.afterFailure(ctx, err)
	}
	r.instanceID = made.InstanceID
	if _, err := r.advance(ctx, roles.ReplicaTransition{
		To:         replica.Launching,
		InstanceID: made.InstanceID,
		Where:      &c,
	}); err != nil || r.isOver() {
		return false, err
	}
	r.addStep(ctx, "launch in "+c.Key(), stepDone, "%s", made.InstanceID)
	r.endUnseen(ctx)
	for _, what := range made.Differs {
		r.addStep(ctx, "differs from the original", stepDone, "%s", what)
	}
	if r.row.Replica.Kind == replica.Switch {
		sendNews(ctx, activities.Nudge{OperationID: r.waitingOperation(), AgentID: r.in.AgentID})
	}
	return r.awaitRunning(ctx, c)
}

// request asks EC2 for the instance. A launch that was begun is not called off, because
// the instance may exist by then: settle waits for its end.
func (r *replicaRun) request(ctx workflow.Context, c replica.Candidate, made *activities.LaunchResult) error {
	var instances *activities.Instances
	policy := steps.LaunchPolicy
	if r.row.Urgent() {
		policy = steps.UrgentLaunchPolicy
	}
	through, _ := workflow.NewDisconnectedContext(ctx)
	r.fresh = false
	r.launching = steps.RunActivity(through, policy, "launch in "+c.Key(), instances.LaunchInstance, activities.LaunchInput{
		AgentID: r.in.AgentID, ReplicaID: r.in.ReplicaID, Where: c,
		Operation: r.progress.OperationID, Epoch: r.row.Epoch, Urgent: r.row.Urgent()})
	for !r.launching.IsReady() {
		// A report that the agent has given the replica up does not end a launch of ours.
		r.refused = nil
		if err := r.awaitAtLeisure(ctx, r.launching.IsReady); err != nil || r.isOver() {
			return err
		}
	}
	ended := r.launching
	r.launching = nil
	return ended.Get(ctx, made)
}

// afterFailure says whether the next candidate may help after a launch that failed. An
// attempt that was given up, or whose answer was lost, may have led to an instance all
// the same: when its row has one, the replica continues with it.
func (r *replicaRun) afterFailure(ctx workflow.Context, cause error) (next bool, err error) {
	switch code := fault.CodeOf(cause); code {
	case replica.NoCapacity, replica.TokenDead, replica.QuotaUsedUp, replica.TypeQuotaUsedUp, replica.PartsQuotaUsedUp,
		replica.NoAddresses:
		return true, cause
	case replica.AlreadyEnded:
		return false, cause
	}
	if err := r.read(ctx); err != nil || r.isOver() {
		return false, err
	}
	if r.instanceID != "" {
		return r.adoptLaunched(ctx)
	}
	return r.row.Urgent() || isAboutCandidate(cause) && r.judgesRefusals(ctx), cause
}

// adoptLaunched continues with an instance that was launched before, by an attempt whose end this
// run has not seen.
func (r *replicaRun) adoptLaunched(ctx workflow.Context) (next bool, err error) {
	where := r.row.Where()
	if r.row.Replica.InstanceID == "" && !r.byAgent() {
		if _, err := r.advance(ctx, roles.ReplicaTransition{
			To:         replica.Launching,
			InstanceID: r.instanceID,
			Where:      &where,
		}); err != nil || r.isOver() {
			return false, err
		}
		r.addStep(ctx, "launch in "+where.Key(), stepDone, "%s, found by its attempt", r.instanceID)
	}
	return r.awaitRunning(ctx, where)
}

// awaitRunning waits until an instance that was launched runs, and one of ours until it
// passes its checks too: its activity records on the way that it runs, and the pool's
// success only then. An instance that ended before it ran is judged by EC2's reason.
func (r *replicaRun) awaitRunning(ctx workflow.Context, where replica.Candidate) (next bool, err error) {
	r.where, r.progress.NewInstanceID = where, r.instanceID
	r.deadline = workflow.Now(ctx).Add(replica.ReadyDeadline)
	if r.byAgent() {
		return false, r.recordRunning(ctx)
	}
	r.enterPhase(ctx, "starting", "waiting until %s runs and passes its checks", r.instanceID)
	err = r.awaitUp(ctx)
	launching := r.row.Replica.State == replica.Launching
	switch {
	case isInstanceGone(err) && r.refused == nil && launching && !hasRun(err):
		return r.bornDead(ctx, where, err)
	case launching && fault.Is(err, replica.Unseen):
		return r.leaveUnseen(ctx, where, err)
	case launching && r.row.Urgent() && isSilent(err):
		// Its launch was answered. At the deadline it is better than none.
		r.addStep(ctx, "wait until "+r.instanceID+" runs", stepDropped,
			"EC2 does not answer, so it is taken to run: %s", steps.Sentence(err))
		return false, r.recordRunning(ctx)
	case err != nil || r.isOver():
		return false, err
	}
	r.up = true
	return false, nil
}

// recordRunning records that the instance runs. In an emergency that is news already: at
// the deadline one that runs is better than none.
func (r *replicaRun) recordRunning(ctx workflow.Context) error {
	out, err := r.advance(ctx, roles.ReplicaTransition{To: replica.Running, InstanceID: r.instanceID})
	if err == nil && !r.isOver() && r.row.Urgent() {
		r.notifyWaiting(ctx, "runs", out)
	}
	return err
}

// bornDead judges an instance that ended before it ran. One that its pool could not keep
// is replaced by one in the next pool. One that its set-up has ended counts as a refusal of its
// pool, because EC2 gives the reasons of a set-up for faults of one zone or type too: an
// emergency goes on, and otherwise three such refusals are about every pool.
func (r *replicaRun) bornDead(ctx workflow.Context, where replica.Candidate, cause error) (next bool, err error) {
	var local *activities.Roles
	state, reason := instanceEnd(cause)
	blame := replica.BlameFor(reason)
	ended := state == activities.StateTerminated || state == activities.StateShuttingDown
	r.addStep(ctx, "start "+r.instanceID, stepFailed, "%s", steps.Sentence(cause))
	walks := ended && goneDetails(cause)[activities.GoneWalk] != ""
	switch {
	case walks && (blame == replica.BlameSetup || blame == replica.BlameDoubtful):
		words := "instances end before they run (" + reason + "): " + replica.DeathInWords(reason)
		cause = replica.Misconfigured.Wrap(cause, "instance %s ended before it ran (%s): %s", r.instanceID, reason,
			replica.DeathInWords(reason)).With(replica.DetailWhy, words)
	case blame == replica.BlameDoubtful && r.doubts == 0 && r.judgesRefusals(ctx):
		r.doubts++
	case blame == replica.BlameSetup, blame == replica.BlameDoubtful:
		return false, replica.Misconfigured.Wrap(cause,
			"instance %s ended before it ran (%s): %s", r.instanceID, reason, replica.DeathInWords(reason))
	case blame == replica.BlameUnknown && !r.row.Urgent(), !ended:
		return false, cause
	}
	if blame == replica.BlamePool {
		r.remember(ctx, where, replica.InstanceGone)
	}
	replaced := false
	if err := steps.RunUntilSaved(ctx, "let go of "+r.instanceID, local.ReplaceInstance, &replaced,
		roles.Replacement{ReplicaID: r.in.ReplicaID, InstanceID: r.instanceID, Reason: reason}); err != nil {
		return false, err
	}
	if !replaced {
		if err := r.read(ctx); err != nil || r.isOver() {
			return false, err
		}
		return false, cause
	}
	r.instanceID, r.progress.NewInstanceID = "", ""
	return true, cause
}

// remember records how a launch in a pool went, for the next choice.
func (r *replicaRun) remember(ctx workflow.Context, where replica.Candidate, code fault.Code) {
	var instances *activities.Instances
	in := activities.PoolOutcome{AgentID: r.in.AgentID, Where: where, Code: string(code)}
	if err := steps.RunLocalWith(ctx, steps.PagePolicy, "remember "+where.Key(), instances.RecordPool, in).Get(ctx,
		nil); err != nil {
		workflow.GetLogger(ctx).Warn("a pool's outcome was not remembered", "agent_id", r.in.AgentID,
			"pool", where.Key(), "error", err)
	}
}

// extendDeadline gives an instance that runs its time to be ready.
func (r *replicaRun) extendDeadline(ctx workflow.Context) {
	r.where, r.progress.NewInstanceID = r.row.Where(), r.instanceID
	r.deadline = workflow.Now(ctx).Add(replica.ReadyDeadline)
}

// awaitAgent waits until the agent has launched at our request and names its instance.
// Until then the agent finds the row when it asks what to launch. In an emergency the
// control plane takes the launch over from an agent that has named none in time.
func (r *replicaRun) awaitAgent(ctx workflow.Context) error {
	r.enterPhase(ctx, "awaiting_agent", "waiting until the agent has launched an instance")
	until := workflow.Now(ctx).Add(replica.AgentDeadline)
	asked := false // whether the launch could not be taken over since the row was read
	for {
		left := until.Sub(workflow.Now(ctx))
		_, err := r.await(ctx, min(left, roles.StallAfter), "look whether the agent has launched",
			func() bool { return r.instanceID != "" || r.row.Overdue() && !asked })
		switch {
		case err != nil || r.isOver():
			return err
		case r.refused != nil:
			return r.refusal()
		case r.instanceID != "":
			r.addStep(ctx, "launched by the agent", stepDone, "%s", r.instanceID)
			_, err := r.awaitRunning(ctx, r.row.Where())
			return err
		case r.row.Overdue() && !asked:
			taken, err := r.takeOver(ctx)
			if err != nil || taken {
				return err
			}
			asked = true
		case left <= 0:
			return replica.NotReady.New("the agent has launched nothing within %s", replica.AgentDeadline)
		default:
			if err := r.read(ctx); err != nil {
				return err
			}
			asked = false
		}
	}
}

// takeOver makes the control plane launch what the agent was to. An instance that the
// agent named in the same moment is the replica's all the same.
func (r *replicaRun) takeOver(ctx workflow.Context) (bool, error) {
	var local *activities.Roles
	taken := false
	if err := steps.RunUntilSaved(ctx, "take the launch over", local.TakeOverLaunch, &taken, r.in.ReplicaID); err != nil {
		return false, err
	}
	if !taken || r.instanceID != "" {
		return false, r.read(ctx)
	}
	r.row.Replica.Launcher = agent.ControlPlane
	r.addStep(ctx, "take the launch over", stepDone, "the agent has launched nothing for %s", roles.StallAfter)
	return true, nil
}

func isInstanceGone(err error) bool { return fault.Is(err, replica.InstanceGone) }

// instanceEnd reads EC2's words about an instance that ended from the error that says so.
func instanceEnd(err error) (state, reason string) {
	details := goneDetails(err)
	return details[activities.GoneState], details[activities.GoneReason]
}

// hasRun says whether an instance that ended had been seen running.
func hasRun(err error) bool { return goneDetails(err)[activities.GoneRan] != "" }

func goneDetails(err error) map[string]string {
	details := map[string]string{}
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok && app.HasDetails() &&
		app.Details(&details) != nil {
		return nil
	}
	return details
}
