package postgres_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/testkit/cpu"
)

// crowd is 10,000 agents of 100 clients on 20 types in six zones, with a day of
// five-minute prices for each of the 120 pools. All live in the zone that
// is named; zone f is the cheapest.
func (g *guarded) crowd(zone string) {
	g.t.Helper()
	g.exec(`DELETE FROM agents; DELETE FROM clients`)
	g.exec(
		`
			INSERT INTO clients (id, name, email, token_hash, token_sealed)
			SELECT 'c' || n, 'Client ' || n, n || '@x', decode(md5(n::text), 'hex'), '\x01'
			FROM generate_series(1, 100) n`,
	)
	g.exec(
		`
			INSERT INTO agents (id, client_id, logical_agent_id)
			SELECT 'a' || n, 'c' || (n % 100 + 1), 'a' || n
			FROM generate_series(1, 10000) n`,
	)
	g.exec(
		`
		INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, installed_at,
			primary_since, last_seen_at)
		SELECT 'i' || n, 'c' || (n % 100 + 1), 'a' || n, 'primary', 't' || n % 20 || '.large', 'us-east-1',
			'us-east-1' || $1, 't' || n % 20 || '.large.us-east-1' || $1, 'spot',
			now() - interval '10 days', now() - interval '10 days', now() FROM generate_series(1, 10000) n`,
		zone,
	)
	g.exec(
		`
			INSERT INTO on_demand_prices (region, instance_type, price, source, observed_at)
			SELECT 'us-east-1', 't' || n || '.large', 0.1, 'pricing-api', now()
			FROM generate_series(0, 19) n`,
	)
	for i, az := range []string{"a", "b", "c", "d", "e", "f"} {
		price := fmt.Sprint(0.05 - float64(i)/200)
		g.exec(
			`
				INSERT INTO pools (id, instance_type, region, az)
				SELECT 't' || n || '.large.us-east-1' || $1, 't' || n || '.large', 'us-east-1', 'us-east-1' || $1
				FROM generate_series(0, 19) n`,
			az,
		)
		g.exec(`INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at)
			SELECT 't' || n || '.large.us-east-1' || $1, 't' || n || '.large', 'us-east-1', 'us-east-1' || $1,
				$2::text::numeric, 'collector', now()
			FROM generate_series(0, 19) n`, az, price)
		g.exec(`INSERT INTO price_buckets (pool_id, bucket, price, source_type, confidence, observed_at)
			SELECT 't' || n || '.large.us-east-1' || $1, at,
				$2::text::numeric * (1 + (extract(minute FROM at) - 30) / 3000), 'collector', 1, at
			FROM generate_series(0, 19) n,
				generate_series(now() - interval '23 hours 55 minutes', now(), interval '5 minutes') at`, az, price)
	}
	g.exec(`ANALYZE`)
}

// BenchmarkFleetDecisions is one run over 10,000 agents: a calm one, in which all
// stay, and one in which all want to move and a tenth may. Run it with
// go test ./internal/postgres -run '^$' -bench FleetDecisions -benchtime 1x.
// What Temporal does with the orders is not in it.
func BenchmarkFleetDecisions(b *testing.B) {
	for name, zone := range map[string]string{"all stay": "f", "all want to move": "a"} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				g := guard(b)
				g.crowd(zone)
				d := g.decider(&guardians{})
				d.BatchSize = 0
				used := cpu.ProcessorTime()
				b.StartTimer()
				out, err := d.DecideFleet(b.Context(), activities.DecideFleetInput{Period: someFive})
				b.StopTimer()
				require.NoError(b, err)
				require.EqualValues(b, 10_000, (*out)["evaluated"])
				cpu.ReportCost(b, 10_000, b.Elapsed(), used)
				b.ReportMetric(float64(one[int64](g, `SELECT pg_total_relation_size('decisions')`))/10_000,
					"bytes-kept/decision")
				b.ReportMetric(float64((*out)["moved"]), "moved")
				b.StartTimer()
			}
		})
	}
}
