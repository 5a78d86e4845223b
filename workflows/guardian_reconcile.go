package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
)

// reconcile brings the agent nearer to what its roles should be. It is driven by
// the level, not by the message: it reads where things stand and acts on that,
// so a wake may be late, doubled or about something long done.
func (g *guardian) reconcile(ctx workflow.Context) error {
	if err := g.turn.Lock(ctx); err != nil {
		return err
	}
	defer g.turn.Unlock()

	set, err := g.load(ctx)
	if err != nil {
		return err
	}
	for _, act := range []func(workflow.Context, *roles.Set) (*roles.Set, error){g.replace, g.rule, g.clear, g.provide} {
		if set, err = act(ctx, set); err != nil {
			return err
		}
	}
	g.attend(ctx, set)
	g.resume(ctx, set)
	for _, r := range set.Replicas {
		if r.State == replica.Requested {
			g.startReplica(ctx, set, r) // its decision is durable; perhaps its start was lost
		}
	}
	return nil
}

// attended is how long after a deadline a failover is still looked after.
const attended = 15 * time.Minute

// attend gives the failovers of an earlier run their aftercare, should it never
// have come about: whoever changed the roles may have died with its workflow task,
// or have left it until a storm is over.
func (g *guardian) attend(ctx workflow.Context, set *roles.Set) {
	if set.Storm {
		return
	}
	for _, o := range set.Outcomes {
		if _, here := g.decided[o.InstanceID]; here || o.Kind != interruption.Termination || o.Result != interruption.Promoted ||
			workflow.Now(ctx).After(o.Deadline.Add(attended)) {
			continue
		}
		g.decided[o.InstanceID] = o
		g.startTermination(ctx, set, TerminationInput{Outcome: o, Notice: interruption.Notice{
			AgentID: set.AgentID, InstanceID: o.InstanceID, Kind: o.Kind, Deadline: o.Deadline, Door: "sweep"}})
	}
}

// resume gives the promotions of an earlier run their aftercare, for the same
// reason: without it the old primary would run, and cost, for ever. A switch that
// never began is begun, unless a notice goes first: it would block every other.
func (g *guardian) resume(ctx workflow.Context, set *roles.Set) {
	_, noticed := set.Undecided()
	for _, m := range set.Switches {
		if g.resumed[m.ReplicaID] || noticed {
			continue
		}
		g.resumed[m.ReplicaID] = true
		g.spawn(ctx, func(ctx workflow.Context) error { return g.startSwitch(ctx, set, resumedSwitch(set, m)) })
	}
	for _, c := range set.Promotions {
		if g.resumed[c.ReplicaID] {
			continue
		}
		g.resumed[c.ReplicaID] = true
		g.spawn(ctx, func(ctx workflow.Context) error {
			return g.startPromotion(ctx, set, PromotionInput{ClientID: set.ClientID, Change: c, Changed: true})
		})
	}
}

// replace works on a notice that waits for an heir. It goes on when the deadline
// has passed: an agent whose primary is gone must be healed all the same.
func (g *guardian) replace(ctx workflow.Context, set *roles.Set) (*roles.Set, error) {
	o, waits := set.Undecided()
	if !waits || set.Deleted {
		return set, nil
	}
	notice := interruption.Notice{AgentID: set.AgentID, InstanceID: o.InstanceID, Kind: o.Kind, Deadline: o.Deadline, Door: "sweep"}
	late := o.Past || !workflow.Now(ctx).Before(o.Deadline.Add(-interruption.Margin))
	heir, ok := set.HeirWanted(g.wishes[o.InstanceID])
	if ok && (heir.State == replica.Ready || late && heir.State == replica.Running) {
		next, err := g.failOver(ctx, set, heir, notice)
		if fault.Is(err, roles.Stale) {
			g.dirty = true // somebody was faster: look again
			return set, nil
		}
		return next, err
	}
	if o.Result == interruption.Undecided {
		g.watch(ctx, set, notice)
	}
	return set, nil
}

