package workflows

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows/steps"
)

// onRequestSwitch answers when the decision is durable. A notice that waits for its
// successor, or another switch, goes first.
func (g *guardian) onRequestSwitch(
	ctx workflow.Context,
	in RequestSwitchInput,
	requestID string,
) (answer *OperationAnswer, err error) {
	err = g.withRoles(ctx, func(set *roles.AgentRoles) error {
		if err := set.CanSwitch(in.CommandID); err != nil {
			return err
		}
		answer = &OperationAnswer{OperationID: SwitchID(in.CommandID)}
		if set.Launcher == agent.ByAgent {
			g.startOperation(ctx, answer.OperationID, set.Launcher) // its replica comes with the agent's report
			return nil
		}
		opened, err := g.openReplica(ctx, roles.ReplicaRequest{
			AgentID:   g.in.AgentID,
			Kind:      replica.Switch,
			For:       in.CommandID,
			CreatedBy: in.Trigger,
			Reason:    in.Reason,
			RequestID: requestID,
			Plan:      replica.Plan{Pool: in.Target.PoolID, Mode: in.Target.Mode, InstanceType: in.Target.InstanceType},
		})
		if err != nil {
			return err
		}
		if opened.Replica.State.IsOpen() { // otherwise the command came again when its switch was over
			g.startOperation(ctx, answer.OperationID, set.Launcher)
		}
		return nil
	})
	return answer, err
}

// onConfigure sets how the agent keeps replicas; reconcile does what follows.
func (g *guardian) onConfigure(ctx workflow.Context, in ConfigureInput, _ string) (answer *ConfigureAnswer, err error) {
	err = g.withRoles(ctx, func(set *roles.AgentRoles) error {
		if set.Deleted {
			return agent.NotFound.New("Agent not found")
		}
		var local *activities.Roles
		next, err := g.rememberRoles(ctx, steps.RunLocal(ctx, "keep replicas: "+string(in.Keeping), local.SetKeeping,
			activities.SetKeepingInput{AgentID: g.in.AgentID, Keeping: in.Keeping, By: in.By}))
		if err != nil {
			return err
		}
		g.dirty = true
		answer = &ConfigureAnswer{Keeping: next.Keeping}
		return nil
	})
	return answer, err
}

// onRemoveAgent ends the agent in one transaction, and leaves what is to be
// terminated to a Removal. Asking again finds what is still left.
func (g *guardian) onRemoveAgent(ctx workflow.Context, in RemoveAgentInput, _ string) (*OperationAnswer, error) {
	err := g.withRoles(ctx, func(*roles.AgentRoles) error {
		var local *activities.Roles
		var left activities.Removed
		g.enterPhase(ctx, "removing the agent")
		remove := activities.RemoveAgentInput{AgentID: g.in.AgentID, By: in.By}
		if err := steps.RunLocal(ctx, "remove the agent", local.RemoveAgent, remove).Get(ctx, &left); err != nil {
			return err
		}
		g.roles, g.dirty = left.Set, true
		g.startOperation(ctx, RemovalID(g.in.AgentID), "")
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &OperationAnswer{OperationID: RemovalID(g.in.AgentID)}, nil
}
