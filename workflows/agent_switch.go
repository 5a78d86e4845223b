package workflows

import (
	"cmp"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows/steps"
)

// AgentSwitch follows a switch that the agent performs itself: one that was ordered,
// or one that the agent made by itself and reported. The agent launches the instance
// and ends the old one; AgentSwitch makes the instance that the agent names the
// primary.
//
// An agent cannot be notified that its order was called off. When it reports an instance
// after the end of its switch, the report opens the operation again and AgentSwitch
// runs anew.
func AgentSwitch(ctx workflow.Context, in SwitchInput) (*SwitchStatus, error) {
	s, err := newSwitch(ctx, in)
	if err != nil {
		return nil, err
	}
	s.limit = switching.AgentDeadline
	s.judge = judgeAgentSwitch
	s.successor = s.adoptAgentInstance
	s.fate = func() roles.OldPrimaryPolicy { return s.facts.OldPrimaryOfAgent() }
	return s.run(ctx)
}

// judgeAgentSwitch says what a switch does next whose instance the agent launches. An
// instance that the agent has named counts more than anything else it says, and more
// than a notice or the end of the order: the agent runs there already.
func judgeAgentSwitch(f *activities.SwitchFacts) (switchStep, error) {
	failed := f.Ordered && f.Status == "failed" && !f.Reported
	switch {
	case f.Change != nil:
		return switchFinish, nil
	case f.NewID != "" && f.Primary == f.NewID:
		return switchKnown, nil
	case f.Deleted:
		return switchAbandon, agent.NotFound.New("the agent was removed")
	case f.NewID != "" && !f.Replaced && !failed:
		return switchCutOver, nil
	case f.FailedOver:
		return switchLetGo, nil
	case f.Replaced:
		return switchAbandon, replacedBy(f)
	case f.Noticed:
		return switchLetGo, nil
	case failed:
		return switchAbandon, switching.NeverReady.New("the agent reports that the switch failed: %s",
			cmp.Or(f.Message, "no reason given"))
	case f.Status == "cancelled":
		return switchAbandon, commandEnd(f)
	default:
		return switchWait, nil
	}
}

// adoptAgentInstance takes in the instance that the agent launched: as a replica, so that the
// same guarded change of roles serves both launchers.
func (s *switchRun) adoptAgentInstance(ctx workflow.Context) (string, error) {
	var local *activities.Roles
	var opened roles.ReplicaOpened
	f := s.facts
	in := roles.ReplicaRequest{
		AgentID:    s.in.AgentID,
		Kind:       replica.Switch,
		For:        s.in.SwitchID,
		CreatedBy:  "agent",
		Reason:     f.Reason,
		RequestID:  "report/" + s.in.SwitchID,
		InstanceID: f.NewID,
		Plan:       replica.Plan{Pool: f.Target.PoolID, Mode: f.Target.Mode, InstanceType: f.Target.InstanceType},
	}
	if err := steps.RunUntilSaved(ctx, "take in "+f.NewID, local.OpenReplica, &opened, in); err != nil {
		return "", err
	}
	s.rememberReplica(opened.Replica)
	return f.NewID, nil
}
