package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
	"spotkeeper/internal/switching"
	"spotkeeper/workflows"
)

func switchIn(launcher agent.Launcher) workflows.SwitchInput {
	in := workflows.SwitchInput{AgentID: "a1", CommandID: "cmd", Launcher: launcher, Target: switching.Target{Mode: agent.Spot, PoolID: "t3.medium.us-east-1b"},
		Reason: "cheaper", Trigger: "manual", OldInstanceID: "i-old", KeepOld: 5 * time.Minute, Fate: roles.Retire}
	if launcher == agent.ControlPlane {
		in.ReplicaID = "r1"
	} else {
		in.Fate = roles.Leave
	}
	return in
}

// switchWorld is the world of a switch whose replica is on its way.
func switchWorld(t *testing.T) *world {
	t.Helper()
	return newWorld(t, newStore().with(roles.Replica{ID: "r1", Kind: replica.Switch, For: "cmd", State: replica.Launching, InstanceID: "i-new"}))
}

func (w *world) news(d time.Duration, state replica.State) {
	w.after(d, func() {
		_, _ = w.store.Advance(w.ctx, roles.Step{ReplicaID: "r1", To: state})
		w.SignalWorkflow(workflows.SignalNews, activities.News{ReplicaID: "r1", InstanceID: "i-new", State: state, Code: string(replica.NoPool), Error: "no room"})
	})
}

func (w *world) report(d time.Duration, r workflows.SwitchReport) {
	w.after(d, func() { w.SignalWorkflow(workflows.SignalReport, r) })
}

func (w *world) callOff(d time.Duration) {
	w.after(d, func() { w.SignalWorkflow(workflows.SignalCallOff, activities.CallOff{Why: "AWS takes i-old"}) })
}

func (w *world) move(t *testing.T, in workflows.SwitchInput) (workflows.SwitchStatus, error) {
	t.Helper()
	w.ExecuteWorkflow(workflows.Switch, in)
	require.True(t, w.IsWorkflowCompleted())
	var res workflows.SwitchStatus
	err := w.GetWorkflowError()
	if err == nil {
		require.NoError(t, w.GetWorkflowResult(&res))
	}
	return res, err
}

func TestASwitchCutsOverAndRetiresTheOldInstance(t *testing.T) {
	t.Parallel()

	w := switchWorld(t)
	began := w.Now()
	w.news(time.Minute, replica.Launching)
	w.news(2*time.Minute, replica.Ready)
	var between []string
	w.after(6*time.Minute, func() { between = w.cloud.ended })
	res, err := w.move(t, switchIn(agent.ControlPlane))
	require.NoError(t, err)
	require.Equal(t, workflows.SwitchStatus{Phase: switching.Done, NewInstanceID: "i-new"}, res)
	require.Equal(t, "i-new", w.store.view().Primary.ID)
	require.Empty(t, between, "the old one lives on for a while")
	require.Equal(t, []string{"i-old"}, w.cloud.ended)
	require.Equal(t, 7*time.Minute, w.Now().Sub(began).Round(time.Second))
	require.Equal(t, []activities.CommandResult{{CommandID: "cmd", Status: "completed"}}, w.pages.orders)
	var phases []switching.Phase
	for _, p := range w.pages.phases {
		phases = append(phases, p.Phase)
	}
	require.Equal(t, []switching.Phase{switching.Launching, switching.Waiting, switching.CuttingOver, switching.Retiring, switching.Done}, phases)
	require.Equal(t, replica.Promoted, w.post.releases[0].As)
}

func TestASwitchKeepsTheOldInstanceWhenToldSo(t *testing.T) {
	t.Parallel()

	w := switchWorld(t)
	w.news(time.Minute, replica.Ready)
	in := switchIn(agent.ControlPlane)
	in.Fate = roles.Keep
	_, err := w.move(t, in)
	require.NoError(t, err)
	require.Empty(t, w.cloud.ended)
}

func TestASwitchThatGetsNoInstanceIsAbandoned(t *testing.T) {
	t.Parallel()

	w := switchWorld(t)
	w.news(time.Minute, replica.Failed)
	_, err := w.move(t, switchIn(agent.ControlPlane))
	require.Equal(t, replica.NoPool, fault.CodeOf(err))
	require.Equal(t, "i-old", w.store.view().Primary.ID)
	require.Equal(t, "failed", w.pages.orders[0].Status)
	require.Equal(t, switching.Abandoned, w.pages.phases[len(w.pages.phases)-1].Phase)
}

func TestASwitchThatIsNeverReadyRetiresItsReplica(t *testing.T) {
	t.Parallel()

	w := switchWorld(t)
	_, err := w.move(t, switchIn(agent.ControlPlane))
	require.Equal(t, switching.NeverReady, fault.CodeOf(err))
	require.Equal(t, replica.Retiring, w.store.state("r1"))
	require.Equal(t, replica.Retiring, w.post.releases[0].As)
}

