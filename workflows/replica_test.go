package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
	"spotkeeper/workflows"
)

// replicaIn starts the replica r1 of a store that has decided on it.
func replicaIn(kind replica.Kind) workflows.ReplicaInput {
	return workflows.ReplicaInput{AgentID: "a1", ClientID: "c1", ReplicaID: "r1", Kind: kind, For: "i-old", Launcher: agent.ControlPlane, Epoch: 0}
}

func replicaWorld(t *testing.T, in workflows.ReplicaInput) *world {
	t.Helper()
	return newWorld(t, newStore().with(roles.Replica{ID: "r1", Kind: in.Kind, For: in.For, State: replica.Requested, Launcher: in.Launcher, Hold: in.Hold}))
}

func (w *world) release(d time.Duration, as replica.State) {
	w.after(d, func() {
		if as != replica.Promoted {
			_, _ = w.store.Advance(w.ctx, roles.Step{ReplicaID: "r1", To: as})
		}
		w.SignalWorkflow(workflows.SignalRelease, activities.Release{AgentID: "a1", ReplicaID: "r1", As: as})
	})
}

func (w *world) replicate(t *testing.T, in workflows.ReplicaInput) (workflows.ReplicaResult, error) {
	t.Helper()
	w.ExecuteWorkflow(workflows.Replica, in)
	require.True(t, w.IsWorkflowCompleted())
	var res workflows.ReplicaResult
	err := w.GetWorkflowError()
	if err == nil {
		require.NoError(t, w.GetWorkflowResult(&res))
	}
	return res, err
}

func TestAReplicaIsLaunchedHeldAndPromoted(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	w := replicaWorld(t, in)
	var held replica.State
	w.after(time.Minute, func() { held = w.store.state("r1") })
	w.release(2*time.Minute, replica.Promoted)
	res, err := w.replicate(t, in)
	require.NoError(t, err)
	require.Equal(t, replica.Ready, held)
	require.Equal(t, workflows.ReplicaResult{InstanceID: "i-r1", PoolID: "t3.medium.us-east-1b", State: replica.Promoted}, res)
	require.Empty(t, w.cloud.ended)
	require.Equal(t, []string{"r1 ready"}, w.post.wakes)
	require.Equal(t, "succeeded", w.pages.last().State)
	require.Equal(t, "promotion/r1", w.post.news[0].OperationID)
}

func TestAnEmergencyReplicaTellsAlreadyThatItRuns(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Termination)
	w := replicaWorld(t, in)
	w.release(time.Minute, replica.Promoted)
	_, err := w.replicate(t, in)
	require.NoError(t, err)
	require.Equal(t, []string{"r1 runs", "r1 ready"}, w.post.wakes)
}

func TestARetiredReplicaEndsItsInstance(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	w := replicaWorld(t, in)
	w.release(time.Minute, replica.Retiring)
	res, err := w.replicate(t, in)
	require.NoError(t, err)
	require.Equal(t, replica.Retired, res.State)
	require.Equal(t, []string{"i-r1"}, w.cloud.ended)
	require.Equal(t, replica.Retired, w.store.state("r1"))
}

func TestAReplicaStartedOnlyToRetireDoesNothingElse(t *testing.T) {
	t.Parallel()

	s := newStore().with(roles.Replica{ID: "r1", Kind: replica.Manual, State: replica.Retiring, InstanceID: "i-left"})
	w := newWorld(t, s)
	w.after(0, func() {
		w.SignalWorkflow(workflows.SignalRelease, activities.Release{AgentID: "a1", ReplicaID: "r1", InstanceID: "i-left", As: replica.Retiring})
	})
	res, err := w.replicate(t, workflows.ReplicaInput{AgentID: "a1", ReplicaID: "r1", Delay: time.Millisecond})
	require.NoError(t, err)
	require.Equal(t, replica.Retired, res.State)
	require.Equal(t, []string{"i-left"}, w.cloud.ended)
	require.Empty(t, w.cloud.asked)
}

func TestAHoldThatEndsWakesTheGuardianAndGoesOn(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Rebalance)
	in.Hold = replica.RebalanceHold
	w := replicaWorld(t, in)
	w.release(3*time.Hour, replica.Retiring)
	res, err := w.replicate(t, in)
	require.NoError(t, err)
	require.Equal(t, []string{"r1 runs", "r1 ready", "r1 hold is over"}, w.post.wakes)
	require.Equal(t, replica.Retired, res.State)
}

func TestALostReleaseIsFoundOut(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	w := replicaWorld(t, in)
	w.after(time.Hour, func() {
		_, _ = w.store.Advance(w.ctx, roles.Step{ReplicaID: "r1", To: replica.Retiring})
	})
	res, err := w.replicate(t, in)
	require.NoError(t, err)
	require.Equal(t, replica.Retired, res.State)
	require.Equal(t, []string{"i-r1"}, w.cloud.ended)
}

func TestAPromotionThatNobodyToldOfIsFoundOut(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	w := replicaWorld(t, in)
	w.after(time.Hour, func() {
		_, err := w.store.ChangeRoles(w.ctx, roles.Change{AgentID: "a1", OldID: "i-old", NewID: "i-r1", ReplicaID: "r1"})
		require.NoError(t, err)
	})
	res, err := w.replicate(t, in)
	require.NoError(t, err)
	require.Equal(t, replica.Promoted, res.State)
	require.Empty(t, w.cloud.ended)
}

