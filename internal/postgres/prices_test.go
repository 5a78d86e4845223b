package postgres_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/pricing"
	"spotkeeper/internal/postgres/prices"
)

// noon is when the tests of prices play.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func (g *guarded) prices() *prices.Prices {
	return &prices.Prices{DB: g.db, Now: func() time.Time { return noon }}
}

// seen is a report of an instance that saw one price per pool, in the order of zones.
func seen(instanceID string, at time.Time, dollars ...float64) pricing.Report {
	od := 0.0416
	r := pricing.Report{
		InstanceID:   instanceID,
		InstanceType: "t3.medium",
		Region:       "us-east-1",
		AZ:           "us-east-1a",
		Mode:         agent.Spot,
		OnDemand:     &od,
		CollectedAt:  at,
	}
	for i, d := range dollars {
		r.Pools = append(r.Pools, pricing.PoolReport{PoolID: "t3.medium.us-east-1" + string(rune('a'+i)), Price: &d})
		if i == 0 {
			r.CurrentSpot = &d
		}
	}
	return r
}

// everything is all that prices are made of, to see whether something changed.
func (g *guarded) everything() string {
	return one[string](
		g,
		`
		SELECT concat((SELECT json_agg(x ORDER BY x) FROM (SELECT s::text AS x FROM price_submissions s) x),
			(SELECT json_agg(x ORDER BY x) FROM (SELECT b::text AS x FROM price_buckets b) x),
			(SELECT json_agg(x ORDER BY x) FROM (SELECT b::text AS x FROM client_price_buckets b) x),
			(SELECT json_agg(x ORDER BY x) FROM (SELECT p::text AS x FROM client_prices p) x),
		(SELECT json_agg(x ORDER BY x) FROM (SELECT p::text AS x FROM pool_prices p) x),
		(SELECT json_agg(x ORDER BY x) FROM (SELECT o::text AS x FROM on_demand_prices o) x),
		(SELECT json_agg(x ORDER BY x) FROM (SELECT i::text AS x FROM instances i) x))`,
	)
}

func TestReportIsWrittenWhole(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p := g.prices()

	got, err := p.Report(t.Context(), "k1", "a1", seen("i-0", noon.Add(-2*time.Minute), 0.0125, 0.0131))
	require.NoError(t, err)
	require.Equal(t, pricing.Ingested{Accepted: 2, Rejected: []pricing.Rejection{}}, got)
	require.Equal(t, "t3.medium.us-east-1a 0.012500 counts, t3.medium.us-east-1b 0.013100 other_pool",
		one[string](g, `SELECT string_agg(concat_ws(' ', pool_id, price, worth), ', ' ORDER BY pool_id)
		FROM client_prices WHERE client_id = 'k1' AND agent_id = 'a1' AND instance_id = 'i-0'`))
	require.Equal(t, "0.012500 0.041600 0.041600",
		one[string](g,
			`SELECT spot_price || ' ' || ondemand_price || ' ' || baseline_price FROM instances WHERE id = 'i-0'`))
	require.Equal(t, "0.012500 primary 1.00 0.041600",
		one[string](g,
			`SELECT price || ' ' || source_type || ' ' || confidence || ' ' || ondemand_price FROM client_price_buckets
		WHERE client_id = 'k1' AND pool_id = 't3.medium.us-east-1a' AND bucket = $1`, noon.Add(-5*time.Minute)))
	require.Equal(t, "0 0 0 0", g.marketSize(), "the market is EC2's")

	before := g.everything()
	got, err = p.Report(t.Context(), "k1", "a1", seen("i-0", noon.Add(-2*time.Minute), 0.0125, 0.0131))
	require.NoError(t, err)
	require.Equal(t, 2, got.Duplicates)
	require.Equal(t, before, g.everything(), "the same report again changes nothing")
}

