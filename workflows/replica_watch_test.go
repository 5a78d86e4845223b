package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/temporalx"
)

func TestAHeldInstanceThatEndsIsAFailure(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.after(time.Minute, func() { w.cloud.end("i-r1") })
	_, err := w.replicate(t)
	require.Equal(t, replica.Gone, fault.CodeOf(err))
	require.Equal(t, replica.Failed, w.store.state("r1"))
	require.Contains(t, w.post.wakes, "r1 failed")
}

// TestAStandbyThatStopsIsNoStandby and is terminated: an instance that has stopped or
// hibernates still exists and costs money.
func TestAStandbyThatStopsIsNoStandby(t *testing.T) {
	t.Parallel()

	for _, state := range []string{activities.StateStopping, activities.StateStopped, activities.StateShuttingDown, activities.StateAbsent} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()

			w := replicaWorld(t, replicaOf(replica.Manual))
			w.stops(time.Minute, "i-r1", state)
			_, err := w.replicate(t)
			require.Equal(t, replica.Gone, fault.CodeOf(err))
			require.ErrorContains(t, err, state)
			require.Equal(t, replica.Failed, w.store.state("r1"))
			require.Equal(t, []string{"i-r1"}, w.cloud.ended)
			require.Equal(t, 1, w.post.nudged("promotion/r1")-1, "it was ready, and it failed")
		})
	}
}

// TestAStartingInstanceThatStopsIsEnded also in an emergency: it may cost money still.
func TestAStartingInstanceThatStopsIsEnded(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Termination))
	w.launches(map[string][2]string{t3b: {activities.StateStopped, "Client.UserInitiatedShutdown"}})
	_, err := w.replicate(t)
	require.Equal(t, replica.Gone, fault.CodeOf(err))
	require.Equal(t, []string{"i-" + t3b}, w.cloud.ended)
	require.Equal(t, replica.Failed, w.store.state("r1"))
}

// TestARefusedWatchIsAskedAgainAfterAPause, and a tenant that names an instance which is
// not the agent's gets an end to it.
func TestARefusedWatchIsAskedAgainAfterAPause(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	var asked []time.Time
	w.refuses("AwaitGone", agent.ForeignInst, &asked)
	w.cloud.refuse = agent.ForeignInst
	_, err := w.replicate(t)
	require.Equal(t, agent.ForeignInst, fault.CodeOf(err), "with the reason")
	require.Equal(t, replica.Failed, w.store.state("r1"))
	require.Len(t, asked, 13)
	for i, want := range []time.Duration{5, 10, 20, 40, 80, 160, 300, 300} {
		require.Equal(t, want*time.Second, asked[i+1].Sub(asked[i]).Round(time.Second))
	}
}

// TestRefusalsOfLongAgoAreForgotten when a watch has lasted since.
func TestRefusalsOfLongAgoAreForgotten(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	refused := 0
	await := func(ctx context.Context, in activities.WatchInput) (*activities.InstanceState, error) {
		if refused++; refused <= 12 {
			return nil, replica.Refused.New("no")
		}
		return w.cloud.AwaitGone(ctx, in)
	}
	w.OnActivity("AwaitGone", anything, anything).Return(await)
	w.after(90*time.Minute, func() {
		w.cloud.mu.Lock()
		defer w.cloud.mu.Unlock()
		require.Len(t, w.cloud.watches["i-r1"], 1)
		_ = w.cloud.complete(w.cloud.watches["i-r1"][0], nil, temporalx.Translate(replica.Refused.New("no, once more")))
	})
	w.settled(3*time.Hour, replica.Promoted)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, replica.Promoted, res.State)
	require.Len(t, w.cloud.watches["i-r1"], 2, "it watches on")
}

func TestARefusedPollIsAskedAgainAfterAPause(t *testing.T) {
	t.Parallel()

	for _, name := range []string{"AwaitRunning", "AwaitReady"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := replicaWorld(t, replicaOf(replica.Manual))
			var asked []time.Time
			w.refuses(name, replica.Refused, &asked)
			_, err := w.replicate(t)
			require.Equal(t, replica.Refused, fault.CodeOf(err), "with the reason")
			require.Equal(t, replica.Failed, w.store.state("r1"))
			require.Equal(t, []string{"i-r1"}, w.cloud.ended)
			require.Len(t, asked, 7)
			for i, want := range []time.Duration{5, 10, 20, 40, 80, 160} {
				require.Equal(t, want*time.Second, asked[i+1].Sub(asked[i]).Round(time.Second))
			}
		})
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
