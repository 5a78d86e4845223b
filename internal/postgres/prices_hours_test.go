package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/pricing"
	"spotkeeper/internal/postgres/housekeeping"
)

// recount is what the hours have to be: the buckets, grouped.
const recount = `SELECT coalesce(json_agg(x ORDER BY x), '[]')::text FROM (
	SELECT concat_ws(' ', pool_id, extract(epoch FROM date_trunc('hour', bucket, 'UTC'))::bigint, count(*),
		count(*) FILTER (WHERE source_type <> 'interpolated'),
		(sum(price) * 1e6)::bigint, count(ondemand_price), (coalesce(sum(ondemand_price), 0) * 1e6)::bigint) AS x
	FROM price_buckets GROUP BY pool_id, date_trunc('hour', bucket, 'UTC')) b`

const keptHours = `SELECT coalesce(json_agg(x ORDER BY x), '[]')::text FROM (
	SELECT concat_ws(' ', pool_id, extract(epoch FROM hour)::bigint, known, measured, price_sum, ondemand_known,
		ondemand_sum) AS x
	FROM price_hours) h`

// hoursAgree requires that every hour is its buckets, and that there is one.
func (g *guarded) hoursAgree(what string) {
	g.t.Helper()
	require.Equal(g.t, one[string](g, recount), one[string](g, keptHours), what)
	require.NotEqual(g.t, "[]", one[string](g, keptHours), what)
}

// collected stores a price of t3.medium that EC2 shows in a zone for one five-minute bucket,
// a number of minutes before noon and in force since somewhat earlier.
func (g *guarded) collected(zone string, minutes int, dollars float64, since time.Duration) {
	g.t.Helper()
	at := pricing.BucketOf(noon.Add(-time.Duration(minutes) * time.Minute))
	_, err := g.prices().KeepPriceChanges(g.t.Context(),
		activities.TypeInRegion{Region: "us-east-1", InstanceType: "t3.medium"},
		[]activities.PriceChange{{AZ: "us-east-1" + zone, Price: fmt.Sprintf("%.6f", dollars), At: at.Add(-since)}},
		at, at.Add(pricing.BucketSize))
	require.NoError(g.t, err)
}

// TestHoursFollowEveryWriter: each job that writes five-minute prices leaves the
// hours in line with them, also the second time, late, and when prices go.
func TestHoursFollowEveryWriter(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p, ctx := g.prices(), t.Context()
	place := activities.TypeInRegion{Region: "us-east-1", InstanceType: "t3.medium"}

	g.collected("a", 7, 0.011, 0)
	g.hoursAgree("a price without a reference")
	require.NoError(t, p.KeepOnDemand(ctx, place, activities.ListPrice{Amount: 0.0416, Currency: "USD"}, noon))
	g.collected("a", 2, 0.021, 0)
	g.collected("a", 12, 0.031, 0)
	g.hoursAgree("more of the hour")
	require.Equal(t, "3 3 63000 2",
		one[string](
			g,
			`
				SELECT concat_ws(' ', known, measured, price_sum, ondemand_known)
				FROM price_hours
				WHERE pool_id = 't3.medium.us-east-1a'`,
		))

	for range 2 {
		g.collected("a", 190, 0.04, 0)
		g.collected("a", 70, 0.05, 0)
		g.hoursAgree("late prices, kept twice")
	}

	for range 2 {
		_, err := p.FillGaps(ctx, noon, func() {})
		require.NoError(t, err)
		g.hoursAgree("gaps are filled")
	}
	require.Positive(t, one[int](g, `SELECT sum(known - measured) FROM price_hours`))
	g.collected("a", 130, 0.9, 0)
	g.hoursAgree("a late price takes the place of what was filled")
	g.exec(`DELETE FROM job_watermarks`)
	_, err := p.FillGaps(ctx, noon, func() {})
	require.NoError(t, err)
	g.hoursAgree("what was filled beside it is corrected")

	moves := []activities.PriceChange{{
		AZ:    "us-east-1a",
		Price: "0.04",
		At:    noon.AddDate(0, 0, -3),
	}, {AZ: "us-east-1d", Price: "0.05", At: noon.Add(-50 * time.Minute)}}
	for range 2 {
		_, err = p.KeepPriceChanges(ctx, place, moves, noon.AddDate(0, 0, -2), noon)
		require.NoError(t, err)
		g.hoursAgree("collection")
	}

	h := &housekeeping.Housekeeping{DB: g.db}
	deleted, err := h.Expire(ctx, "price_buckets", noon.Add(-25*time.Minute), func() {})
	require.NoError(t, err)
	require.Positive(t, deleted)
	g.hoursAgree("cleanup in the middle of an hour")
	_, err = h.Expire(ctx, "price_buckets", noon.AddDate(1, 0, 0), func() {})
	require.NoError(t, err)
	require.Zero(t, one[int](g, `SELECT count(*) FROM price_hours`), "an hour without prices goes")
}

