package workflows

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows/steps"
)

// onNotice brings about a successor for an instance that ends, and answers the
// outcome however often it is asked, in this run or in a later one.
func (g *guardian) onNotice(ctx workflow.Context, in NoticeInput, _ string) (*NoticeAnswer, error) {
	answer := &NoticeAnswer{Status: NoticeInProgress, OperationID: TerminationID(g.in.AgentID, in.InstanceID)}
	taken, err := g.takeNotice(ctx, interruption.Notice{
		AgentID:    g.in.AgentID,
		InstanceID: in.InstanceID,
		Kind:       interruption.Termination,
		Deadline:   in.Deadline,
		ReplicaID:  in.ReplicaID,
	})
	if err != nil {
		return nil, err
	}
	if !taken.Known {
		answer.Status = NoticeNotPrimary
		return answer, nil
	}
	answer.settle(taken.Outcome)
	if answer.Status != NoticeInProgress && answer.Status != NoticeLost {
		return answer, nil
	}
	if successor, ok := taken.Set.Successor(); answer.Status == NoticeInProgress && taken.Set.Launcher == agent.ByAgent &&
		(!ok || successor.InstanceID == "") {
		answer.Status = NoticeNoReplica // the agent must live to launch one, and may still report it
		return answer, nil
	}
	settled := func() bool {
		o := g.outcome(in.InstanceID)
		return o.Result != interruption.Undecided && o.Result != interruption.Lost
	}
	if in.Wait > 0 && answer.Status == NoticeInProgress {
		over := func() bool { return settled() || g.outcome(in.InstanceID).Result == interruption.Lost || g.leaving }
		if _, err := steps.AwaitWithin(ctx, in.Wait, "answer the notice of "+in.InstanceID+" at the latest", over); err != nil {
			return nil, err
		}
		answer.settle(g.outcome(in.InstanceID))
	}
	return answer, nil
}

// settle fills in how a notice was decided.
func (a *NoticeAnswer) settle(o interruption.Outcome) {
	switch o.Result {
	case interruption.Undecided:
	case interruption.Promoted:
		a.Status, a.ReplicaID, a.NewPrimary = NoticePromoted, o.ReplicaID, o.NewPrimary
	case interruption.Lost:
		a.Status = NoticeLost
	default:
		a.Status = NoticeNotPrimary
	}
}

// takeNotice judges a notice in one transaction, as its door did, and reconciles the
// roles afterwards: a lost notice may have a successor now.
func (g *guardian) takeNotice(ctx workflow.Context, n interruption.Notice) (*roles.TakenNotice, error) {
	if err := g.turn.Lock(ctx); err != nil {
		return nil, err
	}
	defer g.turn.Unlock()
	var local *activities.Roles
	var taken roles.TakenNotice
	g.enterPhase(ctx, "judging the %s for `%s`", n.Kind, n.InstanceID)
	if err := steps.RunLocal(ctx, "judge the notice for "+n.InstanceID, local.TakeNotice, n).Get(ctx, &taken); err != nil {
		return nil, err
	}
	g.roles = taken.Set
	if successor := taken.Outcome.NewPrimary; successor != "" {
		g.enterPhase(ctx, "`%s` is primary in place of `%s`", successor, n.InstanceID)
	}
	if id := taken.Operation(); id != "" {
		g.startOperation(ctx, id, "")
	}
	if taken.Standby != "" {
		g.startRow(ctx, activities.OpenRow{ID: ReplicaID(taken.Standby)})
	}
	if taken.Verdict.Lost != "" {
		sendNews(ctx, activities.Nudge{OperationID: ReplicaID(taken.Verdict.Lost), AgentID: g.in.AgentID, Start: true})
	}
	g.dirty = true // after any decision, by this call or an earlier one, the roles may need more
	return &taken, nil
}
