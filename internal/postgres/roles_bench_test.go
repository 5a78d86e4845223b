package postgres_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

// report gives the median and the 99th percentile of the durations.
func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkRoles reads the whole role set of an agent with replicas and notices,
// in a database with a thousand agents.
func BenchmarkRoles(b *testing.B) {
	g := guard(b)
	crowd(g)
	g.successor(replica.Manual, "i-0", "i-1")
	g.noticed("i-0", interruption.Termination)
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		began := time.Now()
		_, err := g.Roles.Roles(b.Context(), "a1")
		require.NoError(b, err)
		took = append(took, time.Since(began))
	}
	report(b, took)
}

// BenchmarkTakeNotice is a failover with its notice, each time of the same agent.
func BenchmarkTakeNotice(b *testing.B) {
	g := guard(b)
	crowd(g)
	took := make([]time.Duration, 0, b.N)
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		set := g.set()
		g.successor(replica.Termination, set.Primary.ID, "i-x"+strconv.Itoa(n))
		g.exec(`DELETE FROM notices`) // a day's worth of failovers is not the usual
		b.StartTimer()
		began := time.Now()
		got := g.take("", termination(set.Primary.ID))
		took = append(took, time.Since(began))
		require.Equal(b, roles.RuledFailOver, got.Verdict.Ruling)
	}
	report(b, took)
}

func crowd(g *guarded) {
	g.exec(
		`
			INSERT INTO agents (id, client_id, logical_agent_id)
			SELECT 'x' || n, 'k2', 'x' || n
			FROM generate_series(1, 1000) n`,
	)
	g.exec(
		`
			INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id)
			SELECT 'i-x-' || n, 'k2', 'x' || n, 'primary', 't3.medium', 'us-east-1', 'us-east-1a',
				't3.medium.us-east-1a'
			FROM generate_series(1, 1000) n`,
	)
	g.exec(
		`
			INSERT INTO replicas (client_id, agent_id, kind, made_for, launcher, state)
			SELECT 'k2', 'x' || n % 1000 + 1, 'manual', 'i', 'control-plane', 'retired'
			FROM generate_series(1, 5000) n`,
	)
	g.exec(`ANALYZE`)
}
