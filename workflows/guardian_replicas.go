package workflows

import (
	"cmp"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
)

// onEmergency answers as soon as the decision is durable. The launch follows.
func (g *guardian) onEmergency(ctx workflow.Context, in EmergencyInput, requestID string) (*ReplicaAnswer, error) {
	if err := g.turn.Lock(ctx); err != nil {
		return nil, err
	}
	defer g.turn.Unlock()

	set, err := g.load(ctx)
	if err != nil {
		return nil, err
	}
	notice := interruption.Notice{AgentID: g.in.AgentID, InstanceID: in.InstanceID, Kind: in.Kind, Deadline: in.Deadline, Door: "http"}
	known, told := set.Outcome(in.InstanceID, in.Kind)
	switch {
	case told && known.Result != interruption.Undecided && known.Result != interruption.Lost:
		return emergencySettled(set, known), nil
	case !set.Deleted && set.Primary.ID != in.InstanceID:
		if err := g.lose(ctx, set, notice); err != nil {
			return nil, err
		}
		return emergencySettled(set, interruption.Outcome{InstanceID: in.InstanceID, Result: interruption.NotPrimary}), nil
	}
	kind := replica.Rebalance
	opening := roles.Opening{AgentID: g.in.AgentID, Kind: kind, For: in.InstanceID, Hold: in.Hold, CreatedBy: "agent", Reason: string(in.Kind),
		RequestID: requestID, Plan: replica.Plan{Mode: agent.Spot, InstanceType: set.Primary.InstanceType}}
	if in.Kind == interruption.Termination {
		kind, opening.Kind = replica.Termination, replica.Termination
		if in.Deadline.IsZero() {
			notice.Deadline = workflow.Now(ctx).Add(interruption.Lead)
		}
	} else if in.Hold == 0 {
		opening.Hold = replica.RebalanceHold
	}
	// The notice is taken also when the mode does not answer it with a replica: it
	// is durable before the launch, and nobody need deliver it again.
	var local *activities.Roles
	if set, err = g.learn(ctx, localStep(ctx, "record the notice", local.RecordNotice, notice)); err != nil {
		return nil, err
	}
	g.dirty = true
	if err := set.CanCreate(kind); err != nil {
		return nil, err
	}
	if heir, ok := set.Heir(); ok {
		return replicaAnswer(heir, true), nil
	}
	opened, err := g.openReplica(ctx, opening)
	if err != nil {
		return nil, err
	}
	if !opened.Replica.State.IsOpen() { // this request had one, and it failed: the next is a decision of its own
		opening.RequestID = ""
		if opened, err = g.openReplica(ctx, opening); err != nil {
			return nil, err
		}
	}
	return replicaAnswer(opened.Replica, false), nil
}

// emergencySettled answers a request whose emergency is over.
func emergencySettled(set *roles.Set, o interruption.Outcome) *ReplicaAnswer {
	a := &ReplicaAnswer{ReplicaID: o.ReplicaID, State: replica.Retired, InstanceID: o.NewPrimary, Existing: true}
	if o.Result != interruption.StoodDown {
		a.State, a.InstanceID, a.OperationID = replica.Promoted, cmp.Or(o.NewPrimary, set.Primary.ID), TerminationID(set.AgentID, o.InstanceID)
	}
	if o.ReplicaID != "" {
		a.OperationID = ReplicaID(o.ReplicaID)
	}
	return a
}

func replicaAnswer(r roles.Replica, existing bool) *ReplicaAnswer {
	return &ReplicaAnswer{ReplicaID: r.ID, State: r.State, InstanceID: r.InstanceID, OperationID: ReplicaID(r.ID), Existing: existing}
}

