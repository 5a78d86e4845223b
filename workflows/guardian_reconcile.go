package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows/steps"
)

// reconcile brings the agent nearer to what its roles should be. It is driven by
// the level, not by the message: it reads where things stand and acts on that,
// so a wake may be late, doubled or about something long done.
func (g *guardian) reconcile(ctx workflow.Context) error {
	return g.withRoles(ctx, func(set *roles.AgentRoles) (err error) {
		for _, act := range []func(workflow.Context, *roles.AgentRoles) (*roles.AgentRoles, error){
			g.failOverIfNoticed, g.closeSettledNotices, g.retireSurplus, g.openMissingReplica,
		} {
			if set, err = act(ctx, set); err != nil {
				return err
			}
		}
		return g.settleReview(ctx, set)
	})
}

// failOverIfNoticed makes a successor primary for a notice that waits for one. It goes
// on when the deadline has passed: an agent whose primary is gone must be healed all
// the same. When there is just time for a last resort, a successor that runs will do.
func (g *guardian) failOverIfNoticed(ctx workflow.Context, set *roles.AgentRoles) (*roles.AgentRoles, error) {
	o, waits := set.Undecided()
	if !waits || set.Deleted {
		return set, nil
	}
	late := o.Past || o.Left < interruption.FailoverMargin
	successor, ok := set.SuccessorWanted(o.Wanted)
	if !ok || successor.InstanceID == "" ||
		successor.State != replica.Ready && (!late || successor.State != replica.Running) {
		g.enterPhase(ctx, "looking for a successor of `%s` until %s", o.InstanceID,
			o.Deadline.UTC().Format(time.TimeOnly))
		return set, nil
	}
	next, err := g.changeRoles(ctx, set.FailOver(successor))
	if err != nil {
		return set, err // roles.stale too: the next attempt judges again, after a pause
	}
	sendNews(ctx, activities.Nudge{
		OperationID: TerminationID(set.AgentID, o.InstanceID),
		AgentID:     set.AgentID,
		Start:       true,
	})
	sendNews(ctx, activities.Nudge{OperationID: ReplicaID(successor.ID), AgentID: set.AgentID})
	return next, nil
}

// noticeOf is the notice of an outcome, as the Guardian found it.
func noticeOf(set *roles.AgentRoles, o interruption.Outcome) interruption.Notice {
	return interruption.Notice{
		AgentID:    set.AgentID,
		InstanceID: o.InstanceID,
		Kind:       o.Kind,
		Deadline:   o.Deadline,
		Door:       "sweep",
	}
}

// changeRoles is one guarded role change.
func (g *guardian) changeRoles(ctx workflow.Context, c roles.RoleChange) (*roles.AgentRoles, error) {
	var local *activities.Roles
	g.enterPhase(ctx, "making `%s` primary instead of `%s` (%s)", c.NewID, c.OldID, c.Cause)
	return g.rememberRoles(ctx, steps.RunLocal(ctx, "make "+c.NewID+" primary", local.ChangeRoles, c))
}

// closeSettledNotices closes the notices whose end follows from the roles.
func (g *guardian) closeSettledNotices(ctx workflow.Context, set *roles.AgentRoles) (*roles.AgentRoles, error) {
	var local *activities.Roles
	for _, o := range set.SettledNotices() {
		d := activities.Decision{Result: o.Result, Notice: noticeOf(set, o)}
		next, err := g.rememberRoles(ctx,
			steps.RunLocal(ctx, "the notice of "+o.InstanceID+" ends: "+string(o.Result), local.DecideNotice, d))
		if err != nil {
			return set, err
		}
		set = next
		if o.Kind == interruption.Termination {
			sendNews(ctx, activities.Nudge{OperationID: TerminationID(set.AgentID, o.InstanceID), AgentID: set.AgentID})
		}
	}
	return set, nil
}

