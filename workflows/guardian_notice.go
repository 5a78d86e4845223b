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

// onNotice acts on a termination notice once per instance, and answers its
// outcome however often it is asked, in this run or in a later one.
func (g *guardian) onNotice(ctx workflow.Context, in NoticeInput, _ string) (*NoticeAnswer, error) {
	if in.Deadline.IsZero() {
		in.Deadline = workflow.Now(ctx).Add(interruption.Lead)
	}
	answer, err := g.takeNotice(ctx, in)
	if err != nil || answer.Status != NoticeInProgress {
		return answer, err
	}
	settled := func() bool { return g.decided[in.InstanceID].Result != interruption.Undecided }
	if in.Wait > 0 {
		if _, err := workflow.AwaitWithTimeout(ctx, in.Wait, func() bool { return settled() || g.leaving }); err != nil {
			return nil, err
		}
	}
	if settled() {
		answer.settle(g.decided[in.InstanceID])
	}
	return answer, nil
}

// settle fills in how a notice was decided.
func (a *NoticeAnswer) settle(o interruption.Outcome) {
	switch o.Result {
	case interruption.Promoted:
		a.Status, a.ReplicaID, a.NewPrimary = NoticePromoted, o.ReplicaID, o.NewPrimary
	case interruption.Lost:
		a.Status = NoticeLost
	default:
		a.Status = NoticeNotPrimary
	}
}

// takeNotice is the fast path: with a ready replica the role change is one local
// step, so that notice, role change and answer are one workflow task.
func (g *guardian) takeNotice(ctx workflow.Context, in NoticeInput) (*NoticeAnswer, error) {
	if err := g.turn.Lock(ctx); err != nil {
		return nil, err
	}
	defer g.turn.Unlock()

	answer := &NoticeAnswer{Status: NoticeInProgress, OperationID: TerminationID(g.in.AgentID, in.InstanceID)}
	set, err := g.load(ctx)
	if err != nil {
		return nil, err
	}
	notice := interruption.Notice{AgentID: g.in.AgentID, InstanceID: in.InstanceID, Kind: interruption.Termination, Deadline: in.Deadline, Door: "http"}
	known, told := set.Outcome(in.InstanceID, interruption.Termination)
	switch {
	case set.Deleted:
		return nil, agent.NotFound.New("Agent not found")
	case told && known.Result != interruption.Undecided:
		answer.settle(known)
		g.dirty = g.dirty || known.Result != interruption.NotPrimary // a lost one is looked at again, a promoted one attended
		return answer, nil
	case set.Primary.ID != in.InstanceID:
		answer.Status = NoticeNotPrimary
		return answer, g.lose(ctx, set, notice)
	}
	if told {
		notice.Deadline = known.Deadline // the first arrival wins
	}
	g.wishes[in.InstanceID] = in.ReplicaID
	if heir, ok := set.HeirWanted(in.ReplicaID); ok && heir.State == replica.Ready {
		next, err := g.failOver(ctx, set, heir, notice)
		if err == nil {
			o, _ := next.Outcome(in.InstanceID, interruption.Termination)
			answer.settle(o)
			return answer, nil
		}
		if !fault.Is(err, roles.Stale) {
			return nil, err
		}
	}

	// The slow path. The notice is durable before anything else happens; what
	// follows is reconcile's, in this run or in any later one.
	var local *activities.Roles
	set, err = g.learn(ctx, localStep(ctx, "record the notice", local.RecordNotice, notice))
	if err != nil {
		return nil, err
	}
	g.dirty = true
	if heir, ok := set.Heir(); set.Launcher == agent.ByAgent && (!ok || heir.InstanceID == "") {
		answer.Status = NoticeNoReplica // it must live to launch one, and may still report it
	}
	return answer, nil
}

// failOver makes heir the primary and hands the rest to a Termination.
func (g *guardian) failOver(ctx workflow.Context, set *roles.Set, heir roles.Replica, notice interruption.Notice) (*roles.Set, error) {
	c := roles.Change{
		AgentID: set.AgentID, Epoch: set.Epoch, OldID: set.Primary.ID, NewID: heir.InstanceID, ReplicaID: heir.ID,
		Fate: roles.Leave, Cause: roles.ByTermination, OperationID: TerminationID(set.AgentID, set.Primary.ID), Notice: &notice,
	}
	next, err := g.change(ctx, c)
	if err != nil {
		return nil, err
	}
	o, _ := next.Outcome(notice.InstanceID, interruption.Termination)
	g.decided[notice.InstanceID] = o
	g.dirty = g.dirty || next.Unsettled()
	if next.Storm && !g.watched[notice.InstanceID] && len(switchesIn(set)) == 0 {
		return next, nil // others are about to lose their instances: a later run attends
	}
	if !g.watched[notice.InstanceID] { // else nothing is started, and no task would follow
		g.hurried = passed(ctx, guardianAnswersFirst)
	}
	g.startTermination(ctx, set, TerminationInput{Notice: notice, Outcome: o})
	return next, nil
}

// change is one guarded role change.
func (g *guardian) change(ctx workflow.Context, c roles.Change) (*roles.Set, error) {
	var local *activities.Roles
	g.enter(ctx, "making `%s` primary instead of `%s` (%s)", c.NewID, c.OldID, c.Cause)
	return g.learn(ctx, localStep(ctx, "make "+c.NewID+" primary", local.ChangeRoles, c))
}

// lose takes note that an instance which is not the primary is about to end. A
// replica on it is no candidate any more; a switch's belongs to its Switch, which
// is told.
func (g *guardian) lose(ctx workflow.Context, set *roles.Set, notice interruption.Notice) error {
	var local *activities.Roles
	r, on := set.ReplicaOn(notice.InstanceID)
	if _, err := g.learn(ctx, localStep(ctx, "the notice is not about the primary", local.DecideNotice,
		activities.Decision{Notice: notice, Result: interruption.NotPrimary})); err != nil {
		return err
	}
	if !on {
		return nil
	}
	g.dirty = true
	if r.Kind == replica.Switch {
		gone := replica.Gone.New("AWS takes instance %s", r.InstanceID)
		return g.tell(ctx, activities.News{OperationID: SwitchID(r.For), ReplicaID: r.ID, InstanceID: r.InstanceID,
			State: replica.Failed, Code: string(gone.Code), Error: gone.Message})
	}
	return g.retire(ctx, r)
}

// watch keeps the Guardian until the notice is decided. It looks again when there
// is just time for a last resort, and at the deadline; then until Postgres, whose
// clock decides, says that the deadline is past.
func (g *guardian) watch(ctx workflow.Context, set *roles.Set, notice interruption.Notice) {
	if g.watched[notice.InstanceID] {
		return
	}
	g.watched[notice.InstanceID] = true
	g.enter(ctx, "looking for an heir of `%s` until %s", notice.InstanceID, notice.Deadline.UTC().Format(time.TimeOnly))
	g.startTermination(ctx, set, TerminationInput{Notice: notice})
	decided := func() bool { return g.decided[notice.InstanceID].Result != interruption.Undecided }
	g.spawn(ctx, func(ctx workflow.Context) error {
		for _, until := range []time.Time{notice.Deadline.Add(-interruption.Margin), notice.Deadline} {
			if _, err := workflow.AwaitWithTimeout(ctx, max(until.Sub(workflow.Now(ctx)), 0), decided); err != nil {
				return err
			}
			g.dirty = true
		}
		for range 30 {
			if done, err := workflow.AwaitWithTimeout(ctx, 2*time.Second, decided); err != nil || done {
				return err
			}
			g.dirty = true
		}
		return nil
	})
}
