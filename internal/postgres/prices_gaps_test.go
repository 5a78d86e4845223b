package postgres_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres/prices"
)

// TestFillingEarlyOrLateIsTheSame: gaps that were filled while prices were missing
// look, once they have come, as if they had never been missing.
func TestFillingEarlyOrLateIsTheSame(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p := &prices.Prices{DB: g.db}
	g.exec(
		`
			INSERT INTO pools (id, instance_type, region, az)
			SELECT 't3.medium.us-east-1' || z, 't3.medium', 'us-east-1', 'us-east-1' || z
			FROM unnest(ARRAY['a', 'b', 'c']) z`,
	)
	random := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // a reproducible shuffle
	type point struct {
		zone    string
		back    int
		dollars float64
	}
	report := func(points []point) {
		for _, x := range points {
			g.collected(x.zone, 5*x.back, x.dollars, 0)
		}
	}
	fill := func() {
		_, err := p.FillGaps(t.Context(), noon, func() {})
		require.NoError(t, err)
	}
	truth := func() string {
		return one[string](
			g,
			`
				SELECT json_agg(concat_ws(' ', pool_id, bucket, price, source_type, method, confidence)
					ORDER BY pool_id, bucket)
				FROM price_buckets`,
		)
	}
	methods := map[string]bool{}
	for range 4 {
		var points []point
		for _, zone := range []string{"a", "b", "c"} {
			for back := 0; back < 120; back += 1 + random.IntN(4)*random.IntN(6) {
				points = append(points, point{zone, back, float64(1+random.IntN(9)) / 100})
			}
		}
		random.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		report(points[:len(points)/2])
		fill()
		early := truth()
		fill()
		require.Equal(t, early, truth(), "twice changes nothing")
		report(points[len(points)/2:])
		fill()
		late := truth()
		require.NotEqual(t, early, late)

		g.exec(`TRUNCATE price_buckets, job_watermarks`)
		report(points) // all there is, at once
		fill()
		require.Equal(t, late, truth())
		for _, m := range []string{"linear", "weighted-average", "cross-pool"} {
			methods[m] = methods[m] || one[bool](g, `SELECT EXISTS (SELECT 1 FROM price_buckets WHERE method = $1)`, m)
		}
		g.exec(`TRUNCATE price_buckets, job_watermarks`)
	}
	require.Equal(t, map[string]bool{"linear": true, "weighted-average": true, "cross-pool": true}, methods)
}
