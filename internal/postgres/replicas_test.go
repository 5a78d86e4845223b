package postgres_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
)

func TestOpenReplicaOnce(t *testing.T) {
	t.Parallel()

	g := guard(t)
	ask := func(kind replica.Kind, cause, request string) roles.Replica {
		t.Helper()
		opened, err := g.OpenReplica(t.Context(), roles.ReplicaRequest{
			AgentID:   "a1",
			Kind:      kind,
			For:       cause,
			RequestID: request,
			Hold:      time.Hour,
			CreatedBy: "user@acme",
			Plan:      replica.Plan{Pool: "t3.medium.us-east-1c", Mode: agent.Spot},
		})
		require.NoError(t, err)
		return opened.Replica
	}
	manual := ask(replica.Manual, "i-0", "u1")
	require.Equal(t, lines(replica.Manual, "i-0", replica.Requested, "t3.medium.us-east-1c", time.Hour,
		agent.ControlPlane, "u1"),
		lines(manual.Kind, manual.For, manual.State, manual.PoolID, manual.Hold, manual.Launcher, manual.RequestID))
	require.Equal(t, manual.ID, ask(replica.Manual, "i-0", "u2").ID, "one standby per agent")
	require.Equal(t, manual.ID, ask(replica.Manual, "i-9", "").ID, "for every agent it is kept for")
	emergency := ask(replica.Rebalance, "i-0", "u3")
	require.Equal(t, emergency.ID, ask(replica.Termination, "i-0", "u4").ID, "one emergency per agent")
	move := ask(replica.Switch, "c1", "u5")
	require.Equal(t, move.ID, ask(replica.Switch, "c1", "").ID)
	_, err := g.OpenReplica(t.Context(), roles.ReplicaRequest{AgentID: "a1", Kind: replica.Switch, For: "c2"})
	require.Equal(t, switching.Busy, fault.CodeOf(err), "two commands do not share an instance")
	require.Len(t, g.set().Replicas, 3)
	require.Equal(t, 3, one[int](g, `SELECT count(*) FROM events WHERE type = 'replica_decided'`))

	require.True(t, g.advance(emergency.ID, replica.Failed, ""))
	require.Equal(t, emergency.ID, ask(replica.Rebalance, "i-0", "u3").ID,
		"a request that comes again finds its replica, whatever became of it")
	require.NotEqual(t, emergency.ID, ask(replica.Rebalance, "i-0", "u6").ID, "another one makes another")
	_, err = g.OpenReplica(t.Context(), roles.ReplicaRequest{AgentID: "a9", Kind: replica.Manual})
	require.Equal(t, agent.NotFound, fault.CodeOf(err))
}

