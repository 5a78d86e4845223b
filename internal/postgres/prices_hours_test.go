package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres"
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

// TestHoursFollowEveryWriter: each job that writes five-minute prices leaves the
// hours in line with them, also the second time, late, and when prices go.
func TestHoursFollowEveryWriter(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p, ctx := g.prices(), t.Context()

	_, err := p.Report(ctx, "k1", "a1", seen("i-0", noon.Add(-7*time.Minute), 0.011, 0.012))
	require.NoError(t, err)
	g.hoursAgree("a report")
	_, err = p.Report(ctx, "k1", "a1", seen("i-0", noon.Add(-2*time.Minute), 0.021, 0.022))
	require.NoError(t, err)
	_, err = p.Report(ctx, "k1", "a1", seen("i-0", noon.Add(-8*time.Minute), 0.031, 0.032))
	require.NoError(t, err)
	g.hoursAgree("an earlier observation, which decides its bucket")
	require.Equal(t, "2 2 52000 2",
		one[string](
			g,
			`
				SELECT concat_ws(' ', known, measured, price_sum, ondemand_known)
				FROM price_hours
				WHERE pool_id = 't3.medium.us-east-1a'`,
		))

	g.submit("replica-manual", 190, 0.04)
	g.submit("replica-manual", 70, 0.05)
	for range 2 {
		_, err = p.Deduplicate(ctx, func() {})
		require.NoError(t, err)
		g.hoursAgree("late submissions, merged twice")
	}

	for range 2 {
		_, err = p.FillGaps(ctx, noon, func() {})
		require.NoError(t, err)
		g.hoursAgree("gaps are filled")
	}
	require.Positive(t, one[int](g, `SELECT sum(known - measured) FROM price_hours`))
	g.submit("replica-manual", 130, 0.9)
	_, err = p.Deduplicate(ctx, func() {})
	require.NoError(t, err)
	g.hoursAgree("a late report takes the place of what was filled")
	g.exec(`DELETE FROM job_watermarks`)
	_, err = p.FillGaps(ctx, noon, func() {})
	require.NoError(t, err)
	g.hoursAgree("what was filled beside it is corrected")

	place := activities.TypeInRegion{Region: "us-east-1", InstanceType: "t3.medium"}
	moves := []activities.PriceMove{{
		AZ:    "us-east-1a",
		Price: "0.04",
		At:    noon.AddDate(0, 0, -3),
	}, {AZ: "us-east-1d", Price: "0.05", At: noon.Add(-50 * time.Minute)}}
	for range 2 {
		_, err = p.KeepMoves(ctx, place, moves, noon.AddDate(0, 0, -2), noon)
		require.NoError(t, err)
		g.hoursAgree("collection")
	}

	h := &postgres.Housekeeping{DB: g.db}
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
	p := g.prices()
	report := func(at time.Time, dollars float64) {
		_, err := p.Report(t.Context(), "k1", "a1", seen("i-0", at, dollars))
		require.NoError(t, err)
	}
	version := func() string { return one[string](g, `SELECT xmin::text || ctid::text FROM price_hours`) }
	report(noon.Add(-4*time.Minute), 0.01)
	before := version()
	report(noon.Add(-3*time.Minute), 0.02)
	require.Equal(t, "0.020000", one[string](g, `SELECT high::text FROM price_buckets`),
		"a later price of the same five minutes widens its bounds")
	report(noon.Add(-4*time.Minute), 0.01)
	require.Equal(t, before, version())
}

// TestHoursOfWritersAtOnce: writers of different five minutes of the same hours, some
// of whose pools are new to the one and known to the other, end with hours that are
// their buckets, and none of them fails.
func TestHoursOfWritersAtOnce(t *testing.T) {
	t.Parallel()
	g := guard(t)
	const writers, rounds = 6, 25
	for w := range writers {
		g.agent("k1", fmt.Sprintf("w%d", w), fmt.Sprintf("i-w%d", w))
	}
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
				_, errs[w] = p.Report(t.Context(), "k1", fmt.Sprintf("w%d", w),
					seen(fmt.Sprintf("i-w%d", w), at, random.Float64(), random.Float64(), random.Float64(),
						random.Float64()))
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
			if _, err := (&postgres.Housekeeping{DB: g.db}).Expire(t.Context(), "price_buckets",
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
			CASE WHEN extract(minute FROM at) = 55 THEN 'interpolated' ELSE 'primary' END,
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
