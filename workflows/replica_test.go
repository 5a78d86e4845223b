package workflows_test

import (
	"cmp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows"
	"spotkeeper/workflows/steps"
)

func TestAReplicaIsLaunchedHeldAndPromoted(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	var held replica.State
	w.after(time.Minute, func() { held = w.store.state("r1") })
	w.settled(2*time.Minute, replica.Promoted)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, replica.Ready, held)
	require.Equal(t, workflows.ReplicaResult{
		InstanceID: "i-r1",
		PoolID:     "t3.medium.us-east-1b",
		State:      replica.Promoted,
	}, res)
	require.Empty(t, w.cloud.ended)
	require.Equal(t, "succeeded", w.pages.last().State)
}

func TestAPromotionThatWaitsHearsOfItsReplica(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.wanted(false, time.Hour)
	w.settled(2*time.Minute, replica.Promoted)
	_, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, 1, w.post.nudged("promotion/r1"))
}

func TestAnEmergencyReplicaIsNewsAlreadyWhenItRuns(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Termination))
	w.noticed(0)
	w.settled(time.Minute, replica.Promoted)
	_, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, []string{"r1 runs", "r1 ready"}, w.post.wakes)
}

func TestTheSwitchHearsOfItsReplica(t *testing.T) {
	t.Parallel()

	r := replicaOf(replica.Switch)
	r.For = "c1"
	w := replicaWorld(t, r)
	w.settled(time.Minute, replica.Promoted)
	_, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, 2, w.post.nudged("switch/c1"), "it launches, and it is ready")
	require.Zero(t, w.post.nudged("promotion/r1"))
}

func TestARetiredReplicaEndsItsInstance(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.settled(time.Minute, replica.Retiring)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, replica.Retired, res.State)
	require.Equal(t, []string{"i-r1"}, w.cloud.ended)
	require.Equal(t, replica.Retired, w.store.state("r1"))
}

// TestAReplicaGoesOnFromItsRow starts the workflow when its row already stands
// somewhere: the run before was lost, or Temporal was.
func TestAReplicaGoesOnFromItsRow(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		state    replica.State
		instance string
		hold     time.Duration
		asked    int      // launches
		ended    []string // instances
		end      replica.State
		page     string // empty: succeeded
		wakes    []string
	}{
		"requested":                     {state: replica.Requested, asked: 1, end: replica.Promoted},
		"launching without an instance": {state: replica.Launching, asked: 1, end: replica.Promoted},
		"launching with one":            {state: replica.Launching, instance: "i-1", end: replica.Promoted},
		"running":                       {state: replica.Running, instance: "i-1", end: replica.Promoted},
		"ready":                         {state: replica.Ready, instance: "i-1", end: replica.Promoted},
		"ready, and its hold is over": {state: replica.Ready, instance: "i-1", hold: time.Nanosecond,
			end: replica.Promoted, wakes: []string{"r1 hold is over"}},
		"promoted": {state: replica.Promoted, instance: "i-old", end: replica.Promoted},
		"retiring": {
			state:    replica.Retiring,
			instance: "i-1",
			ended:    []string{"i-1"},
			end:      replica.Retired,
		},
		"retiring, nothing was launched": {state: replica.Retiring, end: replica.Retired},
		"retired":                        {state: replica.Retired, instance: "i-1", end: replica.Retired},
		"failed, with an instance": {
			state:    replica.Failed,
			instance: "i-1",
			ended:    []string{"i-1"},
			end:      replica.Failed,
			page:     "failed",
		},
		"failed, nothing was launched": {state: replica.Failed, end: replica.Failed, page: "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			r := replicaOf(replica.Manual)
			r.State, r.InstanceID, r.Hold = c.state, c.instance, c.hold
			w := replicaWorld(t, r)
			w.store.set.Keeping = agent.KeepManual
			w.settled(time.Minute, replica.Promoted)
			res, err := w.replicate(t)
			require.NoError(t, err)
			require.Equal(t, c.end, res.State)
			require.Equal(t, c.end, w.store.state("r1"))
			require.Len(t, w.cloud.asked, c.asked)
			require.Equal(t, c.ended, w.cloud.ended)
			require.Equal(t, cmp.Or(c.page, "succeeded"), w.pages.last().State)
			require.Equal(t, c.wakes, w.post.wakes)
			if c.page == "failed" {
				require.Equal(t, string(replica.Gone), w.pages.last().Code, "the row says why")
			}
			if !c.state.IsOpen() && c.ended == nil {
				require.Len(t, w.pages.saves, 1, "a page that is closed already is not opened again")
			}
		})
	}
}