// onCreateReplica opens the standby that a person asked for, or takes in an
// instance that the agent has launched.
func (g *guardian) onCreateReplica(ctx workflow.Context, in CreateReplicaInput, requestID string) (*ReplicaAnswer, error) {
	if err := g.turn.Lock(ctx); err != nil {
		return nil, err
	}
	defer g.turn.Unlock()

	set, err := g.load(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range set.Replicas {
		if r.RequestID == requestID {
			return replicaAnswer(r, true), nil
		}
	}
	if r, on := set.ReplicaOn(in.InstanceID); on {
		return replicaAnswer(r, true), nil
	}
	if in.InstanceID != "" && in.InstanceID == set.Primary.ID {
		return nil, replica.AlreadyEnded.New("instance %s is the primary already", in.InstanceID)
	}
	kind := cmp.Or(in.Kind, replica.Manual)
	if r, waits := awaitedFrom(set, in); waits {
		return g.attach(ctx, r, in)
	}
	if err := set.CanCreate(kind); err != nil {
		return nil, err
	}
	plan := in.Plan
	plan.Mode, plan.InstanceType = cmp.Or(plan.Mode, agent.Spot), cmp.Or(plan.InstanceType, set.Primary.InstanceType)
	opening := roles.Opening{AgentID: g.in.AgentID, Kind: kind, For: set.Primary.ID, Plan: plan, CreatedBy: in.CreatedBy,
		Reason: "asked for", Tags: in.Tags, RequestID: requestID, InstanceID: in.InstanceID}
	if kind == replica.Rebalance {
		opening.Hold = replica.RebalanceHold
	}
	opened, err := g.openReplica(ctx, opening)
	if err != nil {
		return nil, err
	}
	if in.Ready && opened.Replica.State.IsOpen() {
		var local *activities.Roles
		var ours bool
		if err := localStep(ctx, "record ready", local.AdvanceReplica, roles.Step{ReplicaID: opened.Replica.ID, To: replica.Ready, InstanceID: in.InstanceID}).Get(ctx, &ours); err != nil {
			return nil, err
		}
		if ours {
			opened.Replica.State = replica.Ready
		}
	}
	g.dirty = true
	return replicaAnswer(opened.Replica, false), nil
}

// awaitedFrom returns the replica that an agent was told to launch, when it
// reports an instance without saying which replica it is.
func awaitedFrom(set *roles.Set, in CreateReplicaInput) (roles.Replica, bool) {
	for _, r := range set.Replicas {
		if in.InstanceID != "" && r.InstanceID == "" && r.Launcher == agent.ByAgent && r.Kind != replica.Switch {
			return r, true
		}
	}
	return roles.Replica{}, false
}

// attach passes an agent's instance on to the Replica that waits for it.
func (g *guardian) attach(ctx workflow.Context, r roles.Replica, in CreateReplicaInput) (*ReplicaAnswer, error) {
	var msgs *activities.Messages
	status := "syncing"
	if in.Ready {
		status = "ready"
	}
	report := activities.Report{AgentID: g.in.AgentID, ReplicaID: r.ID, InstanceID: in.InstanceID, Status: status}
	if err := message(ctx, "report "+in.InstanceID+" to replica "+r.ID, msgs.ReportReplica, report); err != nil {
		return nil, err
	}
	r.InstanceID = in.InstanceID
	return replicaAnswer(r, true), nil
}

// onDeleteReplica retires a replica because a person wants it. In manual mode
// another takes its place: exactly one, always.
func (g *guardian) onDeleteReplica(ctx workflow.Context, in DeleteReplicaInput, _ string) (*ReplicaAnswer, error) {
	if err := g.turn.Lock(ctx); err != nil {
		return nil, err
	}
	defer g.turn.Unlock()

	set, err := g.load(ctx)
	if err != nil {
		return nil, err
	}
	r, err := set.CanDelete(in.ReplicaID)
	if err != nil {
		return nil, err
	}
	if err := g.retire(ctx, r); err != nil {
		return nil, err
	}
	g.dirty = true
	r.State = replica.Retiring
	return replicaAnswer(r, false), nil
}

// onPromote changes the roles at once when the replica can take over, else
// leaves it to a Promotion that waits.
func (g *guardian) onPromote(ctx workflow.Context, in PromoteInput, _ string) (*PromoteAnswer, error) {
	if err := g.turn.Lock(ctx); err != nil {
		return nil, err
	}
	defer g.turn.Unlock()

	for tries := 1; ; tries++ {
		answer, err := g.promote(ctx, in)
		if tries == 3 || !fault.Is(err, roles.Stale) {
			return answer, err
		}
	}
}

func (g *guardian) promote(ctx workflow.Context, in PromoteInput) (*PromoteAnswer, error) {
	set, err := g.load(ctx)
	if err != nil {
		return nil, err
	}
	heir, err := set.CanPromote(in.ReplicaID, in.Wait > 0)
	if err != nil {
		return nil, err
	}
	if in.Demote {
		if err := set.CanDemote(heir.ID); err != nil {
			return nil, err
		}
	}
	p := PromotionInput{ClientID: set.ClientID, Wait: in.Wait, By: in.By, Change: roles.Change{
		AgentID: set.AgentID, Epoch: set.Epoch, OldID: set.Primary.ID, NewID: heir.InstanceID, ReplicaID: heir.ID,
		Fate: fateOf(set, in.Demote), Cause: roles.ByPromotion, OperationID: PromotionID(heir.ID),
	}}
	if o, noticed := set.Undecided(); noticed {
		p.Change.Notice = &interruption.Notice{AgentID: set.AgentID, InstanceID: o.InstanceID, Kind: o.Kind, Deadline: o.Deadline, Door: "http"}
	}
	answer := &PromoteAnswer{OperationID: PromotionID(heir.ID), OldPrimary: set.Primary.ID, At: workflow.Now(ctx).UTC()}
	if heir.State == replica.Ready || in.Wait == 0 {
		next, err := g.change(ctx, p.Change)
		if err != nil {
			return nil, err
		}
		if o, told := next.Outcome(set.Primary.ID, interruption.Termination); told {
			g.decided[set.Primary.ID] = o
		}
		if demoted, stays := next.ReplicaOn(set.Primary.ID); stays {
			g.startReplica(ctx, next, demoted) // somebody must hold it
		}
		p.Changed, g.dirty = true, true
		answer.Changed, answer.NewPrimary = true, heir.InstanceID
	}
	return answer, g.startPromotion(ctx, set, p)
}

// fateOf is what becomes of an old primary that somebody moved away from.
func fateOf(set *roles.Set, demote bool) roles.Fate {
	switch {
	case demote:
		return roles.Demote
	case !set.AutoTerminate:
		return roles.Keep
	case set.Launcher == agent.ByAgent:
		return roles.Leave
	default:
		return roles.Retire
	}
}
