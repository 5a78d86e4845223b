package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/decisions"
	"spotkeeper/internal/postgres/views"
)

func (g *guarded) text(sql string) (out string) {
	g.t.Helper()
	require.NoError(g.t, g.db.Pool.QueryRow(g.t.Context(), sql).Scan(&out))
	return out
}

func TestABlockedPoolIsKeptOutOfDecisionsOrdersAndChoices(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.agent("k2", "b1", "i-b")
	g.bazaar()
	s := &decisions.PoolBlocks{DB: g.db}
	const pool = "t3.medium.us-east-1c"
	ops := decisions.BlockSubject{PoolID: pool, Operator: true, By: "operator:ada"}
	own := decisions.BlockSubject{PoolID: pool, ClientID: "k1", By: "Acme"}
	soon, later := time.Now().Add(time.Hour).Truncate(time.Second), time.Now().Add(2*time.Hour).Truncate(time.Second)
	blockOf := func(agentID string) engine.Pool {
		t.Helper()
		all, err := (&decisions.Decisions{DB: g.db}).Inputs(t.Context(), []string{agentID})
		require.NoError(t, err)
		one, err := (&decisions.Decisions{DB: g.db}).Input(t.Context(), "", agentID)
		require.NoError(t, err)
		for i := range one.Pools {
			if one.Pools[i].ID == pool {
				require.True(t, one.Pools[i].BlockedUntil.Equal(all[0].Pools[i].BlockedUntil), "both reads agree")
				require.Equal(t, one.Pools[i].BlockReason, all[0].Pools[i].BlockReason)
				return one.Pools[i]
			}
		}
		require.FailNow(t, "no pool "+pool)
		return engine.Pool{}
	}

	for range 2 { // the second changes nothing and writes no event
		require.NoError(t, s.Set(t.Context(), own, soon, "too many interruptions."))
	}
	require.Equal(t, "1", g.text(`SELECT count(*)::text FROM events WHERE type = 'pool_blocked' AND client_id = 'k1'`))
	held := blockOf("a1")
	require.True(t, held.BlockedUntil.Equal(soon))
	require.Equal(t, "Acme", held.BlockedBy)
	require.True(t, blockOf("b1").BlockedUntil.IsZero(), "a client blocks for itself")

	require.NoError(t, s.Set(t.Context(), ops, later, "AWS has trouble"))
	require.Equal(t, "operator:ada", blockOf("a1").BlockedBy, "the block that ends last is named")
	g.exec(`INSERT INTO pool_health (client_id, pool_id, mode, failures, retry_after)
		VALUES ('k1', '` + pool + `', 'spot', 1, now() + interval '3 hours')`)
	require.True(t, blockOf("a1").BlockedUntil.After(later), "it rests longer than it is blocked")
	require.Equal(t, "AWS has trouble", blockOf("a1").BlockReason)

	_, err := (&postgres.Commands{DB: g.db}).Order(t.Context(), switching.SwitchRequest{
		AgentID: "b1", Target: switching.Target{Mode: agent.Spot, PoolID: pool, InstanceType: "t3.medium"}, By: "ann",
	})
	requireCode(t, err, switching.PoolBlocked)
	require.ErrorContains(t, err, "is blocked by operator:ada until")
	require.ErrorContains(t, err, ": AWS has trouble. Lift the block first, or choose another pool.")

	g.exec(`INSERT INTO replicas (id, client_id, agent_id, kind, made_for, launcher)
		VALUES ('r1', 'k1', 'a1', 'termination', 'i-1', 'control-plane')`)
	plan, facts, err := (&postgres.Launches{DB: g.db}).Choice(t.Context(), "a1", "r1")
	require.NoError(t, err)
	require.Equal(t, []string{"spot/" + pool}, facts.Blocked)
	for _, c := range replica.Choose(plan, facts) {
		require.NotEqual(t, "spot/"+pool, c.Key(), "not even an emergency launches where a person said no")
	}

	for subject, n := range map[string]int{"": 2, "k1": 2, "k2": 1} {
		list, err := s.List(t.Context(), subject, "")
		require.NoError(t, err)
		require.Len(t, list, n, subject)
	}
	byTenant, err := s.Lift(t.Context(), decisions.BlockSubject{PoolID: pool, By: "Acme"})
	require.NoError(t, err)
	require.False(t, byTenant, "what operators block is theirs to lift")
	lifted, err := s.Lift(t.Context(), ops)
	require.NoError(t, err)
	require.True(t, lifted)
	require.True(t, blockOf("b1").BlockedUntil.IsZero())
	lifted, err = s.Lift(t.Context(), own)
	require.NoError(t, err)
	require.True(t, lifted)
	require.Equal(t, "2", g.text(`SELECT count(*)::text FROM events WHERE type = 'pool_unblocked'`))

	requireCode(t, s.Set(t.Context(), decisions.BlockSubject{PoolID: "none", Operator: true}, soon, "x"),
		views.UnknownPool)
	requireCode(t, s.Set(t.Context(), decisions.BlockSubject{PoolID: pool, ClientID: "none", Operator: true}, soon, "x"),
		clients.NotFound)
}
