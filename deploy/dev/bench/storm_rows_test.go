package bench

import (
	"flag"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
)

var stormOfRows = flag.Int("storm-of-rows", 10_000, "size of the storm that needs only Postgres")

// BenchmarkStormOfRows is the part of a large storm that decides it: the notices, the
// changes of roles and the answers. Its agents, instances and held standbys are copies of
// the rows of one real agent with its standby, so no launch comes before it and none
// after it; BenchmarkStorm measures these at 1,000.
func BenchmarkStormOfRows(b *testing.B) {
	n := *stormOfRows
	s := devtest.Start(b, devtest.Options{OnDisk: true, Environment: map[string]string{
		"API_MAX_CONNECTIONS": strconv.Itoa(max(8192, 2*n)), // each agent has one, all to one process
	}})
	f := newFleet(b, s, "rows", 1, true)
	f.copyAgent(b, n)
	f.rest(b)
	begun := time.Now()
	before := cpu(f.Stack)
	hit := f.strike(b, nothing)
	after := cpu(f.Stack)
	f.requireOneChangeEach(b)
	f.await(b, 10*lastLook, n, begunTerminations)
	followed := time.Since(begun)
	heading(b, fmt.Sprintf("storm: %d notices within a second, standbys as rows", n))
	hit.show(b)
	show(b, "aftercare begun after", "%v", followed.Round(10*time.Millisecond))
	show(b, "CPU per failover until all had changed", "%s", after.per(before, n))
}

// copyAgent copies the rows of the only agent of a fleet n times and leaves that one out
// of the fleet. The copies hold a ready standby and are given no other one.
func (f *fleet) copyAgent(b *testing.B, n int) {
	b.Helper()
	first := f.agents[0].id
	for _, statement := range []string{
		`INSERT INTO agents
		SELECT (jsonb_populate_record(a, jsonb_build_object(
			'id', a.id || '-' || i,
			'logical_agent_id', a.logical_agent_id || '-' || i,
			'keeping', 'off',
			'review_at', NULL))).*
		FROM agents a
		CROSS JOIN generate_series(1, $2) i
		WHERE a.id = $1`,
		`INSERT INTO instances
		SELECT (jsonb_populate_record(o, jsonb_build_object(
			'id', o.id || '-' || i,
			'agent_id', o.agent_id || '-' || i))).*
		FROM instances o
		CROSS JOIN generate_series(1, $2) i
		WHERE o.agent_id = $1`,
		`INSERT INTO replicas
		SELECT (jsonb_populate_record(r, jsonb_build_object(
			'id', r.id || '-' || i,
			'agent_id', r.agent_id || '-' || i,
			'made_for', r.made_for || '-' || i,
			'request_id', NULL,
			'instance_id', r.instance_id || '-' || i))).*
		FROM replicas r
		CROSS JOIN generate_series(1, $2) i
		WHERE r.agent_id = $1
		  AND r.state = 'ready'`,
	} {
		_, err := f.db.Exec(b.Context(), statement, first, n)
		require.NoError(b, err)
	}
	_, err := f.db.Exec(b.Context(), `ANALYZE agents, instances, replicas`)
	require.NoError(b, err)
	f.agents = f.agents[:0]
	rows, err := f.db.Query(b.Context(),
		`SELECT agent_id, id FROM instances WHERE client_id = $1 AND role = 'primary' AND agent_id <> $2`, f.client, first)
	require.NoError(b, err)
	defer rows.Close()
	for rows.Next() {
		var a agent
		require.NoError(b, rows.Scan(&a.id, &a.instance))
		f.agents = append(f.agents, a)
	}
	require.NoError(b, rows.Err())
	require.Len(b, f.agents, n)
}