// rule closes the notices whose end follows from the roles.
func (g *guardian) rule(ctx workflow.Context, set *roles.Set) (*roles.Set, error) {
	var local *activities.Roles
	for _, o := range set.Rulings() {
		d := activities.Decision{Result: o.Result, Notice: interruption.Notice{
			AgentID: set.AgentID, InstanceID: o.InstanceID, Kind: o.Kind, Deadline: o.Deadline, Door: "sweep"}}
		next, err := g.learn(ctx, localStep(ctx, "the notice of "+o.InstanceID+" ends: "+string(o.Result), local.DecideNotice, d))
		if err != nil {
			return set, err
		}
		set = next
		if o.Kind == interruption.Termination {
			g.decided[o.InstanceID] = o
			g.tellTermination(ctx, o)
		}
	}
	return set, nil
}

// clear retires what nobody needs any more. With the hold of a rebalance replica
// its notice ends too: otherwise it would ask for the next one.
func (g *guardian) clear(ctx workflow.Context, set *roles.Set) (*roles.Set, error) {
	var local *activities.Roles
	surplus := set.Surplus()
	for _, r := range surplus {
		if o, told := set.Outcome(r.For, interruption.Rebalance); r.Kind == replica.Rebalance && r.Expired && told && o.Result == interruption.Undecided {
			d := activities.Decision{Result: interruption.StoodDown, Notice: interruption.Notice{
				AgentID: set.AgentID, InstanceID: o.InstanceID, Kind: o.Kind, Deadline: o.Deadline, Door: "sweep"}}
			if _, err := g.learn(ctx, localStep(ctx, "the danger to "+o.InstanceID+" has passed", local.DecideNotice, d)); err != nil {
				return set, err
			}
		}
		if err := g.retire(ctx, r); err != nil {
			return set, err
		}
	}
	if len(surplus) == 0 {
		return set, nil
	}
	return g.load(ctx)
}

// provide opens the replica that is lacking: for an emergency, else the standby
// of manual mode.
func (g *guardian) provide(ctx workflow.Context, set *roles.Set) (*roles.Set, error) {
	in := roles.Opening{AgentID: set.AgentID, CreatedBy: "system", Plan: replica.Plan{Mode: "spot", InstanceType: set.Primary.InstanceType}}
	o, emergency := set.WantsEmergency()
	switch {
	case emergency && o.Kind == interruption.Rebalance:
		in.Kind, in.For, in.Hold, in.Reason = replica.Rebalance, o.InstanceID, replica.RebalanceHold, "rebalance recommendation"
	case emergency:
		in.Kind, in.For, in.Reason = replica.Termination, o.InstanceID, "termination notice"
	case set.WantsStandby():
		in.Kind, in.For, in.Reason = replica.Manual, set.Primary.ID, "the standby of manual mode"
	default:
		return set, nil
	}
	in.NotBefore = roles.BackOff(in.Kind, set.Failures)
	opened, err := g.openReplica(ctx, in)
	if err != nil {
		return set, err
	}
	return opened.Set, nil
}

// openReplica makes the decision durable and starts the Replica.
func (g *guardian) openReplica(ctx workflow.Context, in roles.Opening) (*roles.Opened, error) {
	var local *activities.Roles
	g.enter(ctx, "deciding on a %s replica for `%s`", in.Kind, in.For)
	var opened roles.Opened
	if err := localStep(ctx, "decide on a "+string(in.Kind)+" replica", local.OpenReplica, in).Get(ctx, &opened); err != nil {
		return nil, err
	}
	g.roles = opened.Set
	if r, open := opened.Set.Replica(opened.Replica.ID); open && (r.State == replica.Requested || in.InstanceID != "") {
		g.startReplica(ctx, opened.Set, r)
	}
	return &opened, nil
}

// retire closes a replica in Postgres, which makes it no candidate, and tells
// its workflow to end the instance.
func (g *guardian) retire(ctx workflow.Context, r roles.Replica) error {
	var local *activities.Roles
	var msgs *activities.Messages
	var ours bool
	if err := localStep(ctx, "retire replica "+r.ID, local.AdvanceReplica, roles.Step{ReplicaID: r.ID, To: replica.Retiring}).Get(ctx, &ours); err != nil || !ours {
		return err
	}
	g.dirty = true
	return message(ctx, "release replica "+r.ID, msgs.ReleaseReplica,
		activities.Release{AgentID: g.in.AgentID, ReplicaID: r.ID, InstanceID: r.InstanceID, As: replica.Retiring, Launcher: r.Launcher})
}
