package postgres_test

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/pricing"
)

// TestReportsThatComeTogether leave what they would have left one by one. The
// first is held up at the partitions, so that the others are taken in together.
func TestReportsThatComeTogether(t *testing.T) {
	t.Parallel()
	g := guard(t)
	const fleet = 30
	for n := range fleet {
		g.agent("k1", "f"+strconv.Itoa(n), "f-"+strconv.Itoa(n))
	}
	random := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // a reproducible fleet
	reports := make([]pricing.Report, fleet)
	seconds := random.Perm(1200) // no two at the same time
	for n := range reports {
		at := noon.Add(-time.Duration(seconds[n]) * time.Second)
		reports[n] = seen("f-"+strconv.Itoa(n), at, float64(1+random.IntN(9))/100, float64(1+random.IntN(9))/100,
			float64(n+1)/1000)
	}
	for n := 1; n < fleet; n += 2 {
		reports[n].InstanceID = "f-else" // not the primary
	}
	truth := func() string {
		return one[string](g, `SELECT concat(
			(SELECT json_agg(concat_ws(' ', pool_id, bucket, price, ondemand_price, source_type, confidence,
			submission_id, observed_at, low, high, discrepancy)
				ORDER BY pool_id, bucket)
				FROM client_price_buckets),
			(SELECT json_agg(concat_ws(' ', client_id, pool_id, price, worth, observed_at) ORDER BY pool_id)
				FROM client_prices),
			(SELECT json_agg(concat_ws(' ', submission_id, agent_id, client_id, instance_id, source_type, price,
			ondemand_price)
				ORDER BY submission_id)
				FROM price_submissions),
			(SELECT json_agg(concat_ws(' ', id, spot_price, ondemand_price, baseline_price) ORDER BY id)
				FROM instances))`)
	}
	forget := func() {
		g.exec(`TRUNCATE price_submissions, client_price_buckets, client_prices`)
		g.exec(`UPDATE instances SET spot_price = NULL, ondemand_price = NULL, baseline_price = NULL`)
	}

	alone := g.prices()
	for n, r := range reports {
		_, err := alone.Report(t.Context(), "k1", "f"+strconv.Itoa(n), r)
		require.NoError(t, err)
	}
	want := truth()

	forget()
	gate, err := g.db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = gate.Rollback(t.Context()) }()
	_, err = gate.Exec(t.Context(), `LOCK TABLE price_submissions IN SHARE MODE`)
	require.NoError(t, err)
	together := g.prices()
	got, lost, failed := make([]pricing.Ingested, fleet+1), make([]error, fleet), make([]error, fleet+1)
	var all, begun sync.WaitGroup
	report := func(n, of int) {
		begun.Add(1)
		all.Go(func() {
			begun.Done()
			got[n], failed[n] = together.Report(t.Context(), "k1", "f"+strconv.Itoa(of), reports[of])
		})
	}
	for n, r := range reports {
		report(n, n)
		begun.Add(1)
		all.Go(func() { begun.Done(); _, lost[n] = together.Report(t.Context(), "k1", "nobody"+strconv.Itoa(n), r) })
	}
	report(fleet, 9) // twice, and no more: a repeated report mends what went wrong
	begun.Wait()
	require.NoError(t, gate.Commit(t.Context()))
	all.Wait()
	for n, in := range got {
		require.NoError(t, failed[n])
		require.Equal(t, 3, in.Accepted)
	}
	require.Equal(t, 3, got[9].Duplicates+got[fleet].Duplicates, "one of the two")
	for _, err := range lost {
		require.True(t, fault.Is(err, agent.NotFound), err)
	}
	require.Equal(t, want, truth())
}
