package workflows

import (
	"cmp"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows/steps"
)

// onEmergency answers as soon as the decision is durable. The launch follows.
func (g *guardian) onEmergency(ctx workflow.Context, in EmergencyInput, requestID string) (*ReplicaAnswer, error) {
	taken, err := g.takeNotice(ctx, interruption.Notice{
		AgentID:    g.in.AgentID,
		InstanceID: in.InstanceID,
		Kind:       in.Kind,
		Deadline:   in.Deadline,
	})
	if err != nil {
		return nil, err
	}
	switch taken.Outcome.Result {
	case interruption.Undecided, interruption.Lost:
	default:
		return emergencySettled(taken.Set, taken.Outcome), nil
	}
	if !taken.Known {
		return emergencySettled(taken.Set, interruption.Outcome{
			InstanceID: in.InstanceID,
			Result:     interruption.NotPrimary,
		}), nil
	}
	opening := roles.ReplicaRequest{
		AgentID:   g.in.AgentID,
		Kind:      replica.Rebalance,
		For:       in.InstanceID,
		Hold:      cmp.Or(in.Hold, replica.RebalanceHold),
		CreatedBy: "agent",
		Reason:    string(in.Kind),
		RequestID: requestID,
	}
	if in.Kind == interruption.Termination {
		opening.Kind, opening.Hold = replica.Termination, 0
	}
	var answer *ReplicaAnswer
	err = g.withRoles(ctx, func(set *roles.AgentRoles) error {
		if err := set.CanCreate(opening.Kind); err != nil {
			return err
		}
		if successor, ok := set.Successor(); ok {
			answer = replicaAnswer(successor, true)
			return nil
		}
		if err := set.CanLaunch(); err != nil {
			return err
		}
		opening.Plan = replica.Plan{Mode: agent.Spot, InstanceType: set.Primary.InstanceType}
		opened, err := g.openReplica(ctx, opening)
		if err == nil &&
			!opened.Replica.State.IsOpen() { // this request had one, and it failed: the next is a decision of its own
			opening.RequestID, opening.NotBefore = "", set.BackOff(opening.Kind)
			opened, err = g.openReplica(ctx, opening)
		}
		if err != nil {
			return err
		}
		answer = replicaAnswer(opened.Replica, false)
		return nil
	})
	return answer, err
}

// emergencySettled answers a request whose emergency is over.
func emergencySettled(set *roles.AgentRoles, o interruption.Outcome) *ReplicaAnswer {
	a := &ReplicaAnswer{ReplicaID: o.ReplicaID, State: replica.Retired, InstanceID: o.NewPrimary, Existing: true}
	if o.Result != interruption.StoodDown {
		a.State, a.InstanceID, a.OperationID = replica.Promoted, cmp.Or(o.NewPrimary,
			set.Primary.ID), TerminationID(set.AgentID, o.InstanceID)
	}
	if o.ReplicaID != "" {
		a.OperationID = ReplicaID(o.ReplicaID)
	}
	return a
}

func replicaAnswer(r roles.Replica, existing bool) *ReplicaAnswer {
	return &ReplicaAnswer{
		ReplicaID:   r.ID,
		State:       r.State,
		InstanceID:  r.InstanceID,
		OperationID: ReplicaID(r.ID),
		Existing:    existing,
	}
}

// onCreateReplica opens the standby that a person asked for, or takes in an
// instance that the agent has launched.
func (g *guardian) onCreateReplica(
	ctx workflow.Context,
	in CreateReplicaInput,
	requestID string,
) (answer *ReplicaAnswer, err error) {
	err = g.withRoles(ctx, func(set *roles.AgentRoles) error {
		answer, err = g.createReplica(ctx, set, in, requestID)
		return err
	})
	return answer, err
}

func (g *guardian) createReplica(
	ctx workflow.Context,
	set *roles.AgentRoles,
	in CreateReplicaInput,
	requestID string,
) (*ReplicaAnswer, error) {
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
		return g.passInstanceToReplica(ctx, r, in)
	}
	if err := set.CanCreate(kind); err != nil {
		return nil, err
	}
	if in.InstanceID == "" {
		if err := set.CanLaunch(); err != nil {
			return nil, err
		}
	}
	plan := in.Plan
	plan.Mode, plan.InstanceType = cmp.Or(plan.Mode, agent.Spot), cmp.Or(plan.InstanceType, set.Primary.InstanceType)
	opening := roles.ReplicaRequest{
		AgentID:    g.in.AgentID,
		Kind:       kind,
		For:        set.Primary.ID,
		Plan:       plan,
		CreatedBy:  in.CreatedBy,
		Reason:     "asked for",
		Tags:       in.Tags,
		RequestID:  requestID,
		InstanceID: in.InstanceID,
		NotBefore:  set.BackOff(kind),
	}
	if kind == replica.Rebalance {
		opening.Hold = replica.RebalanceHold
	}
	opened, err := g.openReplica(ctx, opening)
	if err != nil {
		return nil, err
	}
	if in.Ready && opened.Replica.State.IsOpen() {
		var local *activities.Roles
		var out roles.Advanced
		step := roles.ReplicaTransition{ReplicaID: opened.Replica.ID, To: replica.Ready, InstanceID: in.InstanceID}
		if err := steps.RunLocal(ctx, "record ready", local.AdvanceReplica, step).Get(ctx, &out); err != nil {
			return nil, err
		}
		if out.Ours {
			opened.Replica.State = replica.Ready
		}
	}
	g.dirty = true
	return replicaAnswer(opened.Replica, false), nil
}

