package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/postgres/prices"
)

// submit stores raw submissions of i-0 about its own pool, each with a minute before noon
// and a price, as a bulk load would: nothing is merged yet.
func (g *guarded) submit(source string, minutes, dollars float64) {
	g.t.Helper()
	at := noon.Add(-time.Duration(minutes * float64(time.Minute)))
	g.exec(
		`
		INSERT INTO price_submissions (submission_id, bucket, pool_id, instance_type, region, az, price, source_type,
			client_id, agent_id, instance_id, observed_at)
		VALUES (gen_random_uuid(), to_timestamp(floor(extract(epoch FROM $1::timestamptz) / 300) * 300),
			't3.medium.us-east-1a', 't3.medium', 'us-east-1', 'us-east-1a', $2, $3, 'k1', 'a1', 'i-0', $1)`,
		at,
		dollars,
		source,
	)
}

// TestDedupMissesNothing: what arrived in an outage is merged by the next run,
// and a run without news changes nothing. Evidence is left where it is.
func TestDedupMissesNothing(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p := &prices.Prices{DB: g.db}
	beats := 0
	run := func() activities.PricesDeduplicated {
		out, err := p.Deduplicate(t.Context(), func() { beats++ })
		require.NoError(t, err)
		return out
	}
	for hour := range 6 { // six hours without a worker
		g.submit("replica-manual", float64(60*hour)+7, 0.01)
		g.submit("replica-manual", float64(60*hour)+6, 0.02) // later in the same bucket: a duplicate, and a discrepancy
	}
	g.submit("primary", 8, 0.05)
	g.exec(`UPDATE price_submissions SET evidence = true WHERE price = 0.05`)
	got := run()
	require.Equal(t, activities.PricesDeduplicated{Processed: 12, New: 6, Duplicates: 6}, got)
	require.Positive(t, beats)
	require.Equal(t, 6, one[int](g, `SELECT count(*) FROM client_price_buckets
		WHERE client_id = 'k1' AND price = 0.01 AND discrepancy = 1`))

	before := g.everything()
	again := run()
	require.Zero(t, again.New+again.Replaced)
	require.Equal(t, before, g.everything())

	g.submit("primary", 5.5, 0.03)
	got = run()
	require.Equal(t, int64(1), got.Replaced)
	require.Equal(t, "0.030000",
		one[string](g, `SELECT price::text FROM client_price_buckets ORDER BY bucket DESC LIMIT 1`))
	require.Zero(t, one[int](g, `SELECT count(*) FROM price_buckets`), "the market is EC2's")
}

// bucket writes a measured bucket of a zone, a number of buckets before noon.
func (g *guarded) bucket(zone string, back int, dollars float64) {
	g.t.Helper()
	g.exec(
		`
			INSERT INTO pools (id, instance_type, region, az)
			VALUES ('t3.medium.us-east-1' || $1, 't3.medium', 'us-east-1', 'us-east-1' || $1)
			ON CONFLICT DO NOTHING`,
		zone,
	)
	g.exec(
		`
		INSERT INTO price_buckets (pool_id, bucket, price, source_type, confidence, submission_id, observed_at, low,
			high)
		VALUES ('t3.medium.us-east-1' || $1, $2, $3, 'collector', 1, gen_random_uuid(), $2, $3, $3)`,
		zone,
		noon.Add(-time.Duration(back)*5*time.Minute),
		dollars,
	)
}