// marketSize counts the pools, latest prices, buckets and references that all clients share.
func (g *guarded) marketSize() string {
	return one[string](g, `SELECT concat_ws(' ', (SELECT count(*) FROM pools), (SELECT count(*) FROM pool_prices),
		(SELECT count(*) FROM price_buckets), (SELECT count(*) FROM on_demand_prices))`)
}

// TestLateReportCorrectsItsBucketOnly: what was seen before stays behind what was
// seen later, and the sentinel is no reference.
func TestLateReportCorrectsItsBucketOnly(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p := g.prices()
	for at, dollars := range map[time.Duration]float64{-time.Minute: 0.02, -20 * time.Minute: 0.01} {
		_, err := p.Report(t.Context(), "k1", "a1", seen("i-0", noon.Add(at), dollars))
		require.NoError(t, err)
	}
	_, err := p.Report(t.Context(), "k1", "a1", seen("i-0", noon.Add(-19*time.Minute), 0.03))
	require.NoError(t, err)
	require.Equal(t, "0.020000", one[string](g, `SELECT price::text FROM client_prices`), "the latest that was seen")
	require.Equal(t, "0.010000",
		one[string](g, `SELECT price::text FROM client_price_buckets WHERE bucket = $1`, noon.Add(-20*time.Minute)),
		"the first of equals")
	require.Equal(t, "2.0000",
		one[string](g, `SELECT discrepancy::text FROM client_price_buckets WHERE bucket = $1`,
			noon.Add(-20*time.Minute)),
		"and that another said three times as much")

	sentinel := 0.1
	r := seen("i-0", noon)
	r.OnDemand = &sentinel
	_, err = p.Report(t.Context(), "k1", "a1", r)
	require.NoError(t, err)
	require.Equal(t, "0.041600", one[string](g, `SELECT ondemand_price::text FROM instances WHERE id = 'i-0'`))
}

// TestAReportIsWeighed as the rules do: only a proven spot instance counts, about its own
// pool, near EC2's price, for its own client.
func TestAReportIsWeighed(t *testing.T) {
	t.Parallel()
	type told struct {
		instance string
		market   float64 // EC2's price in zone a; 0: it has not answered
		prices   []float64
	}
	proven := pricing.Reporter{Proven: true, Pool: "t3.medium.us-east-1a"}
	who := map[string]pricing.Reporter{"i-0": proven, "i-on-demand": {Proven: true}, "i-unproven": {Pool: proven.Pool},
		"i-absent": {}}
	for name, c := range map[string]told{
		"EC2 has not answered":     {"i-0", 0, []float64{0.5, 0.01}},
		"EC2 says the same":        {"i-0", 0.01, []float64{0.01, 0.01}},
		"twice EC2's price":        {"i-0", 0.01, []float64{0.02, 0.01}},
		"more than twice":          {"i-0", 0.01, []float64{0.020001, 0.01}},
		"half of EC2's price":      {"i-0", 0.01, []float64{0.005, 0.01}},
		"less than half":           {"i-0", 0.01, []float64{0.004999, 0.01}},
		"an instance on demand":    {"i-on-demand", 0.01, []float64{0.01, 0.01}},
		"an unproven instance":     {"i-unproven", 0.01, []float64{0.01, 0.01}},
		"an instance of no client": {"i-absent", 0.01, []float64{0.01, 0.01}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard(t)
			g.exec(`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, proof)
				SELECT id, 'k1', 'a1', 'replica', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a',
					CASE id WHEN 'i-on-demand' THEN 'ondemand' ELSE 'spot' END,
					CASE id WHEN 'i-unproven' THEN 'unproven' ELSE 'launched' END
				FROM unnest(ARRAY['i-on-demand', 'i-unproven']) AS t(id)`)
			if c.market > 0 {
				g.collected("a", 5, c.market, 0)
			}
			before := g.marketSize()
			report := seen(c.instance, noon, c.prices...)
			_, err := g.prices().Report(t.Context(), "k1", "a1", report)
			require.NoError(t, err)
			want := []string{}
			for i, dollars := range c.prices {
				pool := "t3.medium.us-east-1" + string(rune('a'+i))
				want = append(want, string(pricing.WorthOf(who[c.instance], pool, pricing.FromFloat(dollars),
					pricing.FromFloat(c.market))))
			}
			require.Equal(t, strings.Join(want, " "),
				one[string](g, `SELECT string_agg(worth, ' ' ORDER BY pool_id) FROM client_prices WHERE client_id = 'k1'`))
			counts := want[0] == string(pricing.Counts)
			require.Equal(t, counts, one[bool](g, `SELECT EXISTS (SELECT FROM client_price_buckets)`))
			require.Equal(t, counts, one[bool](g, `SELECT EXISTS (SELECT FROM price_submissions WHERE NOT evidence)`))
			require.Equal(t, before, g.marketSize())
			if c.instance == "i-0" {
				require.Equal(t, counts, one[bool](g, `SELECT spot_price IS NOT NULL FROM instances WHERE id = 'i-0'`),
					"what is out of the band is no price of the instance")
			}
		})
	}
}