// retireSurplus retires the replicas that are no longer needed. With the hold of a
// rebalance replica its notice ends too: otherwise it would ask for the next one.
func (g *guardian) retireSurplus(ctx workflow.Context, set *roles.AgentRoles) (*roles.AgentRoles, error) {
	var local *activities.Roles
	surplus := set.Surplus()
	for _, r := range surplus {
		if o, noticed := set.Outcome(r.For, interruption.Rebalance); r.Kind == replica.Rebalance && r.Expired && noticed &&
			o.Result == interruption.Undecided {
			d := activities.Decision{Result: interruption.StoodDown, Notice: noticeOf(set, o)}
			if _, err := g.rememberRoles(ctx,
				steps.RunLocal(ctx, "the danger to "+o.InstanceID+" has passed", local.DecideNotice, d)); err != nil {
				return set, err
			}
		}
		if err := g.retireReplica(ctx, r); err != nil {
			return set, err
		}
	}
	if len(surplus) == 0 {
		return set, nil
	}
	return g.loadRoles(ctx)
}

// openMissingReplica opens the replica that is lacking: for an emergency, else the
// standby of manual mode.
func (g *guardian) openMissingReplica(ctx workflow.Context, set *roles.AgentRoles) (*roles.AgentRoles, error) {
	in := roles.ReplicaRequest{
		AgentID:   set.AgentID,
		CreatedBy: "system",
		Plan:      replica.Plan{Mode: "spot", InstanceType: set.Primary.InstanceType},
	}
	o, emergency := set.WantsEmergency()
	switch {
	case emergency && o.Kind == interruption.Rebalance:
		in.Kind, in.For, in.Hold, in.Reason = replica.Rebalance, o.InstanceID, replica.RebalanceHold, "rebalance recommendation"
	case emergency:
		in.Kind, in.For, in.Reason = replica.Termination, o.InstanceID, "termination notice"
	case set.WantsStandby():
		in = set.StandbyRequest(set.Primary)
	default:
		return set, nil
	}
	in.NotBefore = set.BackOff(in.Kind)
	opened, err := g.openReplica(ctx, in)
	if err != nil {
		return set, err
	}
	return opened.Set, nil
}

// openReplica makes the decision durable and starts the Replica.
func (g *guardian) openReplica(ctx workflow.Context, in roles.ReplicaRequest) (*roles.ReplicaOpened, error) {
	var local *activities.Roles
	g.enterPhase(ctx, "deciding on a %s replica for `%s`", in.Kind, in.For)
	var opened roles.ReplicaOpened
	if err := steps.RunLocal(ctx, "decide on a "+string(in.Kind)+" replica", local.OpenReplica, in).Get(ctx,
		&opened); err != nil {
		return nil, err
	}
	g.roles = opened.Set
	if r, open := opened.Set.Replica(opened.Replica.ID); open && (r.State == replica.Requested || in.InstanceID != "") {
		g.startRow(ctx, activities.OpenRow{ID: ReplicaID(r.ID), Urgent: in.Kind.Emergency()})
	}
	return &opened, nil
}

// retireReplica closes a replica in Postgres, which makes it no candidate, and has its
// workflow end the instance.
func (g *guardian) retireReplica(ctx workflow.Context, r roles.Replica) error {
	var local *activities.Roles
	var out roles.Advanced
	step := roles.ReplicaTransition{ReplicaID: r.ID, To: replica.Retiring}
	if err := steps.RunLocal(ctx, "retire replica "+r.ID, local.AdvanceReplica, step).Get(ctx, &out); err != nil ||
		!out.Ours {
		return err
	}
	g.dirty = true
	sendNews(ctx, activities.Nudge{OperationID: ReplicaID(r.ID), AgentID: g.in.AgentID, Start: true})
	return nil
}

// settleReview records that the roles were judged, and when they are due again.
func (g *guardian) settleReview(ctx workflow.Context, set *roles.AgentRoles) error {
	next, wanted := set.NextReview()
	if !set.Review && !wanted {
		return nil
	}
	var local *activities.Roles
	return steps.RunLocal(ctx, "the roles are judged", local.SettleReview,
		activities.Review{AgentID: set.AgentID, Seq: set.ReviewSeq, Next: next}).Get(ctx, nil)
}
