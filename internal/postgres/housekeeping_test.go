package postgres_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/postgres/pg"
)

// TestPartitions: they are made ahead, take over what the default one caught, and
// go as a whole; a reporter never meets a missing one.
func TestPartitions(t *testing.T) {
	t.Parallel()
	g := guard(t)
	h := &housekeeping.Housekeeping{DB: g.db}
	for days := range 4 {
		g.submit("primary", float64(days)*24*60, 0.01)
	}
	require.Equal(t, 4, one[int](g, `SELECT count(*) FROM price_submissions_default`))
	made, err := h.EnsurePartitions(t.Context(), noon.AddDate(0, 0, -1), 9)
	require.NoError(t, err)
	require.Equal(t, int64(9), made)
	require.Equal(t, 2, one[int](g, `SELECT count(*) FROM price_submissions_default`))
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM price_submissions_20261122`))
	require.Equal(t, 4, one[int](g, `SELECT count(*) FROM price_submissions`))
	made, err = h.EnsurePartitions(t.Context(), noon.AddDate(0, 0, -1), 9)
	require.NoError(t, err)
	require.Zero(t, made, "a second run changes nothing")
	g.submit("primary", 1, 0.01)
	require.Equal(t, 2, one[int](g, `SELECT count(*) FROM price_submissions_20261122`), "a partition of its own")

	dropped, err := h.DropPartitions(t.Context(), noon)
	require.NoError(t, err)
	require.Equal(t, int64(1), dropped, "the day of the moment stays")
	require.Equal(t, 4, one[int](g, `SELECT count(*) FROM price_submissions`))
	deleted, err := h.Expire(t.Context(), "price_submissions", noon.AddDate(0, 0, -2), func() {})
	require.NoError(t, err)
	require.Equal(t, int64(1), deleted, "of the default partition")
}

// TestJobsThatMakePartitionsAtOnce, as the cleanup and the job of that name do,
// make each once.
func TestJobsThatMakePartitionsAtOnce(t *testing.T) {
	t.Parallel()
	g := guard(t)
	h := &housekeeping.Housekeeping{DB: g.db}
	var made atomic.Int64
	var all errgroup.Group
	for range 4 {
		all.Go(func() error {
			n, err := h.EnsurePartitions(t.Context(), noon, 9)
			made.Add(n)
			return err
		})
	}
	require.NoError(t, all.Wait())
	require.Equal(t, int64(9), made.Load())
}

// TestCleanupWaitsForNoReader: while a session reads submissions for long, or has a row
// in hand, the cleanup gives up instead of standing in the way, and the next run
// finds what is left.
func TestCleanupWaitsForNoReader(t *testing.T) {
	t.Parallel()
	g := guard(t)
	h := &housekeeping.Housekeeping{DB: g.db}
	_, err := h.EnsurePartitions(t.Context(), noon.AddDate(0, 0, -3), 4)
	require.NoError(t, err)
	h.Patience = time.Nanosecond
	g.exec(
		`
			INSERT INTO commands (id, client_id, agent_id, instance_id, launcher, target_mode, status, created_at)
			SELECT 'c' || n, 'k1', 'a1', 'i-0', 'agent', 'ondemand', 'cancelled', $1
			FROM generate_series(1, 3) n`,
		noon.AddDate(-1, 0, 0),
	)

	reader, err := g.db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer reader.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // it was committed
	_, err = reader.Exec(t.Context(), `SELECT count(*) FROM price_submissions`)
	require.NoError(t, err)
	_, err = reader.Exec(t.Context(), `SELECT * FROM commands WHERE id = 'c2' FOR UPDATE`)
	require.NoError(t, err)

	_, err = h.DropPartitions(t.Context(), noon)
	require.Equal(t, pg.Unavailable, fault.CodeOf(err))
	_, err = h.EnsurePartitions(t.Context(), noon, 2)
	require.Equal(t, pg.Unavailable, fault.CodeOf(err))
	_, err = g.prices().Report(t.Context(), "k1", "a1", seen("i-0", noon, 0.01))
	require.NoError(t, err, "reporters go on")
	deleted, err := h.Expire(t.Context(), "commands", noon, func() {})
	require.NoError(t, err)
	require.Equal(t, int64(2), deleted)

	require.NoError(t, reader.Commit(t.Context()))
	h.Patience = 0
	dropped, err := h.DropPartitions(t.Context(), noon)
	require.NoError(t, err)
	require.Equal(t, int64(3), dropped)
	deleted, err = h.Expire(t.Context(), "commands", noon, func() {})
	require.NoError(t, err)
	require.Equal(t, int64(1), deleted)
}

func TestEveryTableThatIsKeptForATimeHasARule(t *testing.T) {
	t.Parallel()
	g := guard(t)
	h := &housekeeping.Housekeeping{DB: g.db}
	g.bucket("a", 0, 0.01)
	for table := range activities.DefaultKeep {
		beats := 0
		_, err := h.Expire(t.Context(), table, noon.AddDate(-3, 0, 0), func() { beats++ })
		require.NoError(t, err, table)
		require.Equal(t, 1, beats, "%s has a rule", table)
	}
	deleted, err := h.Expire(t.Context(), "price_buckets", noon.Add(time.Minute), func() {})
	require.NoError(t, err)
	require.Equal(t, int64(1), deleted)
}

func TestSnapshotInventsNothing(t *testing.T) {
	t.Parallel()
	g := guard(t)
	h := &housekeeping.Housekeeping{DB: g.db}
	g.exec(`UPDATE clients SET created_at = $1 WHERE id = 'k1'`, noon.AddDate(0, 0, -3))
	g.exec(`UPDATE clients SET created_at = $1, status = 'inactive' WHERE id = 'k2'`, noon)
	for range 2 {
		total, err := h.SnapshotClients(t.Context(), noon)
		require.NoError(t, err)
		require.Equal(t, int64(2), total)
	}
	require.Equal(t, "2026-11-22 2 1 1",
		one[string](g, `SELECT concat_ws(' ', day, total, new_clients, active) FROM client_snapshots`))
	_, err := h.SnapshotClients(t.Context(), noon.AddDate(0, 0, -1))
	require.NoError(t, err)
	require.Equal(t, "1 0 1",
		one[string](g,
			`SELECT concat_ws(' ', total, new_clients, active) FROM client_snapshots WHERE day = '2026-11-21'`))
}

// TestCredentialsThatAreOverGo some time after they have expired or were revoked, with what
// was noted of their use; the others stay, those without an end too.
func TestCredentialsThatAreOverGo(t *testing.T) {
	t.Parallel()
	g := guard(t)
	g.exec(`INSERT INTO credentials (id, client_id, kind, scope, uses, token_hash, expires_at, revoked_at, agent_id,
			instance_id)
		SELECT id, 'k1', kind, scope, CASE kind WHEN 'enrolment' THEN 1 ELSE 0 END, sha256(id::bytea),
			now() + expires::interval, now() + revoked::interval, CASE kind WHEN 'agent' THEN 'a1' END,
			CASE kind WHEN 'agent' THEN 'i-0' END
		FROM (VALUES
			('expired long ago', 'enrolment', '', '-31 days', NULL),
			('renewed', 'agent', '', '-31 days', NULL),
			('revoked long ago', 'tenant', 'read', NULL, '-31 days'),
			('revoked before it expired', 'tenant', 'read', '9 days', '-31 days'),
			('expired', 'agent', '', '-29 days', NULL),
			('revoked', 'tenant', 'read', NULL, '-29 days'),
			('good', 'enrolment', '', '1 day', NULL),
			('without an end', 'tenant', 'admin', NULL, NULL)) AS x(id, kind, scope, expires, revoked)`)
	g.exec(`INSERT INTO credential_uses (credential_id, instance_id) SELECT id, 'i-0' FROM credentials`)
	h := &housekeeping.Housekeeping{DB: g.db}
	before := time.Now().Add(-activities.DefaultKeep["credentials"])
	deleted, err := h.Expire(t.Context(), "credentials", before, func() {})
	require.NoError(t, err)
	require.Equal(t, int64(4), deleted)
	require.Equal(t, "expired, good, revoked, without an end",
		one[string](g, `SELECT string_agg(id, ', ' ORDER BY id) FROM credentials`))
	require.Equal(t, 4, one[int](g, `SELECT count(*) FROM credential_uses`))
}
