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

// TestLedger computes a month by hand: a primary on spot that is replaced, a
// replica beside it, an instance that EC2 took back in its first hour, and one
// whose price is unknown.
func TestLedger(t *testing.T) {
	t.Parallel()
	g := guard(t)
	h := &housekeeping.Housekeeping{DB: g.db}
	month := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	hour := func(n float64) time.Time { return month.Add(time.Duration(n * float64(time.Hour))) }
	g.exec(`INSERT INTO on_demand_prices VALUES ('us-east-1', 't3.medium', 0.04, 'pricing-api', $1)`, noon)
	g.exec(`DELETE FROM instances`)
	instance := func(id, role, az, mode string, from, until float64, terminateBy string) {
		g.exec(
			`
			INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode,
				installed_at, terminated_at, terminate_by)
			VALUES ($1, 'k1', 'a1', $2, 't3.medium', 'us-east-1', $3, 't3.medium.' || $3, $4, $5, $6, $7)`,
			id,
			role,
			az,
			mode,
			hour(from),
			nullTime(hour(until), until),
			terminateBy,
		)
	}
	instance("i-old", "retired", "us-east-1a", "spot", -10, 11,
		"us") // primary for ten hours of the month, an hour beside
	instance("i-new", "primary", "us-east-1b", "ondemand", 8, 0, "")     // two hours beside, then primary
	instance("i-free", "retired", "us-east-1a", "spot", 12, 12.5, "aws") // free
	instance("i-dark", "retired", "us-east-1f", "spot", 12, 13, "us")    // unknown
	g.exec(
		`
			INSERT INTO role_changes (client_id, agent_id, epoch, old_id, new_id, replica_id, cause, changed_at)
			VALUES ('k1', 'a1', 1, 'i-old', 'i-new', 'r', 'switch', $1)`,
		hour(10),
	)
	for n := range 20 * 12 { // 0.01 in the first five hours, then 0.02
		price := 0.01
		if n >= 5*12 {
			price = 0.02
		}
		g.exec(
			`
				INSERT INTO price_buckets (pool_id, bucket, price, source_type, confidence, observed_at)
				VALUES ('t3.medium.us-east-1a', $1, $2, 'collector', 1, $1)`,
			month.Add(time.Duration(n)*5*time.Minute),
			price,
		)
	}
	now := hour(20)
	require.NoError(t, h.ComputeSavings(t.Context(), "k1", month, now))
	// The reference: 20 hours of a primary. Spot: 5 h at 0.01, 6 h at 0.02. On demand: 12 h.
	baseline, actual := 20*0.04, 5*0.01+6*0.02+12*0.04
	require.InDelta(t, baseline, one[float64](g, `SELECT baseline::float8 FROM client_savings`), 1e-6)
	require.InDelta(t, actual, one[float64](g, `SELECT actual::float8 FROM client_savings`), 1e-6)
	require.InDelta(t, 1*0.02+2*0.04,
		one[float64](g, `SELECT (details->>'replica_cost')::float8 FROM client_savings`), 1e-6)
	require.Equal(t, "20.0000 1.0000 true",
		one[string](
			g,
			`
				SELECT concat_ws(' ', details->>'primary_hours', details->>'unpriced_hours', provisional::text)
				FROM client_savings`,
		))
	require.Contains(t, one[string](g, `SELECT details->>'price_list' FROM client_savings`), "pricing-api")
	require.InDelta(t, baseline-actual, one[float64](g, `SELECT total_savings::float8 FROM clients WHERE id = 'k1'`),
		1e-6)

	// The month closes once; later runs leave it alone, and the total is the sum.
	december := month.AddDate(0, 1, 0)
	for range 2 {
		require.NoError(t, h.ComputeSavings(t.Context(), "k1", month, december.Add(time.Hour)))
	}
	final := one[float64](g, `SELECT savings::float8 FROM client_savings WHERE NOT provisional`)
	open, err := h.ClientsOf(t.Context(), month)
	require.NoError(t, err)
	require.NotContains(t, open, "k1")
	g.exec(`UPDATE on_demand_prices SET price = 1`)
	require.NoError(t, h.ComputeSavings(t.Context(), "k1", month, december.Add(2*time.Hour)))
	require.InDelta(t, final, one[float64](g, `SELECT savings::float8 FROM client_savings WHERE NOT provisional`), 1e-9)
	require.InDelta(t, final, one[float64](g, `SELECT total_savings::float8 FROM clients WHERE id = 'k1'`), 1e-9)
}

func nullTime(t time.Time, n float64) *time.Time {
	if n == 0 {
		return nil
	}
	return &t
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
