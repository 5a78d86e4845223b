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

func emergency(w *world, d time.Duration, id string, kind interruption.Kind) *reply[workflows.ReplicaAnswer] {
	return update[workflows.ReplicaAnswer](w, d, workflows.UpdateEmergencyReplica, id,
		workflows.EmergencyInput{InstanceID: "i-old", Kind: kind})
}

func TestARebalanceOpensOneReplicaForTwoHours(t *testing.T) {
	t.Parallel()

	s := newStore()
	w := newWorld(t, s)
	first := emergency(w, time.Second, "u1", interruption.Rebalance)
	again := emergency(w, 2*time.Second, "u2", interruption.Rebalance)
	w.guard(t)
	require.NoError(t, first.Err)
	require.Equal(t, "r1", first.Answer.ReplicaID)
	require.False(t, first.Answer.Existing)
	require.Equal(t, "r1", again.Answer.ReplicaID)
	require.True(t, again.Answer.Existing)
	require.Equal(t, 1, s.decided())
	require.Equal(t, replica.RebalanceHold, s.view().Replicas[0].Hold)
}

func TestARebalanceThatComesToNothingIsStoodDown(t *testing.T) {
	t.Parallel()

	s := newStore()
	w := newWorld(t, s)
	emergency(w, time.Second, "u1", interruption.Rebalance)
	w.after(30*time.Second, func() {
		_, err := s.Advance(t.Context(), roles.ReplicaTransition{
			ReplicaID:  "r1",
			To:         replica.Ready,
			InstanceID: "i-new",
		})
		require.NoError(t, err)
		w.SignalWorkflow(workflows.SignalWake, "ready")
	})
	w.guard(t)
	require.Equal(t, replica.Ready, s.state("r1"), "it is held")

	later := newWorld(t, s)
	s.now = func() time.Time { return w.Now().Add(replica.RebalanceHold + time.Minute) }
	later.after(0, func() { later.SignalWorkflow(workflows.SignalWake, "hold is over") })
	later.guard(t)
	require.Equal(t, replica.Retiring, s.state("r1"))
	require.Equal(t, 1, later.post.nudged("replica/r1"))
	o, _ := s.view().Outcome("i-old", interruption.Rebalance)
	require.Equal(t, interruption.StoodDown, o.Result)
	require.Equal(t, 1, s.decided(), "nothing new is launched")
	require.Zero(t, s.changes())
}

func TestAShorterHoldEndsTheNoticeToo(t *testing.T) {
	t.Parallel()

	s := newStore().with(roles.Replica{
		ID:         "r1",
		Kind:       replica.Rebalance,
		For:        "i-old",
		State:      replica.Ready,
		InstanceID: "i-new",
		Hold:       time.Minute,
	})
	w := newWorld(t, s)
	s.mu.Lock()
	s.outcome(interruption.Notice{InstanceID: "i-old", Kind: interruption.Rebalance})
	s.until["r1"] = w.Now().Add(-time.Second)
	s.mu.Unlock()
	w.after(0, func() { w.SignalWorkflow(workflows.SignalWake, "hold is over") })
	w.guard(t)
	require.Equal(t, replica.Retiring, s.state("r1"))
	require.Equal(t, 1, s.decided(), "it asks for no other")
	o, _ := s.view().Outcome("i-old", interruption.Rebalance)
	require.Equal(t, interruption.StoodDown, o.Result)
}

func TestANoticeAfterARebalancePromotesItsReplica(t *testing.T) {
	t.Parallel()

	s := newStore().with(roles.Replica{
		ID:         "r1",
		Kind:       replica.Rebalance,
		For:        "i-old",
		State:      replica.Ready,
		InstanceID: "i-new",
		Hold:       replica.RebalanceHold,
	})
	w := newWorld(t, s)
	got := notify(w, time.Second, "i-old")
	w.guard(t)
	require.Equal(t, "r1", got.Answer.ReplicaID)
	require.Equal(t, 1, s.decided())
}

func TestAnEmergencyOutsideAutoModeIsTakenAndRefused(t *testing.T) {
	t.Parallel()

	s := newStore()
	s.set.Keeping = agent.KeepOff
	w := newWorld(t, s)
	got := emergency(w, time.Second, "u1", interruption.Rebalance)
	w.guard(t)
	require.Equal(t, agent.AutoOff, fault.CodeOf(got.Err))
	_, found := s.view().Outcome("i-old", interruption.Rebalance)
	require.True(t, found)
	require.Zero(t, s.decided())
}

func TestAnEmergencyOfAReplacedInstanceAnswersWhatBecameOfIt(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	w := newWorld(t, s)
	notify(w, time.Second, "i-old")
	got := emergency(w, 2*time.Second, "u1", interruption.Termination)
	w.guard(t)
	require.NoError(t, got.Err)
	require.Equal(t, replica.Promoted, got.Answer.State)
	require.Equal(t, "i-new", got.Answer.InstanceID)
	require.Equal(t, 1, s.decided())
}

func TestAFailedEmergencyIsTriedAgain(t *testing.T) {
	t.Parallel()

	s := newStore()
	w := newWorld(t, s)
	notify(w, time.Second, "i-old")
	w.after(3*time.Second, func() {
		_, err := s.Advance(t.Context(), roles.ReplicaTransition{
			ReplicaID: "r1",
			To:        replica.Failed,
			ErrorCode: replica.NoPool,
		})
		require.NoError(t, err)
		w.SignalWorkflow(workflows.SignalWake, "r1 failed")
	})
	var second replica.State
	w.after(5*time.Second, func() { second = s.state("r2") })
	w.guard(t)
	require.Equal(t, replica.Requested, second)
}

func TestManualModeBuildsExactlyOne(t *testing.T) {
	t.Parallel()

	s := newStore()
	w := newWorld(t, s)
	got := update[workflows.ConfigureAnswer](w, time.Second, workflows.UpdateConfigure, "u1",
		workflows.ConfigureInput{Keeping: agent.KeepManual})
	w.after(2*time.Second, func() { w.SignalWorkflow(workflows.SignalWake, "look") })
	w.guard(t)
	require.Equal(t, agent.KeepManual, got.Answer.Keeping)
	require.Equal(t, 1, s.decided())
	require.Equal(t, replica.Manual, s.view().Replicas[0].Kind)
}

func TestManualModeRebuildsAfterAFailover(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	s.set.Keeping = agent.KeepManual
	w := newWorld(t, s)
	notify(w, time.Second, "i-old")
	w.guard(t)
	set := s.view()
	require.Equal(t, "i-new", set.Primary.ID)
	require.Len(t, set.Replicas, 1)
	require.Equal(t, "i-new", set.Replicas[0].For)
}

func TestModesExcludeEachOther(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	s.set.Keeping = agent.KeepManual
	w := newWorld(t, s)
	update[workflows.ConfigureAnswer](w, time.Second, workflows.UpdateConfigure, "u1",
		workflows.ConfigureInput{Keeping: agent.KeepAuto})
	w.guard(t)
	require.Equal(t, replica.Retiring, s.state("r1"))
	require.Equal(t, 1, w.post.nudged("replica/r1"))
	require.Empty(t, s.view().Replicas)
}

func TestAnUnknownModeIsRejected(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	got := update[workflows.ConfigureAnswer](w, time.Second, workflows.UpdateConfigure, "u1",
		workflows.ConfigureInput{Keeping: "sometimes"})
	w.guard(t)
	require.Equal(t, roles.InvalidMessage, fault.CodeOf(got.Rejected))
}