func TestGapsAreFilledOnceAndGiveWay(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p := &prices.Prices{DB: g.db}
	run := func() activities.GapsFilled {
		out, err := p.FillGaps(t.Context(), noon, func() {})
		require.NoError(t, err)
		return out
	}
	for _, back := range []int{100, 98, 94, 84, 50} { // gaps of 2, 4, 10 and 34
		g.bucket("a", back, 0.01)
	}
	g.bucket("b", 94, 0.02)
	g.bucket("b", 84, 0.03)
	got := run()
	require.Equal(t, int64(1+3+9+9), got.Found)
	require.Equal(t, got.Found, got.Written)
	require.Equal(t, int64(1), got.Linear)
	require.Equal(t, int64(3), got.Weighted)
	require.Equal(t, int64(18), got.CrossPool, "a by b, and b by a")
	require.Equal(t, int64(1), got.TooLong)
	require.Equal(t, "0.015000 cross-pool 0.70 interpolated",
		one[string](g, `SELECT price || ' ' || method || ' ' || confidence || ' ' || source_type
		FROM price_buckets WHERE pool_id = 't3.medium.us-east-1a' AND bucket = $1`, noon.Add(-90*5*time.Minute)))

	before := g.everything()
	require.Zero(t, run().Written)
	require.Equal(t, before, g.everything(), "twice changes nothing")

	// A late price takes its place, and what was guessed beside it is corrected.
	g.collected("a", 96*5, 0.5, 0)
	require.Equal(t, "0.500000 collector",
		one[string](g, `SELECT price || ' ' || source_type || coalesce(method, '') FROM price_buckets
		WHERE pool_id = 't3.medium.us-east-1a' AND bucket = $1`, noon.Add(-96*5*time.Minute)))
	g.exec(`DELETE FROM job_watermarks WHERE job = 'gap-fill'`)
	require.Equal(t, int64(2), run().Written, "its two neighbours")
	require.Equal(t, "0.255000",
		one[string](g, `SELECT price::text FROM price_buckets WHERE pool_id = 't3.medium.us-east-1a' AND bucket = $1`,
			noon.Add(-97*5*time.Minute)))
}

// TestGapOpenAtTheRunIsFilledByTheNext: the job runs in the middle of a gap, whose
// end it cannot know.
func TestGapOpenAtTheRunIsFilledByTheNext(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p := &prices.Prices{DB: g.db}
	run := func(at time.Time) int64 {
		out, err := p.FillGaps(t.Context(), at, func() {})
		require.NoError(t, err)
		return out.Written
	}
	g.bucket("a", 4, 0.01) // twenty minutes before noon
	require.Zero(t, run(noon), "nobody knows yet what follows")
	g.bucket("a", -4, 0.02)
	require.Equal(t, int64(7), run(noon.Add(24*time.Hour)), "before the last run as well")
	require.Equal(t, 9, one[int](g, `SELECT count(*) FROM price_buckets WHERE bucket BETWEEN $1 AND $2`,
		noon.Add(-20*time.Minute), noon.Add(20*time.Minute)))

	// A day that was done long ago is done again when it is named.
	past := noon.AddDate(0, 0, -9)
	g.bucket("a", 9*288+4, 0.03)
	g.bucket("a", 9*288+2, 0.05)
	require.Zero(t, run(noon.Add(24*time.Hour)))
	require.Equal(t, int64(1), run(past))
	require.Zero(t, run(past), "once")
}

// TestCollectedMovesBecomeBuckets: EC2 gives the time of each price change; each bucket has
// the price that was in force at its start.
func TestCollectedMovesBecomeBuckets(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p := &prices.Prices{DB: g.db}
	place := activities.TypeInRegion{Region: "us-east-1", InstanceType: "m5.large"}
	require.NoError(t, p.KeepOnDemand(t.Context(), place, activities.ListPrice{Amount: 0.096, Currency: "USD"}, noon))
	moves := []activities.PriceChange{
		{AZ: "us-east-1a", Price: "0.040000", At: noon.Add(-3 * time.Hour)}, // in force at the start
		{AZ: "us-east-1a", Price: "0.050000", At: noon.Add(-33 * time.Minute)},
		{AZ: "us-east-1a", Price: "0.060000", At: noon.Add(-10 * time.Minute)},
		{AZ: "us-east-1b", Price: "0.030000", At: noon.Add(-20 * time.Minute)},
		{AZ: "us-east-1b", Price: "0", At: noon.Add(-15 * time.Minute)}, // no price
	}
	n, err := p.KeepPriceChanges(t.Context(), place, moves, noon.Add(-time.Hour), noon)
	require.NoError(t, err)
	require.Equal(t, int64(12+4), n)
	require.Equal(t, "6 4 2",
		one[string](
			g,
			`
				SELECT concat_ws(' ', count(*) FILTER (WHERE price = 0.04), count(*) FILTER (WHERE price = 0.05),
					count(*) FILTER (WHERE price = 0.06))
		FROM price_buckets
		WHERE pool_id = 'm5.large.us-east-1a' AND ondemand_price = 0.096 AND source_type = 'collector'`,
		))
	require.Equal(t, "0.060000 0.030000",
		one[string](g, `SELECT string_agg(price::text, ' ' ORDER BY pool_id) FROM pool_prices WHERE observed_at = $1`,
			noon))
	require.Equal(t, 2, one[int](g, `SELECT count(*) FROM pools WHERE instance_type = 'm5.large'`))

	before := g.everything()
	n, err = p.KeepPriceChanges(t.Context(), place, moves, noon.Add(-time.Hour), noon)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, before, g.everything())
	require.NoError(t, p.KeepOnDemand(t.Context(), place, activities.ListPrice{Amount: 0.1, Currency: "USD"}, noon.Add(-time.Hour)))
	require.Equal(t, "0.096000", one[string](g, `SELECT price::text FROM on_demand_prices`),
		"an older reading does not replace a newer one")
}

