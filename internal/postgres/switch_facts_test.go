package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/sweeps"
)

// facts reads how a switch of a1 stands.
func (g *guarded) facts(switchID string) *activities.SwitchFacts {
	g.t.Helper()
	f, err := (&postgres.Switches{DB: g.db}).Switch(g.t.Context(), "a1", switchID)
	require.NoError(g.t, err)
	return f
}

// ordered is an order of a1 that keeps the old instance for five minutes.
func (g *guarded) ordered() *switching.SwitchCommand {
	g.t.Helper()
	wait := 300
	c, err := (&postgres.Commands{DB: g.db}).Order(g.t.Context(), switching.SwitchRequest{
		AgentID: "a1", Target: switching.Target{Mode: agent.Spot, PoolID: "t3.medium.us-east-1b"},
		Priority: switching.PriorityManual, TerminateWait: &wait, Reason: "cheaper"})
	require.NoError(g.t, err)
	return c
}

// reported records that a1 moved.
func (g *guarded) reported(command, from, to string) *switching.Reported {
	g.t.Helper()
	report := switching.Report{ClientID: "k1", AgentID: "a1", CommandID: command, OldID: from, NewID: to}
	r, err := (&postgres.SwitchReports{DB: g.db}).Record(g.t.Context(), report)
	require.NoError(g.t, err)
	return r
}

func TestAnOrderIsReadAtEachOfItsStates(t *testing.T) {
	t.Parallel()

	g := guard(t)
	c := g.ordered()
	want := &activities.SwitchFacts{
		AgentID:       "a1",
		LogicalID:     "a1",
		Primary:       "i-0",
		AutoTerminate: true,
		Ordered:       true,
		Status:        "pending",
		Target:        switching.Target{Mode: agent.Spot, PoolID: "t3.medium.us-east-1b"},
		Reason:        "cheaper",
		Trigger:       "manual",
		KeepOld:       5 * time.Minute,
		OldID:         "i-0",
	}
	require.Equal(t, want, g.facts(c.ID))
	require.Equal(t, roles.RetireOld, want.OldPrimary())
	require.Equal(t, roles.LeaveOld, want.OldPrimaryOfAgent())

	begun := activities.SwitchPhase{CommandID: c.ID, AgentID: "a1", Phase: switching.Launching}
	require.NoError(t, (&postgres.Switches{DB: g.db}).RecordPhase(t.Context(), begun))
	r := g.open(replica.Switch, c.ID)
	want.Phase, want.Replica = switching.Launching, activities.SwitchReplica{ID: r.ID, State: replica.Requested}
	require.Equal(t, want, g.facts(c.ID))
	require.True(t, g.advance(r.ID, replica.Launching, "i-1"))
	g.proven("i-1")
	require.True(t, g.advance(r.ID, replica.Ready, "i-1"))
	r.InstanceID = "i-1"
	want.Replica.State, want.Replica.InstanceID = replica.Ready, "i-1"
	ready := g.facts(c.ID)
	require.Positive(t, ready.Replica.ReadyFor)
	ready.Replica.ReadyFor = 0
	require.Equal(t, want, ready)

	in := change(g.set(), r, roles.BySwitch, roles.RetireOld)
	in.OperationID = roles.SwitchOperation(c.ID)
	_, err := g.ChangeRoles(t.Context(), in)
	require.NoError(t, err)
	after := g.facts(c.ID)
	require.InDelta(t, 5*time.Minute, after.Change.KeepLeft, float64(10*time.Second))
	after.Change.KeepLeft = 0
	require.Equal(t, &activities.SwitchChange{OldID: "i-0", NewID: "i-1", ReplicaID: r.ID, EndedBy: "us"}, after.Change)
	require.Equal(t, lines("i-1", 1, true, false), lines(after.Primary, after.Epoch, after.Replaced, after.FailedOver))
	g.exec(`UPDATE instances SET terminated_at = now(), role = 'retired' WHERE id = 'i-0'`)
	require.True(t, g.facts(c.ID).Change.OldGone)
}

