package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/postgrestest"
)

// guarded is an agent a1 of client k1 on i-0, and the store of its roles.
type guarded struct {
	t  testing.TB
	db *pg.DB
	*postgres.Roles
}

func guard(t testing.TB) *guarded {
	t.Helper()
	db := postgrestest.Open(t)
	g := &guarded{t: t, db: db, Roles: &postgres.Roles{DB: db}}
	g.exec(
		`
			INSERT INTO clients (id, name, email, token_hash, token_sealed)
			VALUES ('k1', 'Acme', 'k@x', '\x01', '\x01'), ('k2', 'Beta', 'l@x', '\x02', '\x02')`,
	)
	g.agent("k1", "a1", "i-0")
	return g
}

func (g *guarded) agent(clientID, id, primary string) {
	g.t.Helper()
	g.exec(`INSERT INTO agents (id, client_id, logical_agent_id) VALUES ($1, $2, $1)`, id, clientID)
	g.exec(
		`
		INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, ami_id,
			launched_by, proof)
		VALUES ($1, $2, $3, 'primary', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a', 'spot', 'ami-1',
			'control-plane', 'launched')`,
		primary,
		clientID,
		id,
	)
}

func (g *guarded) exec(sql string, args ...any) {
	g.t.Helper()
	_, err := g.db.Pool.Exec(g.t.Context(), sql, args...)
	require.NoError(g.t, err)
}

// proven makes an instance one that we launched.
func (g *guarded) proven(instanceID string) {
	g.t.Helper()
	g.exec(`UPDATE instances SET proof = 'launched' WHERE id = $1`, instanceID)
	g.exec(`DELETE FROM operations WHERE id = 'adoption/' || $1`, instanceID)
}

// noticed makes a notice about an instance of a1 durable, and nothing more.
func (g *guarded) noticed(instanceID string, kind interruption.Kind) {
	g.t.Helper()
	g.exec(
		`
			INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline)
			VALUES ('k1', 'a1', $1, $2, clock_timestamp() + interval '2 minutes')`,
		instanceID,
		kind,
	)
}

// one reads a single value.
func one[T any](g *guarded, sql string, args ...any) T {
	g.t.Helper()
	var out T
	require.NoError(g.t, g.db.Pool.QueryRow(g.t.Context(), sql, args...).Scan(&out))
	return out
}

func (g *guarded) set() *roles.AgentRoles {
	g.t.Helper()
	set, err := g.Roles.Roles(g.t.Context(), "a1")
	require.NoError(g.t, err)
	return set
}

// open decides on a replica of a1.
func (g *guarded) open(kind replica.Kind, cause string) roles.Replica {
	g.t.Helper()
	opened, err := g.OpenReplica(g.t.Context(), roles.ReplicaRequest{AgentID: "a1", Kind: kind, For: cause})
	require.NoError(g.t, err)
	return opened.Replica
}

func (g *guarded) advance(id string, to replica.State, instanceID string) bool {
	g.t.Helper()
	ok, err := g.Advance(g.t.Context(), roles.ReplicaTransition{ReplicaID: id, To: to, InstanceID: instanceID,
		Where: &replica.Candidate{PoolID: "t3.medium.us-east-1b", Mode: "spot", HourlyPrice: 0.01}})
	require.NoError(g.t, err)
	return ok
}

// successor is a ready replica on an instance.
func (g *guarded) successor(kind replica.Kind, cause, instanceID string) roles.Replica {
	g.t.Helper()
	r := g.open(kind, cause)
	require.True(g.t, g.advance(r.ID, replica.Launching, instanceID))
	g.proven(instanceID)
	require.True(g.t, g.advance(r.ID, replica.Ready, instanceID))
	r.InstanceID, r.State = instanceID, replica.Ready
	return r
}

// change is the change that makes r the primary of the set.
func change(set *roles.AgentRoles, r roles.Replica, cause roles.Cause, fate roles.OldPrimaryPolicy) roles.RoleChange {
	return roles.RoleChange{
		AgentID:   set.AgentID,
		Epoch:     set.Epoch,
		OldID:     set.Primary.ID,
		NewID:     r.InstanceID,
		ReplicaID: r.ID,
		Cause:     cause,
		Fate:      fate,
	}
}

// sound checks the invariants that hold for every agent at every moment.
func (g *guarded) sound() {
	g.t.Helper()
	broken := one[string](g, `SELECT coalesce(string_agg(what, '; '), '') FROM (
		SELECT a.id || ' has ' || count(i.id) || ' primaries' AS what
		FROM agents a
		LEFT JOIN instances i ON i.agent_id = a.id AND i.role = 'primary'
			WHERE a.status <> 'deleted' GROUP BY a.id HAVING count(i.id) <> 1
		UNION ALL SELECT a.id || ' is at epoch ' || a.epoch || ' after ' || count(c.epoch) || ' changes'
		FROM agents a
		LEFT JOIN role_changes c ON c.agent_id = a.id
			GROUP BY a.id HAVING a.epoch <> count(c.epoch)
		UNION ALL SELECT r.id || ' is open on ' || i.id || ', which is ' || i.role
		FROM replicas r
		JOIN instances i ON i.id = r.instance_id
			WHERE r.state IN ('requested', 'launching', 'running', 'ready') AND i.role = 'primary'
		UNION ALL SELECT c.new_id || ' became primary by ' || c.replica_id || ', which is ' || r.state
		FROM role_changes c
		JOIN replicas r ON r.id = c.replica_id
			WHERE r.state <> 'promoted') x`)
	require.Empty(g.t, broken)
}

func lines(parts ...any) string { return strings.TrimSpace(fmt.Sprintln(parts...)) }
