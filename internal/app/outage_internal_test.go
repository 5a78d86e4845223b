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
// and agents report. When it is back, no five minutes are missing of any pool that
// there is something known of.
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

	// The api stays. A pool that EC2 tells nothing of is known by its agent alone,
	// whose reports go missing for some twenty minutes; another's were taken in and
	// not merged.
	store, dollars := &prices.Prices{DB: c.db, Now: now}, 0.07
	for minutes := 5; minutes <= 360; minutes += 5 {
		passed.Store(int64(time.Duration(minutes) * time.Minute))
		c.exec(
			`
				INSERT INTO price_submissions (submission_id, bucket, pool_id, instance_type, region, az, price,
					source_type, observed_at)
				VALUES (gen_random_uuid(), $1, 'x1.large.us-east-1b', 'x1.large', 'us-east-1', 'us-east-1b', 0.08,
					'primary', $1)`,
			now(),
		)
		if minutes > 120 && minutes < 145 {
			continue
		}
		_, err := store.Report(t.Context(), "k", "a", pricing.Report{
			InstanceID:   "i-1",
			InstanceType: "x1.large",
			Region:       "us-east-1",
			AZ:           "us-east-1a",
			Mode:         agent.Spot,
			Pools:        []pricing.PoolReport{{PoolID: "x1.large.us-east-1a", Price: &dollars}},
			CollectedAt:  now(),
		})
		require.NoError(t, err)
	}
	worker()

	const missing = `SELECT count(*) FROM generate_series($2::timestamptz, $3::timestamptz, interval '5 minutes') t
		WHERE NOT EXISTS (SELECT 1
			FROM price_buckets b
			WHERE b.pool_id = $1
				AND b.bucket = t
				AND (b.source_type <> 'interpolated' OR b.pool_id = 'x1.large.us-east-1a'))`
	for _, zone := range []string{"a", "b", "c", "d", "e", "f"} {
		require.Zero(t, c.count(missing, "m5.large.us-east-1"+zone, begin.Add(-2*time.Hour),
			now().Add(-5*time.Minute)), "zone %s", zone)
	}
	for _, pool := range []string{"x1.large.us-east-1a", "x1.large.us-east-1b"} {
		require.Zero(t, c.count(missing, pool, begin.Add(5*time.Minute), now()), pool)
	}
	require.Equal(t, int64(4), c.count(`SELECT count(*) FROM price_buckets WHERE source_type = 'interpolated'`),
		"what nobody knows is marked")
	require.Positive(
		t,
		c.count(
			`SELECT count(DISTINCT price) - 1 FROM price_buckets WHERE pool_id = 'm5.large.us-east-1a' AND bucket > $1`,
			begin,
		),
		"prices moved meanwhile",
	)
}
