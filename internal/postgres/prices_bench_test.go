package postgres_test

import (
	"flag"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"spotkeeper/internal/domain/pricing"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/postgres/prices"
	"spotkeeper/internal/postgres/views"
)

// The test server neither syncs nor logs to disk in full; what these figures
// compare is the work per row. `make bench` runs them with the rest.
var (
	benchRows = flag.Int("price-rows", 1_000_000, "submissions that the benchmark merges")
	oldRows   = flag.Int("price-old-rows", 30_000_000, "submissions that the benchmark's cleanup ends")
)

// BenchmarkPrices measures the pipeline of prices, each part beside what the legacy
// backend does: a statement per row, each its own transaction.
func BenchmarkPrices(b *testing.B) {
	fmt.Printf("\nPrices, through the store  (%d cores, %s/%s)\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	b.Run("report", benchReport)
	b.Run("dedup", benchDedup)
	b.Run("gap-fill", benchGapFill)
	b.Run("cleanup", benchCleanup)
	b.Run("chart", benchChart)
}

// compared prints the rates per second of a part and of what it is compared with.
func compared(what, unit string, ours float64, theirs string, other float64, peak *memory) {
	fmt.Printf("  %-44s %.0f %s  (%s: %.0f, 1 : %.0f)\n", what, ours, unit, theirs, other, ours/other)
	fmt.Printf("  %-44s %d MiB here, %d MiB in the backends of Postgres\n", "  peak memory", peak.process>>20,
		peak.backends>>20)
}

// rate is how many of n things are done in a second.
func rate(n int, begun time.Time) float64 { return float64(n) / time.Since(begun).Seconds() }

// inParallel calls fn with 0 to n-1 from as many goroutines as there are connections.
func inParallel(b *testing.B, n int, fn func(k int) error) {
	b.Helper()
	var next atomic.Int64
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			for k := int(next.Add(1)) - 1; k < n; k = int(next.Add(1)) - 1 {
				if err := fn(k); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(b, g.Wait())
}

// benchReport takes in reports of six pools from eight connections.
func benchReport(b *testing.B) {
	g := guard(b)
	p := &prices.Prices{DB: g.db, Now: func() time.Time { return noon }}
	g.partitions(3)
	for i := range 64 {
		g.agent("k1", fmt.Sprintf("b%d", i), fmt.Sprintf("i-b%d", i))
	}
	six := func(instanceID string, at time.Time) pricing.Report {
		return seen(instanceID, at, 0.011, 0.012, 0.013, 0.014, 0.015, 0.016)
	}
	const reports, legacy = 4_000, 500
	peak, begun := g.remember(), time.Now()
	inParallel(b, reports, func(k int) error { // sixty-four agents, each a little later than the last
		_, err := p.Report(b.Context(), "k1", fmt.Sprintf("b%d", k%64),
			six(fmt.Sprintf("i-b%d", k%64), noon.Add(time.Duration(k-200_000)*time.Millisecond)))
		return err
	})
	ours := rate(6*reports, begun)
	peak.stop()
	begun = time.Now()
	inParallel(b, legacy, func(k int) error {
		r := six("i-0", noon.Add(-time.Duration(k)*time.Millisecond))
		_, err := g.db.Pool.Exec(b.Context(),
			`UPDATE instances SET ondemand_price = $2, spot_price = $3 WHERE id = $1`, r.InstanceID, *r.OnDemand,
			*r.CurrentSpot)
		for _, pool := range r.Pools {
			if err == nil {
				_, err = g.db.Pool.Exec(
					b.Context(),
					`
						INSERT INTO pools (id, instance_type, region, az)
						VALUES ($1, 't3.medium', 'us-east-1', right($1, 10))
						ON CONFLICT DO NOTHING`,
					pool.PoolID,
				)
			}
			if err == nil {
				_, err = g.db.Pool.Exec(
					b.Context(),
					`
					INSERT INTO price_submissions (submission_id, bucket, pool_id, instance_type, region, az, price,
						source_type, observed_at)
					VALUES (gen_random_uuid(), $2, $1, 't3.medium', 'us-east-1', right($1, 10), $3, 'primary', $4)`,
					pool.PoolID,
					pricing.BucketOf(r.CollectedAt),
					*pool.Price,
					r.CollectedAt,
				)
			}
			if err == nil {
				_, err = g.db.Pool.Exec(
					b.Context(),
					`
					INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at)
					VALUES ($1, 't3.medium', 'us-east-1', right($1, 10), $2, 'collector', $3)
					ON CONFLICT (pool_id) DO UPDATE SET price = excluded.price, observed_at = excluded.observed_at`,
					pool.PoolID,
					*pool.Price,
					r.CollectedAt,
				)
			}
			var held string
			if err == nil && g.db.Pool.QueryRow(b.Context(),
				`SELECT source_type FROM price_buckets WHERE pool_id = $1 AND bucket = $2`, pool.PoolID,
				pricing.BucketOf(r.CollectedAt)).Scan(&held) != nil {
				_, err = g.db.Pool.Exec(
					b.Context(),
					`
						INSERT INTO price_buckets (pool_id, bucket, price, source_type, confidence, observed_at)
						VALUES ($1, $2, $3, 'collector', 1, $4)
						ON CONFLICT DO NOTHING`,
					pool.PoolID,
					pricing.BucketOf(r.CollectedAt),
					*pool.Price,
					r.CollectedAt,
				)
			}
		}
		if err == nil {
			_, err = g.db.Pool.Exec(
				b.Context(),
				`
					INSERT INTO on_demand_prices
					VALUES ('us-east-1', 't3.medium', $1, 'pricing-api', $2)
					ON CONFLICT (region, instance_type)
					DO UPDATE SET price = excluded.price`,
				*r.OnDemand,
				r.CollectedAt,
			)
		}
		return err
	})
	compared("reports of 6 pools, merged into buckets", "submissions/s", ours, "row by row, 26 statements for 1",
		rate(6*legacy, begun), peak)
}

// benchDedup merges raw submissions into buckets.
func benchDedup(b *testing.B) {
	g := guard(b)
	g.partitions(3)
	g.load(*benchRows)
	peak, begun := g.remember(), time.Now()
	out, err := (&prices.Prices{DB: g.db}).Deduplicate(b.Context(), func() {})
	require.NoError(b, err)
	require.Equal(b, int64(*benchRows), out.Processed)
	ours := 60 * rate(*benchRows, begun)
	peak.stop()

	const legacy = 3_000
	type told struct {
		ID, Pool, Source string
		Bucket, At       time.Time
		Price            float64
	}
	found, err := g.db.Pool.Query(
		b.Context(),
		`SELECT submission_id, pool_id, source_type, bucket, observed_at, price::float8 FROM price_submissions LIMIT $1`,
		legacy,
	)
	require.NoError(b, err)
	list, err := pgx.CollectRows(found, pgx.RowToStructByPos[told])
	require.NoError(b, err)
	g.exec(`TRUNCATE price_buckets`)
	begun = time.Now()
	for _, s := range list {
		var held string
		_ = g.db.Pool.QueryRow(b.Context(),
			`SELECT source_type FROM price_buckets WHERE pool_id = $1 AND bucket = $2`, s.Pool, s.Bucket).Scan(&held)
		if held == "" || pricing.Source(s.Source).Priority() > pricing.Source(held).Priority() {
			g.exec(
				`
				INSERT INTO price_buckets (pool_id, bucket, price, source_type, confidence, submission_id, observed_at)
				VALUES ($1, $2, $3, $4, 1, $5, $6)
				ON CONFLICT (pool_id, bucket) DO UPDATE SET price = excluded.price, source_type = excluded.source_type`,
				s.Pool,
				s.Bucket,
				s.Price,
				s.Source,
				s.ID,
				s.At,
			)
		}
		g.exec(`UPDATE job_watermarks SET at = now() WHERE job = $1`, s.ID) // the mark on the raw row
	}
	compared(fmt.Sprintf("dedup of %d submissions (≥ 1,000,000/min)", *benchRows), "submissions/min", ours,
		"row by row", 60*rate(legacy, begun), peak)
}

// benchGapFill fills a day of a thousand pools in which every tenth five minutes
// are missing.
func benchGapFill(b *testing.B) {
	g := guard(b)
	g.exec(
		`
			INSERT INTO pools (id, instance_type, region, az)
			SELECT 't' || n / 6 || '.medium.us-east-1' || chr(97 + n % 6), 't' || n / 6 || '.medium', 'us-east-1',
				'us-east-1' || chr(97 + n % 6)
			FROM generate_series(0, 999) n`,
	)
	g.exec(`INSERT INTO price_buckets (pool_id, bucket, price, source_type, confidence, observed_at)
		SELECT id, t, 0.01 + extract(epoch FROM t)::bigint % 97 / 1e4, 'collector', 1, t
		FROM pools, generate_series($1::timestamptz - interval '24 hours', $1, interval '5 minutes') t
		WHERE abs(hashtext(id || t::text)) % 10 > 0`, noon)
	g.exec(`ANALYZE price_buckets`)
	peak, begun := g.remember(), time.Now()
	out, err := (&prices.Prices{DB: g.db}).FillGaps(b.Context(), noon, func() {})
	require.NoError(b, err)
	took, ours := time.Since(begun), rate(int(out.Written), begun)
	peak.stop()

	const legacy = 2_000
	begun = time.Now()
	for n := range legacy { // the neighbours, what was filled, and the truth
		pool, at := fmt.Sprintf("t%d.medium.us-east-1%c", n%166, 'a'+n%6), noon.Add(-time.Duration(1+n/166)*time.Hour)
		var before, after float64
		_ = g.db.Pool.QueryRow(
			b.Context(),
			`
				SELECT price
				FROM price_buckets
				WHERE pool_id = $1 AND bucket < $2 AND source_type <> 'interpolated'
				ORDER BY bucket DESC
				LIMIT 1`,
			pool,
			at,
		).Scan(&before)
		_ = g.db.Pool.QueryRow(
			b.Context(),
			`
				SELECT price
				FROM price_buckets
				WHERE pool_id = $1 AND bucket > $2 AND source_type <> 'interpolated'
				ORDER BY bucket
				LIMIT 1`,
			pool,
			at,
		).Scan(&after)
		g.exec(
			`
				INSERT INTO job_watermarks (job, scope, at)
				VALUES ('filled', $1, $2)
				ON CONFLICT (job, scope)
				DO UPDATE SET at = excluded.at`,
			strconv.Itoa(n),
			at,
		)
		g.exec(
			`
			INSERT INTO price_buckets (pool_id, bucket, price, source_type, method, confidence, observed_at)
			VALUES ($1, $2, $3, 'interpolated', 'linear', 0.85, $2)
			ON CONFLICT (pool_id, bucket) DO UPDATE SET updated_at = now()`,
			pool,
			at,
			max(before+after, 0.02)/2,
		)
	}
	compared(fmt.Sprintf("gap-fill, 1,000 pools × 24 h in %.1f s (≤ 10 s)", took.Seconds()), "buckets/s", ours,
		"row by row", rate(legacy, begun), peak)
}

// benchCleanup drops a month of submissions, against deleting them.
func benchCleanup(b *testing.B) {
	const days, sample = 30, 200_000
	g := guard(b)
	h := &housekeeping.Housekeeping{DB: g.db}
	first := noon.Truncate(24*time.Hour).AddDate(0, 0, -days)
	_, err := h.EnsurePartitions(b.Context(), first, days)
	require.NoError(b, err)
	fill := func(table string, day time.Time, rows int) {
		g.exec(fmt.Sprintf(
			`INSERT INTO %s (submission_id, bucket, pool_id, instance_type, region, az, price, source_type, observed_at)
			SELECT 's' || n, $1, 't3.medium.us-east-1a', 't3.medium', 'us-east-1', 'us-east-1a', 0.0125, 'primary',
				$1::timestamptz + n * interval '50 milliseconds'
			FROM generate_series(1, $2::int) n`, table), day, rows)
	}
	for day := range days {
		fill("price_submissions_"+first.AddDate(0, 0, day).Format("20060102"), first.AddDate(0, 0, day), *oldRows/days)
	}
	g.exec(`CHECKPOINT`)
	peak, begun := g.remember(), time.Now()
	dropped, err := h.DropPartitions(b.Context(), first.AddDate(0, 0, days))
	require.NoError(b, err)
	require.Equal(b, int64(days), dropped)
	took, ours := time.Since(begun), rate(*oldRows/days*days, begun)
	peak.stop()

	fill("price_submissions", first, sample)
	begun = time.Now()
	g.exec(`DELETE FROM price_submissions WHERE observed_at < $1`, noon)
	compared(fmt.Sprintf("cleanup of %d rows in %v", *oldRows/days*days, took.Round(time.Millisecond)), "rows/s",
		ours, "one DELETE, as the legacy job", rate(sample, begun), peak)
	fill("price_submissions", first, sample)
	begun = time.Now()
	deleted, err := h.Expire(b.Context(), "price_submissions", noon, func() {})
	require.NoError(b, err)
	fmt.Printf("  %-44s %.0f rows/s\n", "  where there is no partition, in chunks", rate(int(deleted), begun))
}

// benchChart reads a week of six pools out of tables of two sizes.
func benchChart(b *testing.B) {
	g := guard(b)
	views := &views.Views{DB: g.db}
	pools := 0
	grow := func(until int) {
		g.exec(
			`
				INSERT INTO pools (id, instance_type, region, az)
				SELECT 't' || n / 6 || '.medium.us-east-1' || chr(97 + n % 6), 't' || n / 6 || '.medium', 'us-east-1',
					'us-east-1' || chr(97 + n % 6)
				FROM generate_series($1::int, $2::int) n`,
			pools,
			until-1,
		)
		g.exec(`INSERT INTO price_buckets (pool_id, bucket, price, source_type, confidence, observed_at)
			SELECT 't' || n / 6 || '.medium.us-east-1' || chr(97 + n % 6), t, 0.01, 'collector', 1, t
			FROM generate_series($1::timestamptz - interval '7 days', $1, interval '5 minutes') t,
				generate_series($2::int, $3::int) n`, noon, pools, until-1)
		g.exec(`VACUUM ANALYZE price_buckets`)
		pools = until
	}
	read := func() time.Duration {
		const times = 50
		begun := time.Now()
		for range times {
			series, err := views.PriceHistory(b.Context(), "t0.medium", "us-east-1", "hour", noon.AddDate(0, 0, -7))
			require.NoError(b, err)
			require.Len(b, series, 6)
			require.Len(b, series[0].At, 7*24+1)
		}
		return time.Since(begun) / times
	}
	grow(96)
	read() // warm
	small := read()
	grow(1440)
	read()
	large := read()
	fmt.Printf("  %-44s %v of 0.2 million buckets, %v of 2.9 million (1 : %.2f)\n", "chart of 6 pools × 168 hours",
		small.Round(10*time.Microsecond), large.Round(10*time.Microsecond), float64(large)/float64(small))
}

// partitions makes some days until noon's.
func (g *guarded) partitions(days int) {
	g.t.Helper()
	_, err := (&housekeeping.Housekeeping{DB: g.db}).EnsurePartitions(g.t.Context(), noon.AddDate(0, 0, 1-days), days)
	require.NoError(g.t, err)
}

// load copies raw submissions of a thousand pools over a day, several per bucket.
func (g *guarded) load(rows int) {
	g.t.Helper()
	sources := []string{"primary", "replica-automatic", "replica-manual"}
	_, err := g.db.Pool.CopyFrom(g.t.Context(), pgx.Identifier{"price_submissions"},
		[]string{"submission_id", "bucket", "pool_id", "instance_type", "region", "az", "price", "source_type",
			"observed_at", "received_at"},
		pgx.CopyFromSlice(rows, func(i int) ([]any, error) {
			at := noon.Add(-time.Duration(i) * 24 * time.Hour / time.Duration(rows)).Truncate(time.Microsecond)
			pool := i % 1000
			az := "us-east-1" + string(rune('a'+pool%6))
			kind := fmt.Sprintf("t%d.medium", pool/6)
			return []any{fmt.Sprintf("s%d", i), pricing.BucketOf(at), kind + "." + az, kind, "us-east-1", az,
				0.01 + float64(i%97)/1e4, sources[i%3], at, noon.Add(time.Duration(i) * time.Millisecond)}, nil
		}))
	require.NoError(g.t, err)
}