func TestAReplicaThatIsNotThereIsAFailure(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	_, err := w.replicate(t)
	require.Equal(t, replica.NotFound, fault.CodeOf(err))
	require.Equal(t, "failed", w.pages.last().State)
}

func TestAHoldThatEndsWakesTheGuardianAndGoesOn(t *testing.T) {
	t.Parallel()

	r := replicaOf(replica.Rebalance)
	r.Hold = replica.RebalanceHold
	w := replicaWorld(t, r)
	var before []string
	w.after(replica.RebalanceHold-time.Minute, func() { before = append(before, w.post.wakes...) })
	w.settled(3*time.Hour, replica.Retiring)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Empty(t, before, "nothing waits for it")
	require.Equal(t, []string{"r1 hold is over"}, w.post.wakes)
	require.Equal(t, replica.Retired, res.State)
}

// TestLostNewsIsFoundOut when the sweep has the row read again, within a quarter of an
// hour.
func TestLostNewsIsFoundOut(t *testing.T) {
	t.Parallel()

	for _, as := range []replica.State{replica.Retiring, replica.Promoted} {
		t.Run(string(as), func(t *testing.T) {
			t.Parallel()

			w := replicaWorld(t, replicaOf(replica.Manual))
			began := w.Now()
			w.silently(time.Hour, as)
			w.news(time.Hour + 15*time.Minute)
			_, err := w.replicate(t)
			require.NoError(t, err)
			require.LessOrEqual(t, w.Now().Sub(began), time.Hour+15*time.Minute)
			if as == replica.Retiring {
				require.Equal(t, replica.Retired, w.store.state("r1"))
				require.Equal(t, []string{"i-r1"}, w.cloud.ended)
			} else {
				require.Empty(t, w.cloud.ended)
			}
		})
	}
}

func TestAReplicaThatIsNeverReadyIsEnded(t *testing.T) {
	t.Parallel()

	for name, hinder := range map[string]func(*cloud){
		"runs":   func(c *cloud) { c.neverRun = true },
		"passes": func(c *cloud) { c.neverDone = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := replicaWorld(t, replicaOf(replica.Termination))
			hinder(w.cloud)
			_, err := w.replicate(t)
			require.Equal(t, replica.NotReady, fault.CodeOf(err))
			require.Equal(t, []string{"i-r1"}, w.cloud.ended)
			require.Equal(t, replica.Failed, w.store.state("r1"))
		})
	}
}

func TestACancelledReplicaEndsWhatItLaunched(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.after(time.Minute, w.CancelWorkflow)
	_, err := w.replicate(t)
	require.Equal(t, steps.Cancelled, fault.CodeOf(err))
	require.Equal(t, []string{"i-r1"}, w.cloud.ended)
	require.Equal(t, replica.Retired, w.store.state("r1"))
	require.Equal(t, "cancelled", w.pages.last().State)
	require.Zero(t, w.store.view().Failures, "nothing failed")
}

// TestACancelDuringTheLaunchWaitsForItsInstance holds that an instance which EC2 is just
// launching is ended too.
func TestACancelDuringTheLaunchWaitsForItsInstance(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.cloud.full = map[string]fault.Code{t3b: replica.Throttled}
	w.after(10*time.Second, w.CancelWorkflow)
	w.after(20*time.Second, func() {
		w.cloud.mu.Lock()
		defer w.cloud.mu.Unlock()
		w.cloud.full = nil
		w.store.edit(func(r *roles.Replica) { r.InstanceID = "i-r1" }) // as EndLaunch makes it known
	})
	_, err := w.replicate(t)
	require.Equal(t, steps.Cancelled, fault.CodeOf(err))
	require.Equal(t, []string{"i-r1"}, w.cloud.launched)
	require.Equal(t, []string{"i-r1"}, w.cloud.ended)
}

