package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/postgrestest"
)

// statementCount counts the statements of a pool.
type statementCount struct{ n atomic.Int64 }

func (c *statementCount) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (c *statementCount) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (c *statementCount) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {
	c.n.Add(1)
}

func (c *statementCount) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (c *statementCount) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// manyRows adds rows from number $1 to number $2 to every list that a route shows.
const manyRows = `
WITH n AS (SELECT generate_series(%[1]d, %[2]d) AS n),
clients_added AS (
	INSERT INTO clients (id, name, email, token_hash, token_sealed)
	SELECT 'cx' || n, 'Client ' || n, n || '@example.com', decode(md5(n::text) || md5(n::text), 'hex'),
		decode('00', 'hex')
	FROM n),
agents_added AS (
	INSERT INTO agents (id, client_id, logical_agent_id, hostname, status, last_heartbeat_at, launcher, keeping)
	SELECT 'x' || n, 'c1', 'more-' || n, 'h', 'online', now(), 'control-plane', 'auto' FROM n RETURNING id),
instances_added AS (
	INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode)
	SELECT 'i-x' || substr(id, 2), 'c1', id, 'primary', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a',
		'spot'
	FROM agents_added),
replicas_added AS (
	INSERT INTO replicas (id, client_id, agent_id, kind, made_for, launcher, state, instance_id)
	SELECT 'r-x' || substr(id, 2), 'c1', id, 'manual', 'i-x' || substr(id, 2), 'control-plane', 'ready',
		'i-y' || substr(id, 2)
	FROM agents_added),
operations_added AS (
	INSERT INTO operations (id, kind, client_id, agent_id)
	SELECT 'replica/r-x' || substr(id, 2), 'replica', 'c1', id
	FROM agents_added
	RETURNING id),
steps_added AS (
	INSERT INTO operation_steps (operation_id, run_id, seq, name)
	SELECT id, 'run', 1, 'launching'
	FROM operations_added),
switches_added AS (
	INSERT INTO switches (id, client_id, agent_id, phase, old_id, new_id)
	SELECT 's-x' || substr(id, 2), 'c1', id, 'done', 'i-1', 'i-x' || substr(id, 2) FROM agents_added),
decisions_added AS (
	INSERT INTO decisions (client_id, agent_id, action, engine, engine_version)
	SELECT 'c1', 'a1', 'stay_spot', 'rules', '1'
	FROM n),
sessions_added AS (
	INSERT INTO model_sessions (id, kind) SELECT 'm-x' || n, 'models' FROM n RETURNING id),
files_added AS (
	INSERT INTO model_session_files (session_id, position, name, digest, size)
	SELECT id, 0, 'model.onnx', repeat('0', 64), 1 FROM sessions_added),
sinks_added AS (
	INSERT INTO notification_sinks (client_id, kind, min_severity) SELECT 'c1', 'log', 'info' FROM n),
pauses_added AS (
	INSERT INTO pauses (scope, subject, by_operator, client_id, agent_id, until, created_by)
	SELECT 'agent', id, true, 'c1', id, now() + interval '1 hour', 'test' FROM agents_added),
runs_added AS (
	INSERT INTO job_runs (job, period) SELECT 'price-dedup', now() - n * interval '1 hour' FROM n),
notifications_added AS (
	INSERT INTO notifications (client_id, message) SELECT 'c1', 'message ' || n FROM n)
INSERT INTO events (client_id, agent_id, type, message) SELECT 'c1', 'a1', 'price_report', 'event ' || n FROM n`

// TestRoutesReadManyRowsLikeFew: the statements of a route that reads do not grow with
// the rows that it shows.
func TestRoutesReadManyRowsLikeFew(t *testing.T) {
	t.Parallel()
	count := &statementCount{}
	db, err := pg.Open(t.Context(), pg.Options{
		URL:         postgrestest.URL(t),
		MaxConns:    8,
		ConnTimeout: 10 * time.Second,
		TimeZone:    postgrestest.Zone,
		Tracer:      count,
	})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	s := newStackOn(t, db)
	s.exec(lived)
	fill := strings.NewReplacer("{agent_id}", "a1", "{client_id}", "c1", "{instance_id}", "i-1", "{operation_id}",
		"replica%2Fr-x1", "{replica_id}", "r-x1", "{session_id}", "m-x1", "{pool_id}", "t3.medium.us-east-1a")
	read := func() map[string]int64 {
		asked := map[string]int64{}
		for _, r := range (rest.Deps{}).Routes() {
			path := web.DocumentPath(r)
			if r.Method != http.MethodGet || !strings.HasPrefix(path, "/api/") || r.Endpoint.IsStream() {
				continue
			}
			token := operatorToken
			if r.Auth == web.Agent {
				token = s.acme
			}
			before := count.n.Load()
			got := s.call(token, r.Method, fill.Replace(path)+asks[r.ID], "")
			require.NotEqual(t, http.StatusInternalServerError, got.status, "%s: %s", path, got.raw)
			asked[r.ID] = count.n.Load() - before
		}
		return asked
	}
	s.exec(fmt.Sprintf(manyRows, 1, 2))
	few := read()
	s.exec(fmt.Sprintf(manyRows, 3, 40))
	require.Equal(t, few, read())
	require.GreaterOrEqual(t, len(few), 40)
	readNothing := []string{"getSystemHealth", "getVersion", "getSession", "search", "listDependencies", "listWorkers",
		"listComponents"}
	for id, statements := range few {
		require.True(t, statements > 0 || slices.Contains(readNothing, id), "%s is not counted", id)
	}
}