func TestAHeldInstanceThatEndsIsAFailure(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	w := replicaWorld(t, in)
	w.after(time.Minute, func() { w.cloud.end("i-r1") })
	_, err := w.replicate(t, in)
	require.Equal(t, replica.Gone, fault.CodeOf(err))
	require.Equal(t, replica.Failed, w.store.state("r1"))
	require.Contains(t, w.post.wakes, "r1 failed")
}

func TestAReplicaThatIsNeverReadyIsEnded(t *testing.T) {
	t.Parallel()

	for name, break_ := range map[string]func(*cloud){"runs": func(c *cloud) { c.neverRun = true }, "passes": func(c *cloud) { c.neverDone = true }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			in := replicaIn(replica.Termination)
			w := replicaWorld(t, in)
			break_(w.cloud)
			_, err := w.replicate(t, in)
			require.Equal(t, replica.NotReady, fault.CodeOf(err))
			require.Equal(t, []string{"i-r1"}, w.cloud.ended)
			require.Equal(t, replica.Failed, w.store.state("r1"))
		})
	}
}

func TestACancelledReplicaEndsWhatItLaunched(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	w := replicaWorld(t, in)
	w.after(time.Minute, w.CancelWorkflow)
	_, err := w.replicate(t, in)
	require.Equal(t, workflows.Cancelled, fault.CodeOf(err))
	require.Equal(t, []string{"i-r1"}, w.cloud.ended)
	require.Equal(t, replica.Retired, w.store.state("r1"))
	require.Equal(t, "cancelled", w.pages.last().State)
	require.Zero(t, w.store.view().Failures, "nothing failed")
}

func TestAPersonCallsAReplicaOff(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	w := replicaWorld(t, in)
	got := update[workflows.OperationAnswer](w, time.Minute, workflows.UpdateCancel, "u1", workflows.CancelInput{By: "ada"})
	res, err := w.replicate(t, in)
	require.NoError(t, err)
	require.NoError(t, got.Err)
	require.Equal(t, replica.Retired, res.State)
	require.Equal(t, []string{"i-r1"}, w.cloud.ended)
}

func TestAPromotedReplicaCannotBeCalledOff(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	w := replicaWorld(t, in)
	w.after(time.Minute, func() {
		_, err := w.store.ChangeRoles(w.ctx, roles.Change{AgentID: "a1", OldID: "i-old", NewID: "i-r1", ReplicaID: "r1"})
		require.NoError(t, err)
	})
	got := update[workflows.OperationAnswer](w, 2*time.Minute, workflows.UpdateCancel, "u1", workflows.CancelInput{})
	w.release(3*time.Minute, replica.Promoted)
	_, err := w.replicate(t, in)
	require.NoError(t, err)
	require.Equal(t, workflows.Committed, fault.CodeOf(got.Err))
	require.Empty(t, w.cloud.ended)
}

func TestAPromotionThatRacesWithAFailureWins(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	w := replicaWorld(t, in)
	w.after(time.Minute, func() {
		_, err := w.store.ChangeRoles(w.ctx, roles.Change{AgentID: "a1", OldID: "i-old", NewID: "i-r1", ReplicaID: "r1"})
		require.NoError(t, err)
		w.CancelWorkflow()
	})
	w.release(time.Minute+time.Second, replica.Promoted)
	res, err := w.replicate(t, in)
	require.NoError(t, err)
	require.Equal(t, replica.Promoted, res.State)
	require.Empty(t, w.cloud.ended)
}

func TestAnInstanceThatCannotBeEndedIsAPersonsBusiness(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	w := replicaWorld(t, in)
	w.cloud.refuse = replica.Refused
	w.release(time.Minute, replica.Retiring)
	_, err := w.replicate(t, in)
	require.Equal(t, workflows.UndoFailed, fault.CodeOf(err))
	require.NotEmpty(t, w.pages.last().Notify)
}

func TestABackOffDelaysTheLaunch(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	in.Delay = 10 * time.Minute
	w := replicaWorld(t, in)
	var before int
	w.after(9*time.Minute, func() { before = len(w.cloud.asked) })
	w.release(11*time.Minute, replica.Promoted)
	_, err := w.replicate(t, in)
	require.NoError(t, err)
	require.Zero(t, before)
	require.Len(t, w.cloud.asked, 1)
}

func TestALongHeldReplicaContinuesAsNew(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	w := replicaWorld(t, in)
	w.after(time.Hour, func() { w.SetContinueAsNewSuggested(true) })
	_, err := w.replicate(t, in)
	require.True(t, workflow.IsContinueAsNewError(err))
	require.Empty(t, w.cloud.ended)
	require.Equal(t, replica.Ready, w.store.state("r1"))
}

func TestAReplicaGoesOnWithoutItsPage(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	w := replicaWorld(t, in)
	w.pages.broken = agent.NotFound.New("the agent's rows are gone")
	w.release(time.Minute, replica.Promoted)
	res, err := w.replicate(t, in)
	require.NoError(t, err)
	require.Equal(t, replica.Promoted, res.State)
}