func TestAPersonCallsAReplicaOff(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	got := update[workflows.OperationAnswer](w, time.Minute, workflows.UpdateCancel, "u1",
		workflows.CancelInput{By: "ada"})
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.NoError(t, got.Err)
	require.Equal(t, "default-test-workflow-id", got.Answer.OperationID)
	require.Equal(t, replica.Retired, res.State)
	require.Equal(t, []string{"i-r1"}, w.cloud.ended)
	require.Contains(t, w.post.wakes, "r1 was called off")
}

func TestWhatIsCommittedCannotBeCalledOff(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.silently(time.Minute, replica.Promoted)
	got := update[workflows.OperationAnswer](w, 2*time.Minute, workflows.UpdateCancel, "u1", workflows.CancelInput{})
	w.news(3 * time.Minute)
	_, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, workflows.Committed, fault.CodeOf(got.Err))
	require.Empty(t, w.cloud.ended)

	w = replicaWorld(t, replicaOf(replica.Switch))
	got = update[workflows.OperationAnswer](w, time.Minute, workflows.UpdateCancel, "u1", workflows.CancelInput{})
	w.settled(2*time.Minute, replica.Promoted)
	_, err = w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, workflows.Committed, fault.CodeOf(got.Err), "it is the Switch's")
}

func TestAPromotionThatRacesWithAFailureWins(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.silently(time.Minute, replica.Promoted)
	w.after(time.Minute, w.CancelWorkflow)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, replica.Promoted, res.State)
	require.Empty(t, w.cloud.ended)
}

func TestAnInstanceThatCannotBeEndedIsAPersonsBusiness(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.cloud.refuse = replica.Refused
	w.settled(time.Minute, replica.Retiring)
	_, err := w.replicate(t)
	require.Equal(t, steps.UndoFailed, fault.CodeOf(err))
	require.NotEmpty(t, w.pages.last().Notify)

	w = replicaWorld(t, replicaOf(replica.Manual))
	w.cloud.refuse = agent.ForeignInst
	w.settled(time.Minute, replica.Retiring)
	_, err = w.replicate(t)
	require.NoError(t, err, "an instance that is not the agent's is none of ours")
}

// TestABackOffIsInTheRow waits as long as the row says, and reads it again.
func TestABackOffIsInTheRow(t *testing.T) {
	t.Parallel()

	r := replicaOf(replica.Manual)
	r.Wait = 10 * time.Minute
	w := replicaWorld(t, r)
	var before int
	w.after(9*time.Minute, func() { before = len(w.cloud.asked) })
	w.after(10*time.Minute-time.Second, func() { w.store.edit(func(r *roles.Replica) { r.Wait = 2 * time.Second }) })
	w.after(10*time.Minute+time.Second, func() { w.store.edit(func(r *roles.Replica) { r.Wait = 0 }) })
	w.settled(11*time.Minute, replica.Promoted)
	_, err := w.replicate(t)
	require.NoError(t, err)
	require.Zero(t, before)
	require.Len(t, w.cloud.asked, 1)
}

func TestAReplicaThatIsRetiredWhileItWaitsLaunchesNothing(t *testing.T) {
	t.Parallel()

	r := replicaOf(replica.Manual)
	r.Wait = 10 * time.Minute
	w := replicaWorld(t, r)
	w.settled(time.Minute, replica.Retiring)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, replica.Retired, res.State)
	require.Empty(t, w.cloud.asked)
}

func TestALongHeldReplicaContinuesAsNew(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.after(time.Hour, func() { w.SetContinueAsNewSuggested(true) })
	w.news(2 * time.Hour)
	_, err := w.replicate(t)
	require.True(t, workflow.IsContinueAsNewError(err))
	require.Empty(t, w.cloud.ended)
	require.Equal(t, replica.Ready, w.store.state("r1"))
	require.Empty(t, w.pages.closed)
}

func TestAReplicaGoesOnWithoutItsPage(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.pages.broken = agent.NotFound.New("the agent's rows are gone")
	w.settled(time.Minute, replica.Promoted)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, replica.Promoted, res.State)
}

func TestLostMessagesDoNotStopAReplica(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Termination))
	w.post.failures = 1000
	w.settled(time.Hour, replica.Promoted)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, replica.Promoted, res.State)
}
