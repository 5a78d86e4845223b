package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWhatAnUnprovenInstanceSaysIsEvidence: invented prices, zones and interruptions are
// kept, and change no pool, no price, no reference and no count that others are judged by.
func TestWhatAnUnprovenInstanceSaysIsEvidence(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p := g.prices()
	g.exec(`UPDATE instances SET proof = 'unproven' WHERE id = 'i-0'`)
	shared := func() string {
		return one[string](
			g,
			`
			SELECT concat_ws(' ', (SELECT count(*) FROM pools), (SELECT count(*) FROM pool_prices),
				(SELECT count(*) FROM price_buckets),
			(SELECT count(*) FROM on_demand_prices), (SELECT count(*) FROM interruptions WHERE proven))`,
		)
	}
	before := shared()
	for n := range 3 {
		_, err := p.Report(t.Context(), "k1", "a1", seen("i-0", noon, 0.001*float64(n+1), 0.002))
		require.NoError(t, err)
	}
	require.True(t, g.take("k1", termination("i-0")).Known)
	_, err := p.Deduplicate(t.Context(), func() {})
	require.NoError(t, err)
	require.Equal(t, before, shared())
	require.Positive(t, one[int](g, `SELECT count(*) FROM price_submissions WHERE evidence`))
	require.Zero(t, one[int](g, `SELECT count(*) FROM price_submissions WHERE NOT evidence`))

	g.proven("i-0")
	_, err = p.Report(t.Context(), "k1", "a1", seen("i-0", noon, 0.01, 0.02))
	require.NoError(t, err)
	require.Equal(t, before, shared(), "a proven instance does not change the market either")
	require.Equal(t, "counts other_pool",
		one[string](g, `SELECT string_agg(worth, ' ' ORDER BY pool_id) FROM client_prices`), "it counts for its client")
}
