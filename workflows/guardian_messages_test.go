package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows"
)

func TestCreateReplicaIsOnePerRequest(t *testing.T) {
	t.Parallel()

	s := newStore()
	s.set.Keeping = agent.KeepManual
	w := newWorld(t, s)
	in := workflows.CreateReplicaInput{Plan: replica.Plan{Pool: "t3.medium.us-east-1b"}, CreatedBy: "ada"}
	first := update[workflows.ReplicaAnswer](w, 0, workflows.UpdateCreateReplica, "u1", in)
	other := update[workflows.ReplicaAnswer](w, 2*time.Second, workflows.UpdateCreateReplica, "u2", in)
	w.guard(t)
	require.NoError(t, first.Err)
	require.Equal(t, replica.AlreadyExists, fault.CodeOf(other.Err))

	// The same request comes again in a later run, because its answer was lost.
	later := newWorld(t, s)
	again := update[workflows.ReplicaAnswer](later, 0, workflows.UpdateCreateReplica, "u1", in)
	later.guard(t)
	require.NoError(t, again.Err)
	require.Equal(t, first.Answer.ReplicaID, again.Answer.ReplicaID)
	require.True(t, again.Answer.Existing)
	require.Equal(t, 1, s.decided())
}

func TestCreateReplicaNeedsManualMode(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	got := update[workflows.ReplicaAnswer](w, 0, workflows.UpdateCreateReplica, "u1", workflows.CreateReplicaInput{})
	w.guard(t)
	require.Equal(t, replica.NotAllowed, fault.CodeOf(got.Err))
}

func TestAReportedInstanceBecomesTheReplicaThatWaitsForIt(t *testing.T) {
	t.Parallel()

	s := newStore().with(roles.Replica{
		ID:       "r1",
		Kind:     replica.Termination,
		For:      "i-old",
		State:    replica.Launching,
		Launcher: agent.ByAgent,
	})
	s.set.Launcher = agent.ByAgent
	w := newWorld(t, s)
	got := update[workflows.ReplicaAnswer](w, 0, workflows.UpdateCreateReplica, "u1",
		workflows.CreateReplicaInput{InstanceID: "i-mine", Kind: replica.Rebalance, Ready: true})
	w.guard(t)
	require.NoError(t, got.Err)
	require.Equal(t, "r1", got.Answer.ReplicaID)
	require.Len(t, w.post.reports, 1)
	require.Equal(t, "ready", w.post.reports[0].Status)
}

func TestAReportedInstanceIsTakenIn(t *testing.T) {
	t.Parallel()

	s := newStore()
	s.set.Keeping, s.set.Launcher = agent.KeepManual, agent.ByAgent
	w := newWorld(t, s)
	in := workflows.CreateReplicaInput{InstanceID: "i-mine", Ready: true}
	first := update[workflows.ReplicaAnswer](w, 0, workflows.UpdateCreateReplica, "u1", in)
	again := update[workflows.ReplicaAnswer](w, time.Second, workflows.UpdateCreateReplica, "u2", in)
	w.guard(t)
	require.NoError(t, first.Err)
	require.Equal(t, replica.Ready, s.state("r1"))
	require.Equal(t, "r1", again.Answer.ReplicaID)
	require.Equal(t, 1, s.decided())
}

func TestDeleteReplicaRetiresIt(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	w := newWorld(t, s)
	got := update[workflows.ReplicaAnswer](w, 0, workflows.UpdateDeleteReplica, "u1",
		workflows.DeleteReplicaInput{ReplicaID: "r1"})
	again := update[workflows.ReplicaAnswer](w, time.Second, workflows.UpdateDeleteReplica, "u2",
		workflows.DeleteReplicaInput{ReplicaID: "r1"})
	w.guard(t)
	require.NoError(t, got.Err)
	require.Equal(t, replica.Retiring, s.state("r1"))
	require.Equal(t, replica.NotFound, fault.CodeOf(again.Err))
	require.Equal(t, 1, w.post.nudged("replica/r1"))
}

