package workflows

import (
	"cmp"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows/steps"
)

// SwitchInput names a switch. How it stands is in its rows.
type SwitchInput struct {
	AgentID  string `json:"agent_id"`
	SwitchID string `json:"switch_id"` // the command's; of a move that nothing ordered, the new instance's
}

// SwitchStatus is the result of a Switch and of an AgentSwitch.
type SwitchStatus struct {
	Phase         switching.Phase `json:"phase"`
	NewInstanceID string          `json:"new_instance_id,omitempty"`
}

// Switch carries out an order to move an agent to a fresh instance that we launch,
// and retires the old one. Its instance is a replica like any other, so a switch
// whose primary is taken before the cut-over leaves the replica to the failover; one
// that fails or is cancelled retires it. From the cut-over on, Switch only goes
// forward: what is left is to end the old instance.
//
// It reads the state of its rows, and continues from there, however late it begins.
func Switch(ctx workflow.Context, in SwitchInput) (*SwitchStatus, error) {
	s, err := newSwitch(ctx, in)
	if err != nil {
		return nil, err
	}
	s.limit = 2 * switching.ReadyDeadline // the Replica has its own, shorter one
	s.judge = judgeSwitch
	s.successor = func(workflow.Context) (string, error) { return s.facts.Replica.InstanceID, nil }
	s.fate = func() roles.OldPrimaryPolicy { return s.facts.OldPrimary() }
	return s.run(ctx)
}

// judgeSwitch says what a switch does next whose instance we launch.
func judgeSwitch(f *activities.SwitchFacts) (switchStep, error) {
	r := f.Replica
	switch {
	case f.Change != nil:
		return switchFinish, nil
	case f.Deleted:
		return switchAbandon, agent.NotFound.New("the agent was removed")
	case f.Noticed || f.FailedOver:
		return switchLetGo, nil
	case f.Replaced:
		return switchAbandon, replacedBy(f)
	case f.Status != switching.Pending:
		return switchAbandon, commandEnd(f)
	case r.ID == "":
		return switchOpen, nil
	case f.AwaitsWord() && r.ReadyFor < switching.WordDeadline:
		return switchWait, nil
	case f.AwaitsWord():
		return switchAbandon, switching.Silent.New("%s runs, but its agent was not heard of within %s: "+
			"have the image or the user data start the agent at boot", r.InstanceID, switching.WordDeadline)
	case r.State == replica.Ready:
		return switchCutOver, nil
	case r.State == replica.Failed:
		code := fault.Code(cmp.Or(r.Code, string(switching.NeverReady)))
		return switchAbandon, code.New("%s", cmp.Or(r.Error, "no instance could be launched"))
	case !r.State.IsOpen():
		return switchAbandon, switching.NeverReady.New("its replica was given up")
	default:
		return switchWait, nil
	}
}

func replacedBy(f *activities.SwitchFacts) error {
	return roles.StaleEpoch.New("%s is the primary now, not %s", cmp.Or(f.Primary, "no instance"), f.OldID)
}

// commandEnd is why a switch goes no further whose command has ended.
func commandEnd(f *activities.SwitchFacts) error {
	if f.Status == "cancelled" {
		return steps.Cancelled.New("the order was taken back: %s", cmp.Or(f.Message, "no reason given"))
	}
	code := fault.Code(cmp.Or(f.Code, string(switching.AlreadyDone)))
	return code.New("the command is %s already: %s", f.Status, cmp.Or(f.Message, "no reason given"))
}

// openReplica decides on the replica of the order, unless the Guardian has done so:
// the request is the same, so it is one replica.
func (s *switchRun) openReplica(ctx workflow.Context) error {
	var local *activities.Roles
	var opened roles.ReplicaOpened
	f := s.facts
	in := roles.ReplicaRequest{
		AgentID:   s.in.AgentID,
		Kind:      replica.Switch,
		For:       s.in.SwitchID,
		CreatedBy: f.Trigger,
		Reason:    f.Reason,
		RequestID: SwitchID(s.in.SwitchID),
		Launcher:  agent.ControlPlane,
		Plan:      replica.Plan{Pool: f.Target.PoolID, Mode: f.Target.Mode, InstanceType: f.Target.InstanceType},
	}
	if err := steps.RunUntilSaved(ctx, "decide on the replica", local.OpenReplica, &opened, in); err != nil {
		return err
	}
	s.rememberReplica(opened.Replica)
	sendNews(ctx, activities.Nudge{OperationID: ReplicaID(opened.Replica.ID), AgentID: s.in.AgentID, Start: true})
	return nil
}