// TestTheWordOfANewInstanceIsExpected of agents whose instances have spoken.
func TestTheWordOfANewInstanceIsExpected(t *testing.T) {
	t.Parallel()

	g := guard(t)
	c := g.ordered()
	r := g.open(replica.Switch, c.ID)
	require.True(t, g.advance(r.ID, replica.Launching, "i-1"))
	g.proven("i-1")
	require.True(t, g.advance(r.ID, replica.Ready, "i-1"))
	require.False(t, g.facts(c.ID).AwaitsWord(), "its primary has never spoken")
	g.exec(`UPDATE instances SET last_seen_at = now() WHERE id = 'i-0'`)
	require.True(t, g.facts(c.ID).AwaitsWord())
	g.exec(`UPDATE replicas SET ready_at = ready_at - interval '6 minutes'`)
	require.Greater(t, g.facts(c.ID).Replica.ReadyFor, switching.WordDeadline)
	g.exec(`UPDATE instances SET last_seen_at = now() WHERE id = 'i-1'`)
	require.False(t, g.facts(c.ID).AwaitsWord(), "it has spoken")
	g.exec(`UPDATE instances SET last_seen_at = NULL WHERE id = 'i-1'`)
	g.exec(`UPDATE replicas SET last_sync_at = now()`)
	require.False(t, g.facts(c.ID).AwaitsWord(), "its report is a word too")

	g.exec(`UPDATE replicas SET last_sync_at = NULL`)
	g.exec(`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, retiring_since)
		VALUES ('i-mute', 'k1', 'a1', 'retired', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a', now())`)
	g.exec(`INSERT INTO role_changes (client_id, agent_id, epoch, old_id, new_id, replica_id, cause, changed_at)
		VALUES ('k1', 'a1', 77, 'i-0', 'i-mute', $1, 'switch', now() - interval '1 minute')`, r.ID)
	require.True(t, g.facts(c.ID).AwaitsWord(), "it was taken before it could speak")
	g.exec(`UPDATE role_changes SET changed_at = now() - interval '1 hour'`)
	require.False(t, g.facts(c.ID).AwaitsWord(), "its image starts no agent")
}

// TestASilentSuccessorIsNotified once, unless its agent's instances were silent before.
func TestASilentSuccessorIsNotified(t *testing.T) {
	t.Parallel()

	g := guard(t)
	s := &sweeps.Silence{DB: g.db}
	notified := func() int {
		n, err := s.NotifySilentSuccessors(t.Context(), 2*time.Minute)
		require.NoError(t, err)
		return n
	}
	_, err := g.ChangeRoles(t.Context(),
		change(g.set(), g.successor(replica.Termination, "i-0", "i-9"), roles.ByTermination, roles.LeaveOld))
	require.NoError(t, err)
	require.Zero(t, notified(), "it may still boot")
	g.exec(`UPDATE instances SET primary_since = now() - interval '3 minutes' WHERE id = 'i-9'`)
	require.Zero(t, notified(), "the one before was silent too")
	g.exec(`UPDATE instances SET last_seen_at = now() WHERE id = 'i-0'`)
	g.exec(`UPDATE instances SET last_seen_at = now() WHERE id = 'i-9'`)
	require.Zero(t, notified(), "it speaks")
	g.exec(`UPDATE instances SET last_seen_at = NULL WHERE id = 'i-9'`)
	require.Equal(t, 1, notified())
	require.Zero(t, notified(), "once")
	require.Contains(t, one[string](g, `SELECT message FROM notifications WHERE dedup_key = 'silent-heir:i-9'`), "i-9")
	require.Equal(t, "heir_silent", one[string](g, `SELECT type FROM events WHERE dedup_key = 'silent-heir:i-9'`))
}

func TestWhatCallsASwitchOffIsRead(t *testing.T) {
	t.Parallel()

	g := guard(t)
	c := g.ordered()
	notice := func(kind string) {
		g.exec(
			`
				INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline)
				VALUES ('k1', 'a1', 'i-0', $1, now() + interval '1 hour')`,
			kind,
		)
	}
	notice("rebalance-recommendation")
	require.False(t, g.facts(c.ID).Noticed, "a rebalance takes nothing away")
	notice("termination-notice")
	require.True(t, g.facts(c.ID).Noticed)
	g.exec(
		`UPDATE notices SET result = 'lost', decided_at = now(), delivered_at = now() WHERE kind = 'termination-notice'`,
	)
	require.True(t, g.facts(c.ID).Noticed, "lost, and still in want of a successor")

	_, err := g.ChangeRoles(t.Context(),
		change(g.set(), g.successor(replica.Termination, "i-0", "i-9"), roles.ByTermination, roles.LeaveOld))
	require.NoError(t, err)
	f := g.facts(c.ID)
	require.Equal(t, lines(false, true, true, "i-9"), lines(f.Noticed, f.FailedOver, f.Replaced, f.Primary))
	require.Nil(t, f.Change, "that was not its own")
}

