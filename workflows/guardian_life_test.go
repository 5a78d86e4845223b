package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/workflows"
)

// TestAWokenGuardianEndsInTheSameTask: no answer could be lost with it.
func TestAWokenGuardianEndsInTheSameTask(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	began := w.Now()
	timers := 0
	w.SetOnTimerFiredListener(func(string) { timers++ })
	w.after(0, func() { w.SignalWorkflow(workflows.SignalWake, "once") })
	w.guard(t)
	var done workflows.GuardianSummary
	require.NoError(t, w.GetWorkflowResult(&done))
	require.Equal(t, workflows.GuardianSummary{Wakes: 1, Runs: 1}, done)
	require.Equal(t, began, w.Now())
	require.Zero(t, timers)
}

func TestAGuardianThatAnsweredEndsAfterItsGrace(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore().with(standby()))
	began := w.Now()
	notify(w, 0, "i-old")
	w.guard(t)
	require.Equal(t, time.Minute, w.Now().Sub(began).Round(time.Second))
}

func TestMessagesInTheGraceAreTaken(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	s.set.Keeping = agent.KeepManual
	w := newWorld(t, s)
	got := notify(w, 0, "i-old")
	w.after(59*time.Second, func() { w.SignalWorkflow(workflows.SignalWake, "just in time") })
	again := notify(w, 118*time.Second, "i-old")
	w.guard(t)
	var done workflows.GuardianSummary
	require.NoError(t, w.GetWorkflowResult(&done))
	require.Equal(t, workflows.GuardianSummary{Wakes: 1, Updates: 2, Runs: 1}, done)
	require.Equal(t, workflows.NoticePromoted, got.Answer.Status)
	require.Equal(t, workflows.NoticePromoted, again.Answer.Status)
}

func TestALongGuardianContinuesAsNewWithoutAnAnswerInTheTask(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore().with(standby()))
	got := notify(w, 0, "i-old")
	w.SetContinueAsNewSuggested(true)
	w.after(10*time.Millisecond, func() { w.SetCurrentHistoryLength(20) }) // the task of a timer, not of the message
	w.ExecuteWorkflow(workflows.Guardian, workflows.GuardianInput{AgentID: "a1"})
	require.True(t, workflow.IsContinueAsNewError(w.GetWorkflowError()))
	require.Equal(t, workflows.NoticePromoted, got.Answer.Status)
}

func TestAFailedReconciliationIsTriedAgain(t *testing.T) {
	t.Parallel()

	s := newStore()
	s.set.Keeping = agent.KeepManual
	w := newWorld(t, s)
	w.after(0, func() {
		s.mu.Lock()
		s.broken = fault.Code("postgres.unavailable").New("away")
		s.mu.Unlock()
		w.SignalWorkflow(workflows.SignalWake, "look")
	})
	w.after(5*time.Minute, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.broken = nil
	})
	w.guard(t)
	require.Equal(t, replica.Requested, s.state("r1"), "nobody else would have noticed")
}

func TestAnUnknownAgentEndsAtOnce(t *testing.T) {
	t.Parallel()

	s := newStore()
	s.broken = agent.NotFound.New("no such agent")
	w := newWorld(t, s)
	got := notify(w, 0, "i-old")
	w.after(time.Second, func() { w.SignalWorkflow(workflows.SignalWake, "look") })
	w.guard(t)
	require.Equal(t, agent.NotFound, fault.CodeOf(got.Err))
}

// TestARefusedReconciliationIsBounded: a change of roles that is refused for good is
// tried a few times, with pauses, and then left to the sweep.
func TestARefusedReconciliationIsBounded(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	s.outcome(interruption.Notice{InstanceID: "i-old", Kind: interruption.Termination})
	s.stale = 1000
	w := newWorld(t, s)
	began := w.Now()
	w.after(0, func() { w.SignalWorkflow(workflows.SignalWake, "look") })
	w.guard(t)
	require.InDelta(t, 994, s.stale, 2, "six tries")
	require.Greater(t, w.Now().Sub(began), 5*time.Second, "with growing pauses")
}

// TestAReviewIsSettled records what was judged, and when the roles are due again.
func TestAReviewIsSettled(t *testing.T) {
	t.Parallel()

	s := newStore()
	s.set.Keeping, s.set.Review, s.set.ReviewSeq = agent.KeepManual, true, 7
	w := newWorld(t, s)
	w.after(0, func() { w.SignalWorkflow(workflows.SignalWake, "look") })
	w.guard(t)
	require.Equal(t, activities.Review{AgentID: "a1", Seq: 7}, s.reviews[0], "a standby is on its way: nothing is due")
}

func TestTheStateOfAGuardianCanBeAsked(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore().with(standby()))
	notify(w, 0, "i-old")
	w.after(time.Second, func() {
		v, err := w.QueryWorkflow(workflows.QueryState)
		require.NoError(t, err)
		var s workflows.GuardianState
		require.NoError(t, v.Get(&s))
		require.Equal(t, "i-new", s.Roles.Primary.ID)
		require.Equal(t, "waiting for what is asked next", s.Phase, "the failover is over")
	})
	w.guard(t)
}