// TestFeatures holds the columns that models learn from to values made by hand.
func TestFeatures(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p := &prices.Prices{DB: g.db}
	run := func() activities.DatasetRefreshed {
		out, err := p.RefreshFeatures(t.Context(), func() {})
		require.NoError(t, err)
		return out
	}
	g.bucket("a", 288, 0.010)
	g.bucket("a", 12, 0.020)
	g.bucket("a", 6, 0.999) // interpolated below: not learned from
	g.exec(
		`UPDATE price_buckets SET source_type = 'interpolated', method = 'linear', confidence = 0.85 WHERE price = 0.999`,
	)
	g.bucket("a", 0, 0.030)
	g.bucket("b", 0, 0.025)
	require.Equal(t, int64(4), run().Written)
	require.Equal(t, "0.010000 0.020000 2 12 7 22 11 2026",
		one[string](g,
			`SELECT concat_ws(' ', price_change_1h, price_change_24h, price_rank, hour, weekday, day, month, year)
		FROM price_features WHERE pool_id = 't3.medium.us-east-1a' AND bucket = $1`, noon))
	require.Equal(t, "0.007071",
		one[string](g,
			`SELECT price_stddev_6h::text FROM price_features WHERE pool_id = 't3.medium.us-east-1a' AND bucket = $1`,
			noon), "of two values")
	require.Zero(t, run().Written, "nothing new")
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM price_features WHERE price_rank = 1 AND bucket = $1`, noon))

	g.bucket("b", 1, 0.001)
	require.Equal(t, int64(2), run().Written, "the new row, and the deviation of the one after it")
}

// TestFailuresInRow counts since the last success, and notifies operators once.
func TestFailuresInRow(t *testing.T) {
	t.Parallel()
	g := guard(t)
	j := &housekeeping.Jobs{DB: g.db}
	run := func(hour int, err string) {
		at := noon.Add(time.Duration(hour) * time.Hour)
		require.NoError(t, j.Start(t.Context(), activities.JobStart{Job: "price-dedup", Period: at}))
		require.NoError(t, j.End(t.Context(), activities.JobEnd{Job: "price-dedup", Period: at, Error: err}))
	}
	for hour, want := range []int{1, 2, 0, 1, 2} {
		run(hour, map[bool]string{true: "broken"}[want > 0])
		n, err := j.FailuresInRow(t.Context(), "price-dedup")
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	runs, err := j.Runs(t.Context(), 2)
	require.NoError(t, err)
	require.Len(t, runs, 2)
	require.Equal(t, "broken", *runs[0].Error)
	for range 2 {
		require.NoError(t, j.NotifyPaused(t.Context(), activities.JobEnd{
			Job:    "price-dedup",
			Period: noon,
			Error:  "broken",
		}, "The job price-dedup is paused."))
	}
	require.Equal(t, 1, one[int](g,
		`SELECT count(*) FROM notifications WHERE client_id IS NULL AND severity = 'error'`))
	for range 2 {
		require.NoError(t, j.NotifyRemoved(t.Context(), []string{"job/of-old", "job/older"}))
	}
	require.Equal(t, 2, one[int](
		g,
		`
			SELECT count(*)
			FROM notifications
			WHERE client_id IS NULL AND severity = 'warning' AND message LIKE '% schedule job/%'`,
	))
}