func TestWhoReportsDecides(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p := g.prices()
	manual := g.successor("manual", "i-0", "i-manual")
	g.exec(`UPDATE replicas SET state = 'failed' WHERE id = $1`, manual.ID)
	g.successor("rebalance", "i-0", "i-auto")
	g.livesInA("i-manual", "i-auto")
	for instance, source := range map[string]string{
		"i-0":      "primary",
		"i-manual": "replica-manual",
		"i-auto":   "replica-automatic",
		"i-nobody": "replica-manual",
	} {
		_, err := p.Report(t.Context(), "k1", "a1", seen(instance, noon, 0.01))
		require.NoError(t, err)
		require.Equal(t, source,
			one[string](g, `SELECT source_type FROM price_submissions WHERE instance_id = $1`, instance))
	}
	require.Equal(t, "primary", one[string](g, `SELECT source_type FROM client_price_buckets`))

	for client, a := range map[string]string{"k2": "a1", "k1": "a9"} {
		_, err := p.Report(t.Context(), client, a, seen("i-0", noon, 0.01))
		require.Equal(t, agent.NotFound, fault.CodeOf(err))
	}
	_, err := p.Report(t.Context(), "k1", "a1", seen("i-0", noon, -1))
	require.Equal(t, pricing.OutOfRange, fault.CodeOf(err))
}

// beside is a proven instance of a1 in zone b that is neither its primary nor its replica.
func (g *guarded) beside(id string) {
	g.t.Helper()
	g.exec(`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, proof)
		VALUES ($1, 'k1', 'a1', 'retired', 't3.medium', 'us-east-1', 'us-east-1b', 't3.medium.us-east-1b', 'spot',
			'launched')`, id)
}

// livesInA moves instances to zone a.
func (g *guarded) livesInA(ids ...string) {
	g.t.Helper()
	g.exec(`UPDATE instances SET az = 'us-east-1a', pool_id = 't3.medium.us-east-1a', mode = 'spot' WHERE id = ANY ($1)`,
		ids)
}

