package intake_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/intake"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/awsevents"
	"spotkeeper/internal/testkit/postgrestest"
)

// budget is what the design gives 99 of a hundred events until they are rows, on two cores.
const budget = 5 * time.Second

// BenchmarkTenThousandEvents has 10,000 notices about as many agents come into a queue, all
// at once or within ten seconds, and says how long each was under way until it was a row.
// It is part of make bench.
func BenchmarkTenThousandEvents(b *testing.B) {
	b.Run("at once", func(b *testing.B) { benchmarkEvents(b, 0) })
	b.Run("in ten seconds", func(b *testing.B) { benchmarkEvents(b, 10*time.Second) })
}

func benchmarkEvents(b *testing.B, within time.Duration) {
	b.Helper()
	const n = 10_000
	db := postgrestest.Open(b)
	for _, sql := range []string{
		`INSERT INTO clients (id, name, email, token_hash, token_sealed, own_account)
			VALUES ('k1', 'Acme', 'k@x', '\x01', '\x01', true)`,
		`INSERT INTO agents (id, client_id, logical_agent_id)
			SELECT 'a' || n, 'k1', 'a' || n FROM generate_series(1, 10000) n`,
		`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, proof)
			SELECT 'i-' || n, 'k1', 'a' || n, 'primary', 't3.medium', 'us-east-1', 'us-east-1a',
				't3.medium.us-east-1a', 'spot', 'launched'
			FROM generate_series(1, 10000) n`,
	} {
		_, err := db.Pool.Exec(b.Context(), sql)
		require.NoError(b, err)
	}
	begun := time.Now()
	q := newMemory(interruptions(n, begun)...)
	sent := func(k int) time.Time { return begun.Add(within * time.Duration(k) / n) }
	for k := range q.waiting {
		q.waiting[k].Sent = sent(k)
	}
	i := &intake.Intake{
		Queue: q,
		Store: &awsevents.Intake{
			Notices:    postgres.Notices{DB: db},
			OwnAccount: func(context.Context) (string, error) { return own, nil },
		},
		Fleet:   cloud{},
		Follow:  &followed{},
		ActOn:   intake.Groups(),
		Metrics: intake.NewMetrics(prometheus.NewRegistry()),
		Log:     quiet,
		Now:     time.Now,
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- i.Run(ctx) }()
	require.Eventually(b, func() bool { return q.left() == 0 }, 5*time.Minute, time.Millisecond)
	took := time.Since(begun)
	cancel()
	require.NoError(b, <-ended)
	rows, err := db.Pool.Query(b.Context(), `SELECT substr(instance_id, 3)::int - 1, received_at FROM notices`)
	require.NoError(b, err)
	var seconds []float64
	for rows.Next() {
		var (
			k  int
			at time.Time
		)
		require.NoError(b, rows.Scan(&k, &at))
		seconds = append(seconds, at.Sub(sent(k)).Seconds())
	}
	require.NoError(b, rows.Err())
	require.Len(b, seconds, n, "none lost, none twice")
	slices.Sort(seconds)
	b.ReportMetric(float64(n)/took.Seconds(), "events/s")
	b.ReportMetric(seconds[n/2], "p50-s")
	b.ReportMetric(seconds[n*99/100], "p99-s")
	b.ReportMetric(budget.Seconds(), "budget-s")
}

func interruptions(n int, at time.Time) []string {
	out := make([]string, n)
	for k := range out {
		out[k] = interruption(own, fmt.Sprintf("i-%d", k+1), at)
	}
	return out
}