// awaitedFrom returns the replica that an agent was asked to launch, when it
// reports an instance without saying which replica it is.
func awaitedFrom(set *roles.AgentRoles, in CreateReplicaInput) (roles.Replica, bool) {
	for _, r := range set.Replicas {
		if in.InstanceID != "" && r.InstanceID == "" && r.Launcher == agent.ByAgent && r.Kind != replica.Switch {
			return r, true
		}
	}
	return roles.Replica{}, false
}

// passInstanceToReplica passes an agent's instance on to the Replica that waits for it.
func (g *guardian) passInstanceToReplica(
	ctx workflow.Context,
	r roles.Replica,
	in CreateReplicaInput,
) (*ReplicaAnswer, error) {
	var msgs *activities.Messages
	status := "syncing"
	if in.Ready {
		status = "ready"
	}
	report := activities.Report{AgentID: g.in.AgentID, ReplicaID: r.ID, InstanceID: in.InstanceID, Status: status}
	if err := steps.SendMessage(ctx, "report "+in.InstanceID+" to replica "+r.ID, msgs.ReportReplica, report); err != nil {
		return nil, err
	}
	r.InstanceID = in.InstanceID
	return replicaAnswer(r, true), nil
}

// onDeleteReplica retires a replica at a person's request. In manual mode
// another takes its place: exactly one, always.
func (g *guardian) onDeleteReplica(
	ctx workflow.Context,
	in DeleteReplicaInput,
	_ string,
) (answer *ReplicaAnswer, err error) {
	err = g.withRoles(ctx, func(set *roles.AgentRoles) error {
		r, err := set.CanDelete(in.ReplicaID)
		if err != nil {
			return err
		}
		if err := g.retireReplica(ctx, r); err != nil {
			return err
		}
		g.dirty = true
		r.State = replica.Retiring
		answer = replicaAnswer(r, false)
		return nil
	})
	return answer, err
}

// onPromote stores the request, and changes the roles at once when the replica can take
// over. Otherwise the Promotion changes them when the replica is ready and its agent has
// sent a heartbeat. Two requests for one replica are one row and one outcome.
func (g *guardian) onPromote(ctx workflow.Context, in PromoteInput, _ string) (answer *PromoteAnswer, err error) {
	for tries := 1; ; tries++ {
		err = g.withRoles(ctx, func(set *roles.AgentRoles) error {
			answer, err = g.promote(ctx, set, in)
			return err
		})
		if tries == 3 || !fault.Is(err, roles.StaleEpoch) {
			return answer, err
		}
	}
}

func (g *guardian) promote(ctx workflow.Context, set *roles.AgentRoles, in PromoteInput) (*PromoteAnswer, error) {
	successor, err := set.CanPromote(in.ReplicaID, in.Wait > 0)
	if err != nil {
		return nil, err
	}
	if in.Demote {
		if err := set.CanDemote(successor.ID); err != nil {
			return nil, err
		}
	}
	silent := set.AwaitsWord(successor)
	awaited := silent && !in.AcceptSilent
	if awaited {
		in.Wait = max(in.Wait, switching.WordDeadline)
	}
	var local *activities.Roles
	wish := roles.PromotionWish{AgentID: set.AgentID, ReplicaID: successor.ID, Demote: in.Demote, Wait: in.Wait, By: in.By,
		AcceptSilent: in.AcceptSilent}
	if set, err = g.rememberRoles(ctx,
		steps.RunLocal(ctx, "promote replica "+successor.ID, local.WantPromotion, wish)); err != nil {
		return nil, err
	}
	answer := &PromoteAnswer{OperationID: PromotionID(successor.ID), OldPrimary: set.Primary.ID, At: workflow.Now(ctx).UTC(),
		Silent: silent}
	if !awaited && (successor.State == replica.Ready || in.Wait == 0) {
		next, err := g.changeRoles(ctx, set.Promote(successor, in.Demote))
		if err != nil {
			return nil, err
		}
		if demoted, stays := next.ReplicaOn(set.Primary.ID); stays {
			g.startOperation(ctx, ReplicaID(demoted.ID), "")
		}
		sendNews(ctx, activities.Nudge{OperationID: ReplicaID(successor.ID), AgentID: set.AgentID})
		g.dirty = true
		answer.Changed, answer.NewPrimary = true, successor.InstanceID
	}
	sendNews(ctx, activities.Nudge{OperationID: PromotionID(successor.ID), AgentID: set.AgentID, Start: true})
	return answer, nil
}