func TestAReportIsReadAndOpensItsOperation(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.exec(`UPDATE agents SET launcher = 'agent' WHERE id = 'a1'`)
	c := g.ordered()
	g.exec(`UPDATE commands SET new_instance_id = 'i-registered'`)
	f := g.facts(c.ID)
	require.Equal(t, lines("i-registered", false), lines(f.NewID, f.Reported))
	g.exec(
		`UPDATE operations SET state = 'failed', ended_at = now(), tend_at = NULL, error_code = 'switch.never_ready'`,
	)

	r := g.reported(c.ID, "i-0", "i-agents")
	require.Equal(t, &switching.Reported{SwitchID: c.ID, CommandID: c.ID, Launcher: agent.ByAgent, First: true}, r)
	require.Equal(t, "running t t",
		one[string](g, `SELECT concat_ws(' ', state, tend_at IS NOT NULL, error_code IS NULL) FROM operations`))
	f = g.facts(c.ID)
	require.Equal(t, lines("i-agents", true, false), lines(f.NewID, f.Reported, f.Replaced))

	g.exec(`UPDATE operations SET state = 'succeeded', ended_at = now(), tend_at = NULL`)
	require.False(t, g.reported(c.ID, "i-0", "i-agents").First)
	require.Equal(t, "succeeded", one[string](g, `SELECT state FROM operations`), "the same report again is no news")
}

func TestAReportThatNothingOrderedIsRead(t *testing.T) {
	t.Parallel()

	g := guard(t)
	r := g.reported("", "i-0", "i-1")
	require.Equal(t, &switching.Reported{SwitchID: "i-1", Launcher: agent.ByAgent, First: true}, r)
	require.Equal(t, "switch/i-1 running i-0 switch of a1",
		one[string](g, `SELECT concat_ws(' ', id, state, instance_id, summary) FROM operations`))
	f := g.facts("i-1")
	require.Equal(t, lines(false, true, "i-0", "i-1", false),
		lines(f.Ordered, f.Reported, f.OldID, f.NewID, f.Replaced))
	require.Equal(t, roles.LeaveOld, f.OldPrimaryOfAgent())

	// Another move after it, of which the report is taken in first: the older one is over then.
	reportedAt := func(seconds int) {
		g.exec(`UPDATE switches SET reported_at = now() + $1::int * interval '1 second' WHERE id = 'i-2'`, seconds)
	}
	g.reported("", "i-1", "i-2")
	require.False(t, g.facts("i-2").Replaced, "the report on the move before is on its way")
	g.exec(`UPDATE instances SET primary_since = now() WHERE id = 'i-0'`)
	reportedAt(-60)
	require.True(t, g.facts("i-2").Replaced, "the primary is younger than the report")
	reportedAt(60)
	require.False(t, g.facts("i-2").Replaced)
	_, err := g.ChangeRoles(t.Context(),
		change(g.set(), g.successor(replica.Termination, "i-0", "i-9"), roles.ByTermination, roles.LeaveOld))
	require.NoError(t, err)
	require.True(t, g.facts("i-1").Replaced, "a failover was faster")

	_, err = (&postgres.Switches{DB: g.db}).Switch(t.Context(), "a1", "i-8")
	require.Equal(t, switching.NotFound, fault.CodeOf(err))
}

// TestAnAgentsAnswerOpensItsOperation: an answer that comes when the operation has
// ended is seen by a switch again.
func TestAnAgentsAnswerOpensItsOperation(t *testing.T) {
	t.Parallel()

	g := guard(t)
	c, orders := g.ordered(), &postgres.Commands{DB: g.db}
	g.exec(`DELETE FROM operations`) // of an older version
	went := false
	for n := range 2 {
		got, news, err := orders.Complete(t.Context(), "k1", "a1", c.ID,
			switching.CommandOutcome{Success: &went, Message: "no capacity"})
		require.NoError(t, err)
		require.Equal(t, lines("failed", n == 0), lines(got.Status, news))
		require.Equal(t, "switch/"+c.ID, one[string](g, `SELECT id FROM operations WHERE state = 'running'`))
	}
	f := g.facts(c.ID)
	require.Equal(t, lines("failed", "no capacity"), lines(f.Status, f.Message))
}