func TestPromoteChangesTheRolesAtOnce(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	w := newWorld(t, s)
	got := update[workflows.PromoteAnswer](w, 0, workflows.UpdatePromote, "u1",
		workflows.PromoteInput{ReplicaID: "r1", Demote: true})
	w.guard(t)
	require.NoError(t, got.Err)
	require.True(t, got.Answer.Changed)
	require.Equal(t, "i-old", got.Answer.OldPrimary)
	require.Equal(t, "i-new", s.view().Primary.ID)
	old, standsBy := s.view().ReplicaOn("i-old")
	require.True(t, standsBy)
	require.Equal(t, 1, w.post.started("replica/"+old.ID), "the old primary's workflow holds it")
	require.Equal(t, 1, w.post.nudged("promotion/r1"))
}

func TestPromoteJudgesAStaleEpochAgain(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	s.stale = 2
	w := newWorld(t, s)
	got := update[workflows.PromoteAnswer](w, 0, workflows.UpdatePromote, "u1", workflows.PromoteInput{ReplicaID: "r1"})
	w.guard(t)
	require.NoError(t, got.Err)
	require.Equal(t, "i-new", s.view().Primary.ID)
}

func TestPromoteOfALaunchingReplicaIsRefusedOrWaits(t *testing.T) {
	t.Parallel()

	s := newStore().with(roles.Replica{
		ID:         "r1",
		Kind:       replica.Manual,
		For:        "i-old",
		State:      replica.Launching,
		InstanceID: "i-new",
	})
	s.set.Keeping = agent.KeepManual
	w := newWorld(t, s)
	refused := update[workflows.PromoteAnswer](w, 0, workflows.UpdatePromote, "u1",
		workflows.PromoteInput{ReplicaID: "r1"})
	waits := update[workflows.PromoteAnswer](w, time.Second, workflows.UpdatePromote, "u2",
		workflows.PromoteInput{ReplicaID: "r1", Wait: time.Minute})
	w.guard(t)
	require.Equal(t, replica.NotReady, fault.CodeOf(refused.Err))
	require.NoError(t, waits.Err)
	require.False(t, waits.Answer.Changed)
	require.Equal(t, "promotion/r1", waits.Answer.OperationID)
	require.Zero(t, s.changes())
}

func switchTo(pool string) workflows.RequestSwitchInput {
	return workflows.RequestSwitchInput{
		CommandID: "cmd",
		Target:    switching.Target{Mode: agent.Spot, PoolID: pool},
		Reason:    "cheaper",
		Trigger:   "manual",
	}
}

func TestRequestSwitchIsOnePerCommand(t *testing.T) {
	t.Parallel()

	s := newStore()
	w := newWorld(t, s)
	first := update[workflows.OperationAnswer](w, 0, workflows.UpdateRequestSwitch, "switch/cmd#0123456789abcdef",
		switchTo("t3.medium.us-east-1b"))
	again := update[workflows.OperationAnswer](w, time.Second, workflows.UpdateRequestSwitch, "u2",
		switchTo("t3.medium.us-east-1b"))
	w.guard(t)
	require.NoError(t, first.Err)
	require.Equal(t, "switch/cmd", first.Answer.OperationID)
	require.Equal(t, first.Answer, again.Answer)
	require.Equal(t, 1, s.decided())
	require.Equal(t, "t3.medium.us-east-1b", s.view().Replicas[0].Plan.Pool, "it goes where it was asked to")
	require.Equal(t, "switch/cmd", s.view().Replicas[0].RequestID, "whatever else its id says")
}

func TestASwitchWaitsForNoNoticeAndNoOtherSwitch(t *testing.T) {
	t.Parallel()

	noticed := newStore()
	noticed.set.Outcomes = []interruption.Outcome{{
		InstanceID: "i-old",
		Kind:       interruption.Termination,
		Deadline:   time.Now().Add(time.Hour),
	}}
	other := newStore().with(roles.Replica{ID: "r1", Kind: replica.Switch, For: "another", State: replica.Launching})
	for name, s := range map[string]*store{"notice": noticed, "switch": other} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, s)
			got := update[workflows.OperationAnswer](w, 0, workflows.UpdateRequestSwitch, "u1",
				switchTo("t3.medium.us-east-1b"))
			w.after(time.Second, w.CancelWorkflow)
			w.ExecuteWorkflow(workflows.Guardian, workflows.GuardianInput{
				AgentID: "a1",
				Tuning:  workflows.Tuning{IdleGrace: time.Minute},
			})
			require.Equal(t, switching.Busy, fault.CodeOf(got.Err))
		})
	}
}

