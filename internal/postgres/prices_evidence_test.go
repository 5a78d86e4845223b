package postgres_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres/decisions"
	"spotkeeper/internal/postgres/prices"
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

// TestAReportCountsForItsClientAlone: the price that a proven instance reports of its own
// pool is what its client's decisions read, as long as it is fresh, and no other client's.
func TestAReportCountsForItsClientAlone(t *testing.T) {
	t.Parallel()
	g := guard(t)
	g.agent("k2", "a2", "i-2")
	place := activities.TypeInRegion{Region: "us-east-1", InstanceType: "t3.medium"}
	now := time.Now()
	p := &prices.Prices{DB: g.db}
	_, err := p.KeepPriceChanges(t.Context(), place, []activities.PriceChange{
		{AZ: "us-east-1a", Price: "0.0125", At: now.Add(-time.Hour)},
		{AZ: "us-east-1b", Price: "0.0131", At: now.Add(-time.Hour)},
	}, now.Add(-time.Hour), now)
	require.NoError(t, err)
	_, err = p.Report(t.Context(), "k1", "a1", seen("i-0", now, 0.02, 0.001))
	require.NoError(t, err)

	decisions := &decisions.Decisions{DB: g.db}
	read := func() string {
		var out []string
		for _, a := range [][2]string{{"k1", "a1"}, {"k2", "a2"}} {
			one, err := decisions.Input(t.Context(), a[0], a[1])
			require.NoError(t, err)
			many, err := decisions.Inputs(t.Context(), []string{"a2", "a1"})
			require.NoError(t, err)
			for _, in := range append(many, one) {
				if in.Agent.ID == a[1] {
					out = append(out, fmt.Sprint(in.Pools[0].Price.USD, in.Pools[1].Price.USD))
				}
			}
		}
		return strings.Join(out, ", ")
	}
	require.Equal(t, "0.02 0.0131, 0.02 0.0131, 0.0125 0.0131, 0.0125 0.0131", read())
	g.exec(`UPDATE client_prices SET observed_at = now() - interval '16 minutes'`)
	require.Equal(t, "0.0125 0.0131, 0.0125 0.0131, 0.0125 0.0131, 0.0125 0.0131", read(), "it was long ago")
}

// TestWhatWasReportedBeforeIsEvidence: the migration keeps what agents reported as evidence,
// takes it out of the market, and has the history of EC2 read again.
func TestWhatWasReportedBeforeIsEvidence(t *testing.T) {
	t.Parallel()
	g := guard(t)
	g.exec(`ALTER TABLE price_buckets DROP CONSTRAINT price_buckets_source;
		ALTER TABLE pool_prices DROP CONSTRAINT pool_prices_source;
		ALTER TABLE on_demand_prices DROP CONSTRAINT on_demand_prices_source`)
	g.submit("primary", 5, 0.02)
	g.collected("c", 10, 0.03, 0)
	g.exec(`INSERT INTO pools (id, instance_type, region, az)
		SELECT 't3.medium.us-east-1' || z, 't3.medium', 'us-east-1', 'us-east-1' || z FROM unnest('{a,q}'::text[]) z`)
	g.exec(`INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at)
		SELECT id, instance_type, region, az, 0.001, 'primary', now() FROM pools ON CONFLICT DO NOTHING`)
	g.exec(`INSERT INTO price_buckets (pool_id, bucket, price, source_type, confidence, method, observed_at)
		VALUES ('t3.medium.us-east-1a', $1, 0.02, 'primary', 1, NULL, $1),
			('t3.medium.us-east-1q', $1, 0.001, 'interpolated', 0.7, 'linear', $1)`, noon)
	g.exec(`INSERT INTO on_demand_prices (region, instance_type, price, source, observed_at)
		VALUES ('us-east-1', 't3.medium', 9, 'agent', now())`)
	g.exec(`INSERT INTO job_watermarks (job, scope, at) VALUES ('price-history', 'us-east-1/t3.medium', now())`)

	raw, err := os.ReadFile("migrations/0150_market_is_ec2s.sql")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(raw), "-- What agents said before is evidence.")
	require.True(t, found)
	rest, _, found = strings.Cut(rest, "ALTER TABLE price_buckets DROP")
	require.True(t, found)
	g.exec("-- What agents" + rest)
	require.Equal(t, "1", one[string](g, `SELECT count(*)::text FROM price_submissions WHERE evidence`))
	require.Equal(t, "t3.medium.us-east-1a t3.medium.us-east-1c",
		one[string](g, `SELECT string_agg(id, ' ' ORDER BY id) FROM pools`), "where i-0 lives, and what EC2 showed")
	require.Equal(t, "t3.medium.us-east-1c", one[string](g, `SELECT string_agg(pool_id, ' ') FROM pool_prices`))
	require.Equal(t, "collector", one[string](g, `SELECT string_agg(source_type, ' ') FROM price_buckets`))
	require.Zero(t, one[int](g, `SELECT count(*) FROM on_demand_prices`))
	require.Zero(t, one[int](g, `SELECT count(*) FROM job_watermarks`))
}

// TestInventedPlacesAreNotAskedFor: EC2 is asked for the prices of types that proven
// instances live on, and of some that it lists itself, wherever others say they live.
func TestInventedPlacesAreNotAskedFor(t *testing.T) {
	t.Parallel()
	g := guard(t)
	g.exec(`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, proof)
		SELECT 'i-' || region || '-' || kind, 'k2', NULL, 'replica', kind, region, region || 'a', '', 'spot', 'unproven'
		FROM unnest('{us-east-1,eu-west-1,mars-north-7,../x,ap-east-1}'::text[]) AS region,
			unnest('{m5.large,z9.colossal,c5.large,c5.xlarge,c5.2xlarge,c5.4xlarge,c5.9xlarge}'::text[]) AS kind`)
	require.NoError(t, g.prices().KeepTypes(t.Context(), "us-east-1", []replica.TypeFacts{
		listed("m5.large"), listed("c5.large"), listed("c5.xlarge"), listed("c5.2xlarge"), listed("c5.4xlarge"),
		listed("c5.9xlarge"),
	}))
	places, err := g.prices().InUse(t.Context())
	require.NoError(t, err)
	require.Len(t, places, 6, "that of i-0, and five of the client whose instances are unproven")
	for _, p := range places {
		require.Equal(t, "us-east-1", p.Region)
		require.NotEqual(t, "z9.colossal", p.InstanceType)
	}
	regions, err := g.prices().Regions(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"ap-east-1", "eu-west-1", "us-east-1"}, regions, "that of i-0, and two of the others")
}

func listed(name string) replica.TypeFacts {
	return replica.TypeFacts{Name: name, VCPUs: 2, MemoryMiB: 4096, Architectures: []string{"x86_64"}, Current: true}
}
