package postgres_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/decisions"
)

// failedMove is a voluntary move that was given up some minutes ago.
func (g *guarded) failedMove(clientID, agentID, id, code string, priority, minutes int) {
	g.t.Helper()
	g.exec(`INSERT INTO commands (id, client_id, agent_id, instance_id, launcher, target_mode, priority, status,
			executed_at)
		SELECT $1, $2, $3, i.id, 'control-plane', 'ondemand', $4, 'failed', now()
		FROM instances i WHERE i.agent_id = $3 AND i.role = 'primary'`, id, clientID, agentID, priority)
	g.exec(`INSERT INTO switches (id, client_id, agent_id, phase, error_code, ended_at)
		VALUES ($1, $2, $3, 'abandoned', $4, now() - $5 * interval '1 minute')`, id, clientID, agentID, code, minutes)
}

func TestTooManyFailedMovesPauseAClient(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.agent("k2", "b1", "i-b")
	b, rule := &decisions.Breakers{DB: g.db}, engine.NewBreaker(3)
	trip := func() []string {
		t.Helper()
		out, err := b.Trip(t.Context(), rule)
		require.NoError(t, err)
		return out
	}
	held := func() string {
		return g.text(`SELECT coalesce(string_agg(scope || ' ' || subject || ' ' || created_by, ', ' ORDER BY scope), '')
			FROM pauses WHERE until > now()`)
	}
	for i := range 2 {
		g.failedMove("k1", "a1", fmt.Sprint("f", i), "switch.never_ready", 25, 1)
	}
	g.failedMove("k1", "a1", "called-off", "switch.called_off", 25, 1)
	g.failedMove("k1", "a1", "forced", "switch.never_ready", 75, 1)
	g.failedMove("k1", "a1", "old", "switch.never_ready", 25, 31)
	g.failedMove("k2", "b1", "of-k2", "switch.never_ready", 25, 1)
	require.Empty(t, trip(), "two of k1 count, and one of k2")

	// A move that met empty pools counts once, however many there were.
	g.exec(`INSERT INTO commands (id, client_id, agent_id, instance_id, launcher, target_mode, target_pool_id,
				priority, status, executed_at)
			VALUES ('ice', 'k1', 'a1', 'i-0', 'control-plane', 'spot', 'p1', 25, 'completed', now());
		INSERT INTO replicas (id, client_id, agent_id, kind, state, made_for, launcher, ended_at)
			VALUES ('r-ice', 'k1', 'a1', 'switch', 'failed', 'ice', 'control-plane', now());
		INSERT INTO launches (client_token, client_id, agent_id, replica_id, pool_id, mode, request, state, error_code, ended_at)
			SELECT 't' || n, 'k1', 'a1', 'r-ice', 'p' || n, 'spot', '{}', 'failed', 'launch.no_capacity', now()
			FROM generate_series(1, 5) n`)
	var at errgroup.Group
	counts := make([]int, 4)
	for i := range counts {
		at.Go(func() error {
			out, err := b.Trip(t.Context(), rule)
			counts[i] = len(out)
			return err
		})
	}
	require.NoError(t, at.Wait())
	require.Equal(t, 1, counts[0]+counts[1]+counts[2]+counts[3], "runs at once trip once")
	require.Equal(t, "client k1 breaker", held())
	require.Equal(t, []engine.Scope{engine.ScopeClient}, g.pausesOf("a1"))
	require.Empty(t, g.pausesOf("b1"))
	require.Equal(t, "1", g.text(`SELECT count(*)::text FROM notifications WHERE client_id = 'k1' AND severity = 'error'`))

	g.exec(`DELETE FROM pauses`)
	require.Empty(t, trip(), "a person who lifts it is not overruled by what was known before")
	for i := range 3 {
		g.failedMove("k1", "a1", fmt.Sprint("later", i), "switch.never_ready", 25, 0)
	}
	g.exec(`UPDATE switches SET ended_at = clock_timestamp() WHERE id LIKE 'later%'`)
	require.Equal(t, []string{"k1"}, trip(), "new failures count")

	g.exec(`UPDATE pauses SET created_by = 'operator:ada', until = now() + interval '2 days'`)
	g.exec(`UPDATE move_breakers SET tripped_at = now() - interval '1 day'`)
	require.Empty(t, trip(), "what an operator has paused is left as it is")
	require.Equal(t, "client k1 operator:ada", held())
}

// TestTooManyFailedMovesOfAllPauseAll: it takes the moves of several clients.
func TestTooManyFailedMovesOfAllPauseAll(t *testing.T) {
	t.Parallel()

	g := guard(t)
	b := &decisions.Breakers{DB: g.db}
	for _, client := range []string{"k2", "k3", "k4"} {
		g.exec(`INSERT INTO clients (id, name, email, token_hash, token_sealed)
			VALUES ($1, $1, $1 || '@x', decode(md5($1), 'hex'), '') ON CONFLICT (id) DO NOTHING`, client)
		g.agent(client, "of-"+client, "i-"+client)
	}
	for i := range 40 {
		g.failedMove("k1", "a1", fmt.Sprint("k1-", i), "switch.never_ready", 25, 1)
	}
	out, err := b.Trip(t.Context(), engine.NewBreaker(2))
	require.NoError(t, err)
	require.Equal(t, []string{"k1"}, out, "one client pauses itself alone")
	for i := range 2 {
		for _, client := range []string{"k2", "k3", "k4"} {
			g.failedMove(client, "of-"+client, fmt.Sprint(client, "-", i), "switch.never_ready", 25, 1)
		}
	}
	out, err = b.Trip(t.Context(), engine.NewBreaker(3))
	require.NoError(t, err)
	require.Empty(t, out)
	out, err = b.Trip(t.Context(), engine.NewBreaker(2))
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"", "k2", "k3", "k4"}, out)
	require.Equal(t, "1", g.text(`SELECT count(*)::text FROM pauses WHERE scope = 'global'`))
}
