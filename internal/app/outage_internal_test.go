package app

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/pricing"
	"spotkeeper/internal/postgres/prices"
)

// TestAnOutageLosesNoBucket: the worker is away for six hours in which prices move
// and agents report. When it is back, no five-minute bucket is missing from the market or
// from the reports of the client's agents.
func TestAnOutageLosesNoBucket(t *testing.T) {
	t.Parallel()

	begin := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var passed atomic.Int64
	now := func() time.Time { return begin.Add(time.Duration(passed.Load())) }
	c := newCollected(t, 2*time.Hour, now)
	worker := func() {
		_, err := c.prices.CollectPrices(t.Context())
		require.NoError(t, err)
		_, err = c.prices.DeduplicatePrices(t.Context())
		require.NoError(t, err)
		_, err = c.prices.FillPriceGaps(t.Context(), now())
		require.NoError(t, err)
	}
	worker()

	// The api stays. Agents of the client report their own pools, whose prices were taken
	// in, merged on the way or not.
	c.exec(`UPDATE instances SET mode = 'spot'`)
	store, dollars := &prices.Prices{DB: c.db, Now: now}, 0.05
	for minutes := 5; minutes <= 360; minutes += 5 {
		passed.Store(int64(time.Duration(minutes) * time.Minute))
		c.exec(
			`
				INSERT INTO price_submissions (submission_id, bucket, pool_id, instance_type, region, az, price,
					source_type, client_id, agent_id, instance_id, observed_at)
				VALUES (gen_random_uuid(), $1, 'x1.large.us-east-1b', 'x1.large', 'us-east-1', 'us-east-1b', 0.08,
					'primary', 'k', 'a', 'i-2', $1)`,
			now(),
		)
		_, err := store.Report(t.Context(), "k", "a", pricing.Report{
			InstanceID:   "i-1",
			InstanceType: "m5.large",
			Region:       "us-east-1",
			AZ:           "us-east-1a",
			Mode:         agent.Spot,
			Pools:        []pricing.PoolReport{{PoolID: "m5.large.us-east-1a", Price: &dollars}},
			CollectedAt:  now(),
		})
		require.NoError(t, err)
	}
	worker()

	const missing = `SELECT count(*) FROM generate_series($2::timestamptz, $3::timestamptz, interval '5 minutes') t
		WHERE NOT EXISTS (SELECT FROM price_buckets b
			WHERE b.pool_id = $1 AND b.bucket = t AND b.source_type = 'collector')`
	for _, zone := range []string{"a", "b", "c", "d", "e", "f"} {
		require.Zero(t, c.count(missing, "m5.large.us-east-1"+zone, begin.Add(-2*time.Hour),
			now().Add(-5*time.Minute)), "zone %s", zone)
	}
	const unmerged = `SELECT count(*) FROM generate_series($2::timestamptz, $3::timestamptz, interval '5 minutes') t
		WHERE NOT EXISTS (SELECT FROM client_price_buckets b
			WHERE b.client_id = 'k' AND b.pool_id = $1 AND b.bucket = t)`
	for _, pool := range []string{"m5.large.us-east-1a", "x1.large.us-east-1b"} {
		require.Zero(t, c.count(unmerged, pool, begin.Add(5*time.Minute), now()), pool)
	}
	require.Positive(
		t,
		c.count(
			`SELECT count(DISTINCT price) - 1 FROM price_buckets WHERE pool_id = 'm5.large.us-east-1a' AND bucket > $1`,
			begin,
		),
		"prices moved meanwhile",
	)
}
