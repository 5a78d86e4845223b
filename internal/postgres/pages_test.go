package postgres_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres/pg"
)

// TestAPageCostsWhatItShows: what the page of a list reads is its own rows and
// what is counted of them, wherever in the list it is and however long that is.
func TestAPageCostsWhatItShows(t *testing.T) {
	t.Parallel()
	g := guard(t)
	v, tracer := g.traced()

	const many, each, page = 1500, 3, 10
	g.exec(`INSERT INTO clients (id, name, email, token_hash, token_sealed, created_at)
		SELECT 'p' || n, 'P' || n, 'p' || n || '@p', sha256(n::text::bytea), '', now() - n * interval '1 s'
		FROM generate_series(1, $1::int) n`, many)
	g.exec(
		`
			INSERT INTO agents (id, client_id, logical_agent_id, last_heartbeat_at)
			SELECT 'p' || n || '-' || k, 'p' || n, 'web-' || k, now()
			FROM generate_series(1, $1::int) n, generate_series(1, $2::int) k`,
		many,
		each,
	)
	g.exec(`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id)
		SELECT 'i-' || id, client_id, id, 'primary', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a'
		FROM agents
		WHERE client_id LIKE 'p%'`)
	g.exec(`INSERT INTO replicas (client_id, agent_id, kind, made_for, state, launcher, created_by, created_at)
		SELECT client_id, id, 'manual', 'i-' || id, 'requested', 'agent', 'test', now() - random() * interval '1 day'
		FROM agents
		WHERE client_id LIKE 'p%'`)
	g.exec(`ANALYZE clients, agents, instances, replicas`)

	clients, err := v.Clients(t.Context(), pg.Page{Limit: many})
	require.NoError(t, err)
	far := clients[len(clients)/2]
	lists := map[string]func(context.Context) (int, error){
		"clients": func(ctx context.Context) (int, error) {
			found, err := v.Clients(ctx, pg.Page{Limit: page, After: pg.Cursor{At: far.CreatedAt, ID: far.ID}})
			require.Equal(t, each, found[0].Instances)
			return len(found), err
		},
		"agents": func(ctx context.Context) (int, error) {
			found, err := v.AllAgents(ctx, "", pg.Page{Limit: page, After: pg.Cursor{ID: far.ID}}, 0)
			return len(found), err
		},
		"replicas": func(ctx context.Context) (int, error) {
			found, err := v.ClientReplicas(ctx, far.ID, pg.Page{Limit: page})
			return page + 1 - each + len(found), err
		},
		"an agent's replicas": func(ctx context.Context) (int, error) {
			found, err := v.AgentReplicas(ctx, "", far.ID+"-1", true, pg.Page{Limit: page})
			return page + len(found), err
		},
	}
	for name, ask := range lists {
		n, err := ask(t.Context())
		require.NoError(t, err, name)
		require.Equal(t, page+1, n, name)
		var raw []byte
		require.NoError(t, g.db.Pool.QueryRow(t.Context(), "EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) "+tracer.sql,
			tracer.args...).Scan(&raw))
		var plans []struct{ Plan plan }
		require.NoError(t, json.Unmarshal(raw, &plans))
		read := map[string]int{}
		plans[0].Plan.readAll(read)
		for table, rows := range read {
			require.LessOrEqual(t, rows, (page+1)*each, "%s reads %s: %v", name, table, read)
		}
	}
}

// readAll sums what a plan reads of each table.
func (p plan) readAll(by map[string]int) {
	if p.Table != "" {
		by[p.Table] += int((p.Rows + p.Removed) * p.Loops)
	}
	for _, sub := range p.Plans {
		sub.readAll(by)
	}
}
