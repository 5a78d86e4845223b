package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/pgserver"
	"spotkeeper/internal/testkit/scratch"
)

// TestPartitionsAreDroppedBesideAutovacuum: one that is at work on a partition for as long
// as it likes makes way, so that thirty partitions are dropped while the workers of
// autovacuum go from one to the next.
func TestPartitionsAreDroppedBesideAutovacuum(t *testing.T) {
	t.Parallel()
	const days = 30
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	dir, err := scratch.InMemory("spotkeeper-vacuum-", 1<<30)
	require.NoError(t, err)
	t.Cleanup(dir.Remove)
	server, err := pgserver.Start(ctx, dir.Path)
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	db, err := pg.Open(ctx, pg.Options{URL: server.URL("postgres"), ConnTimeout: 10 * time.Second})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	_, err = postgres.Migrate(ctx, db)
	require.NoError(t, err)
	_, err = db.Pool.Exec(ctx, `ALTER SYSTEM SET autovacuum_naptime = 1`)
	require.NoError(t, err)
	h := &housekeeping.Housekeeping{DB: db}
	first := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	made, err := h.EnsurePartitions(ctx, first, days)
	require.NoError(t, err)
	require.EqualValues(t, days, made)
	fill, err := pgx.Connect(ctx, server.URL("postgres"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = fill.Close(context.WithoutCancel(ctx)) })
	for n := range days {
		name := "price_submissions_" + first.AddDate(0, 0, n).Format("20060102")
		_, err = fill.Exec(ctx, fmt.Sprintf(`
			INSERT INTO price_submissions (submission_id, bucket, pool_id, instance_type, region, az, price, source_type, observed_at)
			SELECT i::text, '%[2]s', 't3.medium.us-east-1a', 't3.medium', 'us-east-1', 'us-east-1a', 0.01, 'collector',
				'%[2]s'::timestamptz + make_interval(secs => i)
			FROM generate_series(1, 2000) i;
			DELETE FROM %[1]s;
			ALTER TABLE %[1]s SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
				autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)`,
			name, first.AddDate(0, 0, n).Format(time.DateOnly)))
		require.NoError(t, err)
	}
	// A session reports what it has changed when it ends, and otherwise when it likes; without
	// the report autovacuum has nothing to do.
	require.NoError(t, fill.Close(ctx))
	_, err = db.Pool.Exec(ctx, `SELECT pg_reload_conf()`)
	require.NoError(t, err)
	for busy := 0; busy == 0; { // until the test's own deadline
		require.NoError(t, db.Pool.QueryRow(ctx, `
			SELECT count(*)
			FROM pg_stat_progress_vacuum
			WHERE relid::regclass::text LIKE 'price_submissions_%'`).Scan(&busy), "autovacuum is at work")
	}

	begun := time.Now()
	dropped, err := h.DropPartitions(ctx, first.AddDate(0, 0, days))
	require.NoError(t, err)
	require.EqualValues(t, days, dropped)
	t.Logf("%d partitions were dropped beside autovacuum within %s", days, time.Since(begun).Round(time.Millisecond))
}
