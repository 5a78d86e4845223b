package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// throttledWorld is a world in which EC2 throttles every launch in the first pool, for a
// while or, with 0, for good.
func throttledWorld(t *testing.T, kind replica.Kind, while time.Duration) *world {
	t.Helper()
	w := replicaWorld(t, replicaOf(kind))
	w.cloud.full = map[string]fault.Code{t3b: replica.Throttled}
	if while > 0 {
		w.after(while, func() {
			w.cloud.mu.Lock()
			defer w.cloud.mu.Unlock()
			w.cloud.full = map[string]fault.Code{}
		})
		w.settled(time.Hour, replica.Promoted)
	}
	return w
}

// TestAtRestThrottlingIsWaitedOutAndNeverFallenBackFrom: without an emergency no other pool
// is asked, however long EC2 throttles.
func TestAtRestThrottlingIsWaitedOutAndNeverFallenBackFrom(t *testing.T) {
	t.Parallel()

	w := throttledWorld(t, replica.Manual, 30*time.Second)
	_, err := w.replicate(t)
	require.NoError(t, err)
	require.Greater(t, len(w.cloud.asked), 2)
	require.Equal(t, []string{t3b}, compact(w.cloud.asked))

	w = throttledWorld(t, replica.Manual, 0)
	_, err = w.replicate(t)
	require.Error(t, err)
	require.Equal(t, []string{t3b}, compact(w.cloud.asked))
	require.Equal(t, replica.Failed, w.store.state("r1"))
}

// TestAnEmergencyStaysWithItsCandidateWhileEC2Throttles: throttling is about the account, so
// on-demand or a larger type would cost more and come no sooner.
func TestAnEmergencyStaysWithItsCandidateWhileEC2Throttles(t *testing.T) {
	t.Parallel()

	w := throttledWorld(t, replica.Termination, 50*time.Second)
	_, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, []string{t3b}, compact(w.cloud.asked))

	w = throttledWorld(t, replica.Termination, 0)
	began := w.Now()
	w.settled(time.Hour, replica.Promoted)
	_, err = w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, []string{t3b, t3c}, compact(w.cloud.asked), "and not for ever")
	require.Less(t, w.pages.when("ready").Sub(began), 90*time.Second)
}
