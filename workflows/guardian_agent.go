package workflows

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
	"spotkeeper/internal/switching"
)

// onRequestSwitch answers when the Switch has started. A notice that waits for
// its heir, or another switch, goes first.
func (g *guardian) onRequestSwitch(ctx workflow.Context, in RequestSwitchInput, requestID string) (*OperationAnswer, error) {
	if err := g.turn.Lock(ctx); err != nil {
		return nil, err
	}
	defer g.turn.Unlock()

	set, err := g.load(ctx)
	if err != nil {
		return nil, err
	}
	if err := set.CanSwitch(in.CommandID); err != nil {
		return nil, err
	}
	answer := &OperationAnswer{OperationID: SwitchID(in.CommandID)}
	s := SwitchInput{AgentID: g.in.AgentID, ClientID: set.ClientID, CommandID: in.CommandID, Launcher: set.Launcher, Reason: in.Reason, Trigger: in.Trigger,
		OldInstanceID: set.Primary.ID, Epoch: set.Epoch, KeepOld: in.KeepOld, Target: in.Target, Fate: roles.Keep}
	if in.Retire {
		s.Fate = fateOf(set, false)
	}
	if set.Launcher == agent.ByAgent {
		return answer, g.startSwitch(ctx, set, s) // its replica comes with the agent's report
	}
	opened, err := g.openReplica(ctx, roles.Opening{AgentID: g.in.AgentID, Kind: replica.Switch, For: in.CommandID, CreatedBy: in.Trigger, Reason: in.Reason,
		RequestID: requestID, Plan: replica.Plan{Pool: in.Target.PoolID, Mode: in.Target.Mode, InstanceType: in.Target.InstanceType}})
	if err != nil {
		return nil, err
	}
	if !opened.Replica.State.IsOpen() {
		return answer, nil // the command came again when its switch was over
	}
	s.ReplicaID, s.Epoch = opened.Replica.ID, opened.Set.Epoch
	return answer, g.startSwitch(ctx, opened.Set, s)
}

// resumedSwitch is the input of a switch whose first start was lost. It names the
// primary that it was meant for: one that has gone since is not replaced twice.
func resumedSwitch(set *roles.Set, m roles.Move) SwitchInput {
	in := SwitchInput{AgentID: set.AgentID, ClientID: set.ClientID, CommandID: m.CommandID, Launcher: agent.ControlPlane, Reason: m.Reason,
		Trigger: switching.TriggerOf(m.Priority), OldInstanceID: m.OldID, ReplicaID: m.ReplicaID, Epoch: set.Epoch, KeepOld: m.KeepOld, Target: m.Target,
		Fate: roles.Keep, Resumed: true}
	if m.KeepOld > 0 {
		in.Fate = fateOf(set, false)
	}
	return in
}

// onConfigure sets how the agent keeps replicas; reconcile does what follows.
func (g *guardian) onConfigure(ctx workflow.Context, in ConfigureInput, _ string) (*ConfigureAnswer, error) {
	if err := g.turn.Lock(ctx); err != nil {
		return nil, err
	}
	defer g.turn.Unlock()

	set, err := g.load(ctx)
	if err != nil {
		return nil, err
	}
	if set.Deleted {
		return nil, agent.NotFound.New("Agent not found")
	}
	var local *activities.Roles
	set, err = g.learn(ctx, localStep(ctx, "keep replicas: "+string(in.Keeping), local.SetKeeping,
		activities.SetKeepingInput{AgentID: g.in.AgentID, Keeping: in.Keeping, By: in.By}))
	if err != nil {
		return nil, err
	}
	g.dirty = g.dirty || set.Unsettled()
	return &ConfigureAnswer{Keeping: set.Keeping}, nil
}

// onRemoveAgent ends the agent in one transaction, and leaves what is to be
// terminated to a Removal. Asking again finds what is still left.
func (g *guardian) onRemoveAgent(ctx workflow.Context, in RemoveAgentInput, _ string) (*OperationAnswer, error) {
	if err := g.turn.Lock(ctx); err != nil {
		return nil, err
	}
	defer g.turn.Unlock()

	before, err := g.load(ctx)
	if err != nil {
		return nil, err
	}
	var local *activities.Roles
	var left activities.Removed
	g.enter(ctx, "removing the agent")
	if err := localStep(ctx, "remove the agent", local.RemoveAgent, activities.RemoveAgentInput{AgentID: g.in.AgentID, By: in.By}).Get(ctx, &left); err != nil {
		return nil, err
	}
	g.roles, g.dirty = left.Set, true
	r := RemovalInput{AgentID: g.in.AgentID, ClientID: before.ClientID, By: in.By, CallOff: switchesIn(before), Replicas: left.Replicas, Instances: left.Instances}
	return &OperationAnswer{OperationID: RemovalID(g.in.AgentID)}, g.startRemoval(ctx, r)
}