func TestASwitchThatAFailoverOvertookIsAbandoned(t *testing.T) {
	t.Parallel()

	w := switchWorld(t)
	w.store.with(roles.Replica{ID: "r9", State: replica.Ready, InstanceID: "i-faster"})
	w.after(time.Minute, func() {
		_, err := w.store.ChangeRoles(w.ctx, roles.Change{AgentID: "a1", OldID: "i-old", NewID: "i-faster", ReplicaID: "r9"})
		require.NoError(t, err)
	})
	w.news(2*time.Minute, replica.Ready)
	_, err := w.move(t, switchIn(agent.ControlPlane))
	require.Equal(t, roles.Stale, fault.CodeOf(err))
	require.Equal(t, "i-faster", w.store.view().Primary.ID)
	require.Equal(t, replica.Retiring, w.store.state("r1"))
}

func TestASwitchThatIsCalledOffLeavesItsReplicaToTheFailover(t *testing.T) {
	t.Parallel()

	w := switchWorld(t)
	_, err := w.store.RecordNotice(w.ctx, interruption.Notice{InstanceID: "i-old", Kind: interruption.Termination, Deadline: w.Now().Add(3 * time.Minute)})
	require.NoError(t, err)
	w.callOff(time.Minute)
	w.news(90*time.Second, replica.Ready)
	w.after(100*time.Second, func() {
		_, err := w.store.ChangeRoles(w.ctx, roles.Change{AgentID: "a1", OldID: "i-old", NewID: "i-new", ReplicaID: "r1"})
		require.NoError(t, err)
	})
	res, err := w.move(t, switchIn(agent.ControlPlane))
	require.NoError(t, err)
	require.Equal(t, switching.Abandoned, res.Phase)
	require.Equal(t, replica.Promoted, w.store.state("r1"))
	require.Empty(t, w.post.releases, "the failover releases it")
	require.Equal(t, "cancelled", w.pages.orders[0].Status)
}

func TestAReplicaThatTheFailoverDidNotNeedIsRetired(t *testing.T) {
	t.Parallel()

	w := switchWorld(t)
	w.callOff(time.Minute)
	_, err := w.move(t, switchIn(agent.ControlPlane))
	require.NoError(t, err)
	require.Equal(t, replica.Retiring, w.store.state("r1"))
}

func TestACallOffAfterTheCutOverIsNotHeard(t *testing.T) {
	t.Parallel()

	w := switchWorld(t)
	w.news(time.Minute, replica.Ready)
	w.callOff(2 * time.Minute)
	got := update[workflows.OperationAnswer](w, 3*time.Minute, workflows.UpdateCancel, "u1", workflows.CancelInput{})
	w.after(4*time.Minute, w.CancelWorkflow)
	res, err := w.move(t, switchIn(agent.ControlPlane))
	require.NoError(t, err)
	require.Equal(t, workflows.Committed, fault.CodeOf(got.Err))
	require.Equal(t, switching.Done, res.Phase)
	require.Equal(t, []string{"i-old"}, w.cloud.ended)
}

func TestAPersonCallsASwitchOff(t *testing.T) {
	t.Parallel()

	for name, cancel := range map[string]func(*world){
		"over HTTP": func(w *world) {
			update[workflows.OperationAnswer](w, time.Minute, workflows.UpdateCancel, "u1", workflows.CancelInput{})
		},
		"in the UI": func(w *world) { w.after(time.Minute, w.CancelWorkflow) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := switchWorld(t)
			cancel(w)
			_, err := w.move(t, switchIn(agent.ControlPlane))
			require.Equal(t, workflows.Cancelled, fault.CodeOf(err))
			require.Equal(t, replica.Retiring, w.store.state("r1"))
			require.Equal(t, "cancelled", w.pages.orders[0].Status)
			require.Equal(t, "cancelled", w.pages.last().State)
		})
	}
}

func TestAnOldInstanceThatCannotBeEndedIsAPersonsBusiness(t *testing.T) {
	t.Parallel()

	w := switchWorld(t)
	w.cloud.refuse = replica.Refused
	w.news(time.Minute, replica.Ready)
	_, err := w.move(t, switchIn(agent.ControlPlane))
	require.Equal(t, workflows.UndoFailed, fault.CodeOf(err))
	require.Equal(t, "i-new", w.store.view().Primary.ID)
}

func TestASwitchIsRecordedWithoutAnyPage(t *testing.T) {
	t.Parallel()

	w := switchWorld(t)
	w.pages.broken = agent.NotFound.New("gone")
	w.news(time.Minute, replica.Ready)
	_, err := w.move(t, switchIn(agent.ControlPlane))
	require.NoError(t, err)
}