func TestASwitchOfALaunchingAgentOpensNoReplica(t *testing.T) {
	t.Parallel()

	s := newStore()
	s.set.Launcher = agent.ByAgent
	w := newWorld(t, s)
	got := update[workflows.OperationAnswer](w, 0, workflows.UpdateRequestSwitch, "u1",
		switchTo("t3.medium.us-east-1b"))
	w.guard(t)
	require.NoError(t, got.Err)
	require.Zero(t, s.decided())
	require.Equal(t, []activities.OpenRow{{
		ID:       "switch/cmd",
		ClientID: "c1",
		AgentID:  "a1",
		Launcher: string(agent.ByAgent),
	}}, w.post.starts)
}

func TestRemoveAgentLeavesTheRestToARemoval(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	w := newWorld(t, s)
	got := update[workflows.OperationAnswer](w, 0, workflows.UpdateRemoveAgent, "u1",
		workflows.RemoveAgentInput{By: "ada"})
	after := notify(w, time.Second, "i-old")
	w.guard(t)
	require.NoError(t, got.Err)
	require.Equal(t, "removal/a1", got.Answer.OperationID)
	require.Equal(t, agent.NotFound, fault.CodeOf(after.Err))
	require.Equal(t, 1, w.post.started("removal/a1"))
}

// TestTwoPromotionsOfOneReplicaAreOne: the second request finds the first one's outcome.
func TestTwoPromotionsOfOneReplicaAreOne(t *testing.T) {
	t.Parallel()

	s := newStore().with(roles.Replica{
		ID:         "r1",
		Kind:       replica.Manual,
		For:        "i-old",
		State:      replica.Running,
		InstanceID: "i-new",
	})
	w := newWorld(t, s)
	in := workflows.PromoteInput{ReplicaID: "r1", Wait: time.Minute}
	first := update[workflows.PromoteAnswer](w, 0, workflows.UpdatePromote, "u1", in)
	second := update[workflows.PromoteAnswer](w, time.Second, workflows.UpdatePromote, "u2", in)
	w.guard(t)
	require.NoError(t, first.Err)
	require.NoError(t, second.Err)
	require.Equal(t, first.Answer.OperationID, second.Answer.OperationID)
	require.Len(t, s.wishes, 1)
	require.Zero(t, s.changes())
}

// TestAPersonPromotesASilentStandby on purpose: at once, and the answer says that it is silent.
func TestAPersonPromotesASilentStandby(t *testing.T) {
	t.Parallel()

	s := newStore().with(roles.Replica{ID: "r1", Kind: replica.Manual, For: "i-old", State: replica.Ready,
		InstanceID: "i-new", Unheard: true})
	w := newWorld(t, s)
	got := update[workflows.PromoteAnswer](w, 0, workflows.UpdatePromote, "u1",
		workflows.PromoteInput{ReplicaID: "r1", AcceptSilent: true})
	w.guard(t)
	require.NoError(t, got.Err)
	require.True(t, got.Answer.Changed)
	require.True(t, got.Answer.Silent)
	require.True(t, s.wishes["r1"].AcceptSilent)
}

// TestAPromotionOfASilentStandbyIsNotMadeAtOnce (K10): the Promotion waits for its agent.
func TestAPromotionOfASilentStandbyIsNotMadeAtOnce(t *testing.T) {
	t.Parallel()

	for _, unheard := range []bool{true, false} {
		s := newStore().with(roles.Replica{ID: "r1", Kind: replica.Manual, For: "i-old", State: replica.Ready,
			InstanceID: "i-new", Unheard: unheard})
		w := newWorld(t, s)
		got := update[workflows.PromoteAnswer](w, 0, workflows.UpdatePromote, "u1",
			workflows.PromoteInput{ReplicaID: "r1"})
		w.guard(t)
		require.NoError(t, got.Err)
		require.Equal(t, !unheard, got.Answer.Changed)
		if unheard {
			require.Equal(t, switching.WordDeadline, s.wishes["r1"].Wait)
		}
	}
}