// TestTheDatabaseMergesAsTheRules do: many reports in any order leave the buckets
// that pricing says.
func TestTheDatabaseMergesAsTheRules(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p := g.prices()
	g.successor("rebalance", "i-0", "i-auto")
	g.beside("i-else")
	g.livesInA("i-auto", "i-else")
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a reproducible shuffle
	want := map[string]pricing.Truth{}
	sources := map[string]pricing.Source{
		"i-0":    pricing.Primary,
		"i-auto": pricing.ReplicaAutomatic,
		"i-else": pricing.ReplicaManual,
	}
	for range 150 {
		instance := []string{"i-0", "i-auto", "i-else"}[random.IntN(3)]
		at := noon.Add(-time.Duration(random.IntN(20)) * time.Minute)
		if instance == "i-0" && random.IntN(4) > 0 {
			continue // let the others have buckets of their own
		}
		r := seen(instance, at, float64(1+random.IntN(9))/100)
		accepted, err := r.Judge("a1", noon)
		require.NoError(t, err)
		s := accepted.Submissions[0]
		key := pricing.BucketOf(at).Format(time.TimeOnly)
		told := pricing.TruthOf(pricing.Observation{ID: s.ID, Source: sources[instance], Price: s.Price, At: s.At})
		if held, known := want[key]; known {
			told = held.Merge(told)
		}
		want[key] = told
		_, err = p.Report(t.Context(), "k1", "a1", r)
		require.NoError(t, err)
	}
	rows, err := g.db.Pool.Query(
		t.Context(),
		`
			SELECT to_char(bucket AT TIME ZONE 'UTC', 'HH24:MI:SS'), submission_id, (price * 1e6)::bigint,
				(low * 1e6)::bigint, (high * 1e6)::bigint, coalesce(discrepancy, 0)::float8
			FROM client_price_buckets`,
	)
	require.NoError(t, err)
	defer rows.Close()
	n := 0
	for rows.Next() {
		var key, id string
		var price, low, high pricing.USD
		var discrepancy float64
		require.NoError(t, rows.Scan(&key, &id, &price, &low, &high, &discrepancy))
		w := want[key]
		require.Equal(t, []any{w.ID, w.Price, w.Low, w.High, w.Discrepancy()},
			[]any{id, price, low, high, discrepancy}, key)
		n++
	}
	require.NoError(t, rows.Err())
	require.Len(t, want, n)
}

// TestAnyOrderAndRepetitionGivesTheSameBuckets: late, twice, in any order, merged
// as they come or by the job afterwards, the same submissions are the same truth.
func TestAnyOrderAndRepetitionGivesTheSameBuckets(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p := g.prices()
	g.successor("rebalance", "i-0", "i-auto")
	g.beside("i-else")
	g.livesInA("i-auto")
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a reproducible shuffle
	var reports []pricing.Report
	for range 60 {
		instance := []string{"i-0", "i-auto", "i-else", "i-else"}[random.IntN(4)]
		at := noon.Add(-time.Duration(random.IntN(40)) * time.Minute)
		reports = append(reports, seen(instance, at, float64(1+random.IntN(9))/100, float64(1+random.IntN(9))/100))
	}
	report := func(list []pricing.Report) {
		for _, r := range list {
			_, err := p.Report(t.Context(), "k1", "a1", r)
			require.NoError(t, err)
		}
	}
	truth := func() string {
		return one[string](
			g,
			`
				SELECT json_agg(concat_ws(' ', pool_id, bucket, price, ondemand_price, source_type, confidence,
					submission_id, observed_at, low, high, discrepancy)
					ORDER BY pool_id, bucket)
				FROM client_price_buckets`,
		)
	}
	latest := func() string {
		return one[string](g, `SELECT json_agg(concat_ws(' ', pool_id, observed_at) ORDER BY pool_id)
			FROM client_prices WHERE worth = 'counts'`)
	}
	report(reports)
	want, last := truth(), latest()
	for range 3 {
		g.exec(`TRUNCATE price_submissions, client_price_buckets, client_prices`)
		again := append(append([]pricing.Report{}, reports...), reports[:random.IntN(len(reports))]...)
		random.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		report(again)
		require.Equal(t, want, truth())
		require.Equal(t, last, latest())

		g.exec(`TRUNCATE client_price_buckets`) // and as if nothing had been merged on the way
		g.exec(`DELETE FROM job_watermarks`)
		_, err := p.Deduplicate(t.Context(), func() {})
		require.NoError(t, err)
		require.Equal(t, want, truth())
	}
}
