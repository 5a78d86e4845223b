package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/internal/agent"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
	"spotkeeper/internal/switching"
	"spotkeeper/workflows"
)

// TestAPromotionWhoseStartWasLostIsResumed holds that the next Guardian starts the
// aftercare which the one that changed the roles did not come to start, and once.
func TestAPromotionWhoseStartWasLostIsResumed(t *testing.T) {
	t.Parallel()

	s := newStore()
	c := roles.Change{AgentID: "a1", OldID: "i-older", NewID: "i-old", ReplicaID: "r0", Fate: roles.Retire, Cause: roles.ByPromotion, OperationID: "promotion/r0"}
	s.set.Promotions = []roles.Change{c}
	w := newWorld(t, s)
	var begun []workflows.PromotionInput
	w.OnWorkflow(workflows.Promotion, mock.Anything, mock.MatchedBy(func(in workflows.PromotionInput) bool {
		begun = append(begun, in)
		return true
	})).Return(&workflows.PromotionResult{}, nil)
	for _, at := range []time.Duration{time.Second, 10 * time.Second} {
		w.after(at, func() { w.SignalWorkflow(workflows.SignalWake, "look again") })
	}
	w.guard(t)
	require.NotEmpty(t, begun)
	require.Equal(t, c, begun[0].Change)
	require.True(t, begun[0].Changed, "the roles are changed already")
	w.AssertNumberOfCalls(t, "Promotion", 1)
}

// lostSwitch is a move whose replica was decided on and whose Switch was not started.
func lostSwitch() roles.Move {
	return roles.Move{CommandID: "cmd", ReplicaID: "r1", OldID: "i-old", Priority: switching.PriorityManual, KeepOld: 5 * time.Minute, Reason: "cheaper",
		Target: switching.Target{Mode: agent.Spot, PoolID: "t3.medium.us-east-1b"}}
}

// TestASwitchWhoseStartWasLostIsBegun holds that the next Guardian starts the
// Switch whose replica is there already, and once.
func TestASwitchWhoseStartWasLostIsBegun(t *testing.T) {
	t.Parallel()

	s := newStore().with(roles.Replica{ID: "r1", Kind: replica.Switch, For: "cmd", State: replica.Ready, InstanceID: "i-new"})
	s.set.Switches = []roles.Move{lostSwitch()}
	w := newWorld(t, s)
	var begun []workflows.SwitchInput
	w.OnWorkflow(workflows.Switch, mock.Anything, mock.MatchedBy(func(in workflows.SwitchInput) bool {
		begun = append(begun, in)
		return true
	})).Return(&workflows.SwitchStatus{}, nil)
	for _, at := range []time.Duration{time.Second, 10 * time.Second} {
		w.after(at, func() { w.SignalWorkflow(workflows.SignalWake, "look again") })
	}
	w.guard(t)
	want := switchIn(agent.ControlPlane)
	want.ClientID, want.Resumed = "c1", true
	require.NotEmpty(t, begun)
	require.Equal(t, want, begun[0])
	w.AssertNumberOfCalls(t, "Switch", 1)
}

// TestALostSwitchWaitsForANotice holds that the replica of a switch that never
// began is an heir like any other while a notice waits for one.
func TestALostSwitchWaitsForANotice(t *testing.T) {
	t.Parallel()

	s := newStore().with(roles.Replica{ID: "r1", Kind: replica.Switch, For: "cmd", State: replica.Running, InstanceID: "i-new"})
	s.set.Switches = []roles.Move{lostSwitch()}
	w := guardianWorld(t, s)
	_, err := s.RecordNotice(w.ctx, interruption.Notice{InstanceID: "i-old", Kind: interruption.Termination, Deadline: w.Now().Add(2 * time.Minute)})
	require.NoError(t, err)
	var open []string
	w.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converter.EncodedValues) {
		if info.WorkflowType.Name == "Switch" && s.view().Primary.ID == "i-old" {
			open = append(open, info.WorkflowExecution.ID)
		}
	})
	w.after(time.Second, func() { w.SignalWorkflow(workflows.SignalWake, "look again") })
	w.guard(t)
	require.Empty(t, open, "no switch begins while the notice waits")
	require.Equal(t, "i-new", s.view().Primary.ID)
}
