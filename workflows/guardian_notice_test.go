package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows"
)

func TestNoticeIsActedOnOnce(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	w := newWorld(t, s)
	first, again := notify(w, time.Second, "i-old"), notify(w, 2*time.Second, "i-old")
	w.guard(t)
	require.Equal(t, workflows.NoticePromoted, first.Answer.Status)
	require.Equal(t, "i-new", first.Answer.NewPrimary)
	require.Equal(t, first.Answer, again.Answer)
	require.Equal(t, 1, s.changes())
}

func TestNoticeForAnotherInstanceChangesNothing(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	w := newWorld(t, s)
	got := notify(w, time.Second, "i-unknown")
	w.guard(t)
	require.Equal(t, workflows.NoticeNotPrimary, got.Answer.Status)
	require.Zero(t, s.changes())
	o, found := s.view().Outcome("i-unknown", interruption.Termination)
	require.True(t, found)
	require.Equal(t, interruption.NotPrimary, o.Result)
}

func TestNoticeForAStandbyReplacesIt(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	s.set.Keeping = agent.KeepManual
	w := newWorld(t, s)
	got := notify(w, time.Second, "i-new")
	w.guard(t)
	require.Equal(t, workflows.NoticeNotPrimary, got.Answer.Status)
	require.Equal(t, replica.Retiring, s.state("r1"))
	require.Equal(t, replica.Requested, s.state("r2"))
	require.Zero(t, s.changes())
}

func TestNoticeForASwitchsInstanceEndsIt(t *testing.T) {
	t.Parallel()

	r := standby()
	r.Kind, r.For = replica.Switch, "cmd"
	s := newStore().with(r)
	w := newWorld(t, s)
	notify(w, time.Second, "i-new")
	w.guard(t)
	require.Equal(t, replica.Retiring, s.state("r1"))
	require.Equal(t, 1, w.post.nudged("replica/r1"), "its workflow ends it, and the Switch reads that")
}

func TestStaleEpochIsJudgedAgain(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	s.stale = 1
	w := newWorld(t, s)
	got := notify(w, time.Second, "i-old")
	w.guard(t)
	require.Equal(t, workflows.NoticePromoted, got.Answer.Status)
	require.Equal(t, 1, s.changes())
}

func TestMalformedNoticeIsRejected(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	got := notify(w, time.Second, "")
	w.guard(t)
	require.Equal(t, roles.InvalidMessage, fault.CodeOf(got.Rejected))
}

func TestNoticeWithoutHeirAnswersInProgressThenTheOutcome(t *testing.T) {
	t.Parallel()

	s := newStore()
	w := newWorld(t, s)
	got := notify(w, time.Second, "i-old")
	w.after(40*time.Second, func() {
		s.with(roles.Replica{
			ID:         "r1",
			Kind:       replica.Termination,
			For:        "i-old",
			State:      replica.Ready,
			InstanceID: "i-new",
		})
		w.SignalWorkflow(workflows.SignalWake, "r1 ready")
	})
	later := notify(w, 41*time.Second, "i-old")
	w.guard(t)
	require.Equal(t, workflows.NoticeInProgress, got.Answer.Status)
	require.Equal(t, "termination/a1/i-old", got.Answer.OperationID)
	require.Equal(t, workflows.NoticePromoted, later.Answer.Status)
	require.Equal(t, 1, s.decided())
}

func TestAWaitingNoticeIsAnsweredWhenTheHeirIsReady(t *testing.T) {
	t.Parallel()

	s := newStore()
	w := newWorld(t, s)
	got := notify(w, time.Second, "i-old")
	began := w.Now()
	w.after(5*time.Second, func() {
		s.with(roles.Replica{
			ID:         "r1",
			Kind:       replica.Termination,
			For:        "i-old",
			State:      replica.Ready,
			InstanceID: "i-new",
		})
		w.SignalWorkflow(workflows.SignalWake, "r1 ready")
	})
	w.guard(t)
	require.Equal(t, workflows.NoticePromoted, got.Answer.Status)
	require.Less(t, got.At.Sub(began), 7*time.Second)
	require.Equal(t, 1, w.post.nudged("termination/a1/i-old"), "the page of the notice reads the outcome")
	require.Equal(t, 1, w.post.started("termination/a1/i-old"))
}