// TestHoursTouchNothingWithoutNeed: what says no other price writes no hour.
func TestHoursTouchNothingWithoutNeed(t *testing.T) {
	t.Parallel()
	g := guard(t)
	version := func() string { return one[string](g, `SELECT xmin::text || ctid::text FROM price_hours`) }
	g.collected("a", 10, 0.01, 20*time.Minute)
	before := version()
	g.collected("a", 10, 0.02, 10*time.Minute)
	require.Equal(t, "0.010000 0.020000", one[string](g, `SELECT price || ' ' || high FROM price_buckets`),
		"another price of the same five minutes widens its bounds")
	g.collected("a", 10, 0.01, 20*time.Minute)
	require.Equal(t, before, version())
}

// TestHoursOfWritersAtOnce: writers of different five minutes of the same hours, some
// of whose pools are new to the one and known to the other, end with hours that are
// their buckets, and none of them fails.
func TestHoursOfWritersAtOnce(t *testing.T) {
	t.Parallel()
	g := guard(t)
	const writers, rounds = 6, 25
	place := activities.TypeInRegion{Region: "us-east-1", InstanceType: "t3.medium"}
	errs := make([]error, writers+2)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1)) //nolint:gosec // a reproducible writer
			p := g.prices()                               // of its own, as another process has
			for range rounds {
				if errs[w] != nil {
					return
				}
				at := noon.Add(-time.Duration(random.IntN(3*3600)) * time.Second)
				var moves []activities.PriceChange
				for _, zone := range []string{"a", "b", "c", "d"} {
					moves = append(moves, activities.PriceChange{
						AZ:    "us-east-1" + zone,
						Price: fmt.Sprintf("%.6f", 0.001+random.Float64()),
						At:    at,
					})
				}
				_, errs[w] = p.KeepPriceChanges(t.Context(), place, moves, at, at.Add(10*time.Minute))
			}
		})
	}
	all.Go(func() {
		for range rounds {
			if _, err := g.prices().FillGaps(t.Context(), noon, func() {}); err != nil {
				errs[writers] = err
			}
		}
	})
	all.Go(func() {
		for range rounds {
			if _, err := (&housekeeping.Housekeeping{DB: g.db}).Expire(t.Context(), "price_buckets",
				noon.Add(-150*time.Minute), func() {}); err != nil {
				errs[writers+1] = err
			}
		}
	})
	all.Wait()
	for w, err := range errs {
		require.NoError(t, err, w)
	}
	g.hoursAgree("after all")
}

// TestHoursOfThePast: prices that were there before the hours were get theirs, as far
// back as charts reach, and a second run counts the same.
func TestHoursOfThePast(t *testing.T) {
	t.Parallel()
	g := guard(t)
	g.exec(
		`
			INSERT INTO pools (id, instance_type, region, az)
			VALUES ('t3.medium.us-east-1a', 't3.medium', 'us-east-1', 'us-east-1a')`,
	)
	g.exec(
		`
		INSERT INTO price_buckets (pool_id, bucket, price, ondemand_price, source_type, method, confidence, observed_at)
		SELECT 't3.medium.us-east-1a', at, 0.01 + extract(hour FROM at) / 1000,
			CASE WHEN extract(minute FROM at) < 30 THEN 0.04 END,
			CASE WHEN extract(minute FROM at) = 55 THEN 'interpolated' ELSE 'collector' END,
			CASE WHEN extract(minute FROM at) = 55 THEN 'linear' END, 1, at
		FROM generate_series(date_trunc('hour', now(), 'UTC') - interval '93 days', now(), interval '5 minutes') at`,
	)
	g.hoursAgree("as they were written")
	want := one[string](g, keptHours)

	g.rerun("0074_price_hours_of_the_past.sql")
	require.Equal(t, want, one[string](g, keptHours), "what is there already stays")
	g.exec(`DELETE FROM price_hours WHERE hour < now() - interval '91 days 1 hour'`)
	recent := one[string](g, keptHours)
	g.exec(`TRUNCATE price_hours`)
	for range 2 {
		g.rerun("0074_price_hours_of_the_past.sql")
		require.Equal(t, recent, one[string](g, keptHours))
	}
	g.exec(`UPDATE price_buckets SET price = 0.5 WHERE bucket = (SELECT min(bucket) FROM price_buckets)`)
	require.Equal(t, "12 11",
		one[string](g, `SELECT concat_ws(' ', known, measured) FROM price_hours ORDER BY hour LIMIT 1`),
		"an older hour is whole as soon as it has a row")
}
