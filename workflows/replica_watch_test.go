package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// TestAStandbyThatIsGoneIsEnded when the watch over standbys has written so into its
// row: an instance that has stopped or hibernates still exists and costs money.
func TestAStandbyThatIsGoneIsEnded(t *testing.T) {
	t.Parallel()

	for _, kind := range []replica.Kind{replica.Manual, replica.Switch} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()

			r := replicaOf(kind)
			r.For = "c1"
			w := replicaWorld(t, r)
			w.found(time.Minute, activities.StateStopped)
			res, err := w.replicate(t)
			require.NoError(t, err)
			require.Equal(t, replica.Failed, res.State)
			require.Equal(t, "failed", w.pages.last().State)
			require.Equal(t, string(replica.InstanceGone), w.pages.last().Code)
			require.Equal(t, []string{"i-r1"}, w.cloud.ended)
			if kind == replica.Switch {
				require.Equal(t, 3, w.post.nudged("switch/c1"), "it launches, it is ready, and it failed")
			}
		})
	}
}

// TestAHeldReplicaAsksNothing of EC2, and no timer brings it a workflow task.
func TestAHeldReplicaAsksNothing(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.store.set.Keeping = agent.KeepManual
	timers := 0
	w.SetOnTimerFiredListener(func(string) { timers++ })
	w.settled(24*time.Hour, replica.Promoted)
	_, err := w.replicate(t)
	require.NoError(t, err)
	require.Zero(t, w.cloud.looks)
	require.Zero(t, timers)
	require.Empty(t, w.post.wakes, "the roles want nothing, so the Guardian is not woken")
	require.Zero(t, w.post.nudged("promotion/r1"), "no promotion waits for it")
}

// TestAStartingInstanceThatStopsIsEnded also in an emergency: it may cost money still.
func TestAStartingInstanceThatStopsIsEnded(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Termination))
	w.launches(map[string][2]string{t3b: {activities.StateStopped, "Client.UserInitiatedShutdown"}})
	_, err := w.replicate(t)
	require.Equal(t, replica.InstanceGone, fault.CodeOf(err))
	require.Equal(t, []string{"i-" + t3b}, w.cloud.ended)
	require.Equal(t, replica.Failed, w.store.state("r1"))
}

func TestARefusedPollIsAskedAgainAfterAPause(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	var asked []time.Time
	w.refuses("AwaitUp", replica.Refused, &asked)
	_, err := w.replicate(t)
	require.Equal(t, replica.Refused, fault.CodeOf(err), "with the reason")
	require.Equal(t, replica.Failed, w.store.state("r1"))
	require.Equal(t, []string{"i-r1"}, w.cloud.ended)
	require.Len(t, asked, 7)
	for i, want := range []time.Duration{5, 10, 20, 40, 80, 160} {
		require.Equal(t, want*time.Second, asked[i+1].Sub(asked[i]).Round(time.Second))
	}
}

func TestTheWordOfTheAgentIsEnoughToBeReady(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.cloud.neverDone = true
	w.says(time.Minute, "ready", "")
	w.settled(2*time.Minute, replica.Promoted)
	_, err := w.replicate(t)
	require.NoError(t, err)
	require.Contains(t, w.post.wakes, "r1 ready")
}

func TestAReportAboutAnotherInstanceIsIgnored(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.says(time.Minute, "terminated", "i-else")
	w.settled(2*time.Minute, replica.Promoted)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, replica.Promoted, res.State)
}
