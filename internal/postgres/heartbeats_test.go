package postgres_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/agents"
)

func beatOf(agentID, instanceID string, status agent.Status) agent.Heartbeat {
	return agent.Heartbeat{ClientID: "k1", AgentID: agentID, InstanceID: instanceID, Status: status}
}

// TestHeartbeatsTogether: each one of a batch is judged as if it were alone, and
// one that cannot be is left out of it.
func TestHeartbeatsTogether(t *testing.T) {
	t.Parallel()
	g := guard(t)
	for n := 2; n <= 6; n++ {
		g.agent("k1", "a"+strconv.Itoa(n), "i-"+strconv.Itoa(n))
	}
	g.exec(`UPDATE agents SET status = 'offline' WHERE id = 'a3'`)
	g.exec(`UPDATE agents SET status = 'deleted' WHERE id = 'a6'`)
	g.agent("k2", "b1", "j-1")
	locked, err := g.db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = locked.Rollback(t.Context()) }()
	_, err = locked.Exec(t.Context(), `SELECT FROM agents WHERE id = 'a5' FOR UPDATE`)
	require.NoError(t, err)

	agents := &agents.Agents{DB: g.db}
	got, err := agents.Heartbeats(t.Context(), []agent.Heartbeat{
		beatOf("a4", "i-4", agent.StatusOnline), beatOf("a2", "i-2", agent.StatusOffline), beatOf("a3", "i-3", agent.StatusOnline),
		beatOf("a1", "i-else", agent.StatusOnline),
		beatOf("a2", "i-2", agent.StatusOnline), beatOf("a5", "i-5", agent.StatusOnline), beatOf("a6", "i-6", agent.StatusOnline),
		beatOf("b1", "j-1", agent.StatusOffline), beatOf("a9", "i-9", agent.StatusOnline),
	})
	require.NoError(t, err)
	require.Len(t, got, 9)
	for n, want := range []agent.InstanceRelation{"primary", "primary", "primary", "outside"} {
		require.NotNil(t, got[n], n)
		require.Equal(t, want, got[n].Relation, n)
	}
	for n, why := range []string{"another of the same agent", "locked", "deleted", "of another tenant", "nobody"} {
		require.Nil(t, got[4+n], why)
	}
	require.Equal(t, "a1 online, a2 offline, a3 online, a4 online, a5 online, a6 deleted, b1 online",
		one[string](g, `SELECT string_agg(id || ' ' || status, ', ' ORDER BY id) FROM agents`))
	require.Equal(t, "a2, a3, a4",
		one[string](g, `SELECT string_agg(id, ', ' ORDER BY id) FROM agents WHERE last_heartbeat_at IS NOT NULL`))
	require.Equal(t, "i-2, i-3, i-4",
		one[string](g, `SELECT string_agg(id, ', ' ORDER BY id) FROM instances WHERE last_seen_at IS NOT NULL`))
	require.Equal(t, "a2 agent_offline, a3 agent_online",
		one[string](g, `SELECT string_agg(agent_id || ' ' || type, ', ' ORDER BY agent_id) FROM events`))
	require.EqualValues(t, 2, one[int64](g, `SELECT count(*) FROM notifications`))
	require.Equal(t, "k1", one[string](g, `SELECT string_agg(id, ', ') FROM clients WHERE last_sync_at IS NOT NULL`))
}

// TestHeartbeatsAtOnce: in any batch each agent's own heartbeat is recorded, and a wrong one
// fails alone.
func TestHeartbeatsAtOnce(t *testing.T) {
	t.Parallel()
	g := guard(t)
	const fleet = 40
	for n := range fleet {
		g.agent("k1", "f"+strconv.Itoa(n), "f-"+strconv.Itoa(n))
	}
	agents := &agents.Agents{DB: g.db}
	var all sync.WaitGroup
	ok, lost, wrong := make([]error, fleet), make([]error, fleet), make([]error, fleet)
	for n := range fleet {
		id, instance := "f"+strconv.Itoa(n), "f-"+strconv.Itoa(n)
		all.Go(func() { _, ok[n] = agents.Heartbeat(t.Context(), beatOf(id, instance, agent.StatusOnline)) })
		all.Go(func() { _, lost[n] = agents.Heartbeat(t.Context(), beatOf("nobody"+id, instance, agent.StatusOnline)) })
		all.Go(func() { _, wrong[n] = agents.Heartbeat(t.Context(), beatOf(id, instance, "asleep")) })
	}
	all.Wait()
	for n := range fleet {
		require.NoError(t, ok[n])
		require.True(t, fault.Is(lost[n], agent.NotFound), lost[n])
		require.Error(t, wrong[n], "the constraint refuses it")
		require.False(t, fault.Is(wrong[n], agent.NotFound), wrong[n])
	}
	require.EqualValues(t, fleet,
		one[int64](g,
			`SELECT count(*) FROM agents WHERE id LIKE 'f%' AND last_heartbeat_at IS NOT NULL AND status = 'online'`))
}