func TestOpenReplicaAtOnce(t *testing.T) {
	t.Parallel()

	g := guard(t)
	found := make([]string, 12)
	var wg sync.WaitGroup
	for i := range found {
		wg.Go(func() {
			kind := []replica.Kind{replica.Rebalance, replica.Termination}[i%2]
			if opened, err := g.OpenReplica(t.Context(), roles.ReplicaRequest{
				AgentID:   "a1",
				Kind:      kind,
				For:       "i-0",
				RequestID: []string{"", "r"}[i%2],
			}); err == nil {
				found[i] = opened.Replica.ID
			}
		})
	}
	wg.Wait()
	for _, id := range found {
		require.Equal(t, found[0], id)
		require.NotEmpty(t, id)
	}
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM replicas`))
}

// TestOpenReplicaThatExists: the agent launched first and reported afterwards.
func TestOpenReplicaThatExists(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.agent("k2", "b1", "i-b")
	in := roles.ReplicaRequest{
		AgentID:    "a1",
		Kind:       replica.Manual,
		For:        "i-0",
		InstanceID: "i-1",
		Plan:       replica.Plan{Pool: "t3.large.us-east-1c", Mode: agent.Spot},
	}
	for range 2 {
		opened, err := g.OpenReplica(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, lines(replica.Running, "i-1", agent.ByAgent),
			lines(opened.Replica.State, opened.Replica.InstanceID, opened.Replica.Launcher))
	}
	require.Equal(t, "replica t3.large us-east-1 us-east-1c spot agent",
		one[string](
			g,
			`SELECT concat_ws(' ', role, instance_type, region, az, mode, launched_by) FROM instances WHERE id = 'i-1'`,
		))
	for instance, code := range map[string]fault.Code{"i-0": roles.IsPrimary, "i-b": agent.InstanceOfOtherTenant} {
		in.InstanceID = instance
		_, err := g.OpenReplica(t.Context(), in)
		require.Equal(t, code, fault.CodeOf(err), instance)
	}
	require.Equal(t, "b1 primary", one[string](g, `SELECT agent_id || ' ' || role FROM instances WHERE id = 'i-b'`))
}

func TestAdvance(t *testing.T) {
	t.Parallel()

	g := guard(t)
	opened, err := g.OpenReplica(t.Context(), roles.ReplicaRequest{
		AgentID: "a1",
		Kind:    replica.Rebalance,
		For:     "i-0",
		Hold:    time.Millisecond,
	})
	require.NoError(t, err)
	id := opened.Replica.ID
	require.True(t, g.advance(id, replica.Launching, ""))
	require.True(t, g.advance(id, replica.Launching, "i-1"), "once more, with the instance")
	require.Equal(t, "replica t3.medium.us-east-1b spot control-plane 0.010000",
		one[string](g,
			`SELECT concat_ws(' ', role, pool_id, mode, launched_by, spot_price) FROM instances WHERE id = 'i-1'`))
	require.True(t, g.advance(id, replica.Running, "i-1"))
	require.False(t, g.advance(id, replica.Launching, ""), "never back")
	g.exec(`UPDATE agents SET failures = 4`)
	require.True(t, g.advance(id, replica.Ready, ""))
	require.Zero(t, g.set().Failures.Standby)
	first := one[time.Time](g, `SELECT hold_until FROM replicas`)
	require.True(t, g.advance(id, replica.Ready, ""))
	require.Equal(t, first, one[time.Time](g, `SELECT hold_until FROM replicas`), "the hold began once")
	require.Eventually(t, func() bool { return g.set().Replicas[0].Expired }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, "synced 100.00",
		one[string](
			g,
			`
				SELECT sync_status || ' ' || sync_progress
				FROM replicas
				WHERE running_at IS NOT NULL AND ready_at IS NOT NULL`,
		))

	require.True(t, g.advance(id, replica.Retiring, ""))
	require.False(t, g.advance(id, replica.Ready, ""), "it is no candidate any more")
	require.Empty(t, g.set().Replicas)
	g.exec(`UPDATE replicas SET launched_at = now() - interval '2 hours'`)
	require.True(t, g.advance(id, replica.Retired, ""))
	require.Equal(t, "retired",
		one[string](g, `SELECT role FROM instances WHERE id = 'i-1' AND terminated_at IS NOT NULL`))
	require.Equal(t, 1, one[int](g,
		`SELECT count(*) FROM replicas WHERE ended_at IS NOT NULL AND round(total_cost, 3) = 0.020`))

	_, err = g.Advance(t.Context(), roles.ReplicaTransition{ReplicaID: "r9", To: replica.Ready})
	require.Equal(t, replica.NotFound, fault.CodeOf(err))
}

func TestAdvanceCountsFailuresOnce(t *testing.T) {
	t.Parallel()

	g := guard(t)
	for _, kind := range []replica.Kind{replica.Manual, replica.Termination, replica.Switch} {
		r := g.open(kind, "c1")
		for range 3 {
			ok, err := g.Advance(t.Context(), roles.ReplicaTransition{
				ReplicaID: r.ID,
				To:        replica.Failed,
				ErrorCode: replica.NoCapacity,
				Error:     "nothing left",
			})
			require.NoError(t, err)
			require.True(t, ok)
		}
		require.Equal(t, 1, g.set().Failures.Standby, "another kind that fails is not a standby that failed")
	}
	require.Equal(t, 3, one[int](g, `SELECT count(*) FROM events WHERE type = 'replica_failed'`))
	require.Equal(t, 3, one[int](g,
		`SELECT count(*) FROM replicas WHERE error_code = 'launch.no_capacity' AND ended_at IS NOT NULL`))
}

func TestAReplicaLivesOnOneInstance(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.agent("k2", "b1", "i-b")
	r := g.successor(replica.Manual, "i-0", "i-1")
	for instance, code := range map[string]fault.Code{"i-2": replica.OtherInstance, "i-b": replica.OtherInstance} {
		_, err := g.Advance(t.Context(), roles.ReplicaTransition{
			ReplicaID:  r.ID,
			To:         replica.Ready,
			InstanceID: instance,
		})
		require.Equal(t, code, fault.CodeOf(err))
	}
	other := g.open(replica.Rebalance, "i-0")
	for instance, code := range map[string]fault.Code{"i-0": roles.IsPrimary, "i-b": agent.InstanceOfOtherTenant} {
		_, err := g.Advance(t.Context(), roles.ReplicaTransition{
			ReplicaID:  other.ID,
			To:         replica.Running,
			InstanceID: instance,
		})
		require.Equal(t, code, fault.CodeOf(err))
	}
	_, err := g.Advance(t.Context(), roles.ReplicaTransition{
		ReplicaID:  other.ID,
		To:         replica.Running,
		InstanceID: "i-1",
	})
	require.Equal(t, replica.OtherInstance, fault.CodeOf(err))
	require.Equal(t, "requested", one[string](g, `SELECT state FROM replicas WHERE id = $1`, other.ID),
		"nothing half-written")
}

// TestAPromotedReplicaStays is the Replica that learns too late of its promotion.
func TestAPromotedReplicaStays(t *testing.T) {
	t.Parallel()

	g := guard(t)
	successor := g.successor(replica.Manual, "i-0", "i-1")
	_, err := g.ChangeRoles(t.Context(), change(g.set(), successor, roles.ByTermination, roles.LeaveOld))
	require.NoError(t, err)
	for _, to := range []replica.State{replica.Ready, replica.Retiring, replica.Retired, replica.Failed} {
		require.False(t, g.advance(successor.ID, to, ""), to)
	}
	g.sound()
}
