package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/workflows/rollout"
)

func TestASupersededRolloutLetsGo(t *testing.T) {
	t.Parallel()
	r := newRollouts(t)
	r.RegisterDelayedCallback(func() {
		r.mu.Lock()
		r.open, r.live = false, "newer" // as the other rollout's transaction does
		r.mu.Unlock()
		r.SignalWorkflow("nudge", nil)
	}, 10*time.Minute)
	begun := r.Now()
	p := r.roll(t, mlmodel.Immediate())
	require.Equal(t, mlmodel.Completed, p.Phase)
	require.Less(t, r.Now().Sub(begun), 11*time.Minute, "the nudge ends the wait")
	require.Equal(t, "newer", r.live)
	require.Nil(t, r.end)
}

// TestAWatchEndsWithTheFirstStage of the next rollout, and no sooner.
func TestAWatchEndsWithTheFirstStage(t *testing.T) {
	t.Parallel()
	r := newRollouts(t)
	r.watched = "older"
	require.Equal(t, mlmodel.Completed, r.roll(t, slowly()).Phase)
	require.Equal(t, []string{"older after 1"}, r.nudged)

	r = newRollouts(t)
	r.watched = "older"
	r.trialTakes(time.Minute)
	r.send(time.Second, rollout.UpdateAbort)
	require.Equal(t, mlmodel.Aborted, r.roll(t, slowly()).Phase)
	require.Equal(t, "older", r.watched, "an abort while it is validated touches nobody")

	r = newRollouts(t)
	r.entering = mlmodel.AlreadyLive.New("The session new is live already")
	first := r.send(0, rollout.UpdateBegin)
	require.Equal(t, mlmodel.Rejected, r.roll(t, mlmodel.Immediate()).Phase)
	require.Equal(t, mlmodel.AlreadyLive, fault.CodeOf(first.err), "%v", first.err)
	require.Equal(t, "old", r.live)
}

// TestARollbackOfWhatGaveWay says that there is nothing to take back.
func TestARollbackOfWhatGaveWay(t *testing.T) {
	t.Parallel()
	r := newRollouts(t)
	r.RegisterDelayedCallback(func() {
		r.mu.Lock()
		r.open, r.live = false, "newer" // the nudge was lost
		r.mu.Unlock()
	}, 10*time.Minute)
	answer := r.send(10*time.Minute+time.Millisecond, rollout.UpdateRollBack)
	p := r.roll(t, mlmodel.Immediate())
	require.NoError(t, answer.err)
	require.Equal(t, mlmodel.Completed, answer.Phase)
	require.Equal(t, mlmodel.Completed, p.Phase)
	require.Equal(t, "newer", r.live)
}
