package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/internal/agent"
	"spotkeeper/internal/replica"
	"spotkeeper/workflows"
)

// children counts what a Guardian started.
type children struct{ terminations, replicas int }

func countingWorld(t *testing.T, s *store) (*world, *children) {
	t.Helper()
	w, begun := newWorld(t, s), &children{}
	w.OnWorkflow(workflows.Termination, mock.Anything, mock.Anything).Return(func(workflow.Context, workflows.TerminationInput) (*workflows.TerminationResult, error) {
		begun.terminations++
		return &workflows.TerminationResult{}, nil
	}).Maybe()
	w.OnWorkflow(workflows.Replica, mock.Anything, mock.Anything).Return(func(workflow.Context, workflows.ReplicaInput) (*workflows.ReplicaResult, error) {
		begun.replicas++
		return &workflows.ReplicaResult{}, nil
	}).Maybe()
	return w, begun
}

// TestInAStormOnlyTheFailoverIsDone: what can wait is left to the Guardian that is
// woken when the storm is over, and done then.
func TestInAStormOnlyTheFailoverIsDone(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	s.set.Keeping, s.set.Storm = agent.KeepManual, true
	w, begun := countingWorld(t, s)
	got := notify(w, time.Second, "i-old")
	w.after(10*time.Second, func() { w.SignalWorkflow(workflows.SignalWake, "look again") })
	w.guard(t)
	require.Equal(t, workflows.NoticePromoted, got.Answer.Status)
	require.Equal(t, 1, s.changes())
	require.Equal(t, children{}, *begun)

	for _, storm := range []bool{true, false} {
		s.set.Storm = storm
		w, begun = countingWorld(t, s)
		w.after(time.Second, func() { w.SignalWorkflow(workflows.SignalWake, "its roles want judging") })
		w.guard(t)
		if storm {
			require.Equal(t, children{}, *begun)
		}
	}
	require.Equal(t, children{terminations: 1, replicas: 1}, *begun)
	require.Equal(t, replica.Requested, s.state("r2"))
}

// TestAStormDoesNotKeepASwitchFromBeingCalledOff: its instance may be the heir of
// a second notice.
func TestAStormDoesNotKeepASwitchFromBeingCalledOff(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	s.set.OpenSwitch, s.set.Storm = "cmd", true
	w, begun := countingWorld(t, s)
	got := notify(w, time.Second, "i-old")
	w.guard(t)
	require.Equal(t, workflows.NoticePromoted, got.Answer.Status)
	require.Equal(t, children{terminations: 1}, *begun)
}