func TestARunningReplicaIsTheLastResort(t *testing.T) {
	t.Parallel()

	s := newStore().with(roles.Replica{
		ID:         "r1",
		Kind:       replica.Manual,
		For:        "i-old",
		State:      replica.Running,
		InstanceID: "i-new",
	})
	w := newWorld(t, s)
	notify(w, time.Second, "i-old")
	for _, at := range []time.Duration{21 * time.Second, 70 * time.Second,
		112 * time.Second} { // as the Termination does
		w.after(at, func() { w.SignalWorkflow(workflows.SignalWake, "no successor yet") })
	}
	var early, late string
	w.after(100*time.Second, func() { early = s.view().Primary.ID })
	w.after(115*time.Second, func() { late = s.view().Primary.ID })
	w.guard(t)
	require.Equal(t, "i-old", early)
	require.Equal(t, "i-new", late)
}

func TestTheHeirTheAgentNamesIsTakenWhenItIsAsReady(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby()).with(roles.Replica{
		ID:         "r2",
		Kind:       replica.Rebalance,
		For:        "i-old",
		State:      replica.Ready,
		InstanceID: "i-wish",
	})
	w := newWorld(t, s)
	got := update[workflows.NoticeAnswer](w, time.Second, workflows.UpdateTerminationNotice, "u",
		workflows.NoticeInput{InstanceID: "i-old", ReplicaID: "r2"})
	w.guard(t)
	require.Equal(t, "i-wish", got.Answer.NewPrimary)
}

func TestALostAgentIsHealedLate(t *testing.T) {
	t.Parallel()

	s := newStore()
	w := newWorld(t, s)
	notify(w, time.Second, "i-old")
	for _, at := range []time.Duration{50 * time.Second, 100 * time.Second,
		122 * time.Second} { // as the Termination does
		w.after(at, func() { w.SignalWorkflow(workflows.SignalWake, "no successor yet") })
	}
	var at interruption.Result
	w.after(130*time.Second, func() {
		o, _ := s.view().Outcome("i-old", interruption.Termination)
		at = o.Result
	})
	lost := notify(w, 131*time.Second, "i-old")
	w.after(150*time.Second, func() {
		s.with(roles.Replica{
			ID:         "r1",
			Kind:       replica.Termination,
			For:        "i-old",
			State:      replica.Ready,
			InstanceID: "i-late",
		})
		w.SignalWorkflow(workflows.SignalWake, "r1 ready")
	})
	healed := notify(w, 155*time.Second, "i-old")
	w.guard(t)
	require.Equal(t, interruption.Lost, at)
	require.Equal(t, workflows.NoticeLost, lost.Answer.Status)
	require.Equal(t, workflows.NoticePromoted, healed.Answer.Status)
	require.Equal(t, "i-late", s.view().Primary.ID)
}

func TestWithoutReplicaTheLaunchingAgentMustLive(t *testing.T) {
	t.Parallel()

	s := newStore()
	s.set.Launcher = agent.ByAgent
	w := newWorld(t, s)
	got := notify(w, time.Second, "i-old")
	var asked replica.State
	w.after(2*time.Second, func() { asked = s.state("r1") })
	w.after(40*time.Second, func() {
		s.with(roles.Replica{
			ID:         "r1",
			Kind:       replica.Termination,
			For:        "i-old",
			State:      replica.Ready,
			Launcher:   agent.ByAgent,
			InstanceID: "i-new",
		})
		w.SignalWorkflow(workflows.SignalWake, "its agent launched it")
	})
	w.guard(t)
	require.Equal(t, workflows.NoticeNoReplica, got.Answer.Status)
	require.Equal(t, replica.Requested, asked, "it finds a replica to launch")
	require.Equal(t, "i-new", s.view().Primary.ID)
}

func TestAnAbsentDatabaseDelaysTheDecision(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	w := newWorld(t, s)
	s.mu.Lock()
	s.broken = fault.Code("postgres.unavailable").New("away")
	s.mu.Unlock()
	got := notify(w, time.Second, "i-old")
	w.after(10*time.Second, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.broken = nil
	})
	w.guard(t)
	require.Equal(t, workflows.NoticePromoted, got.Answer.Status)
}
