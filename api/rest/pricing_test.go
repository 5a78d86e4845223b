package rest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// reported are the bodies of the three programs in the field, which say the same:
// two pools of t3.medium and its on-demand price.
func reported(at time.Time, onDemand, pools string) map[string]string {
	instance := `"instance_id":"i-1","instance_type":"t3.medium","region":"us-east-1","az":"us-east-1a"`
	current := `{"instance":{` + instance +
		`,"mode":"spot","pool_id":"t3.medium.us-east-1a"},"pricing":{"on_demand_price":` + onDemand +
		`,"current_spot_price":0.0125,"cheapest_pool":{"pool_id":"t3.medium.us-east-1a","price":0.0125},"spot_pools":` + pools + `,"collected_at":"%s"}}`
	return map[string]string{
		"A": fmt.Sprintf(current, at.Format("2006-01-02T15:04:05.000000+00:00")),
		"B": fmt.Sprintf(current, at.Format("2006-01-02T15:04:05.000000")),
		"C": `{"instance":{` + instance +
			`,"current_mode":"spot","current_pool_id":"t3.medium.us-east-1a"},"on_demand_price":{"price":` +
			onDemand + `},"spot_pools":` + pools + `}`,
	}
}

// TestPricesOfAllAgents: the prices of every kind of agent are stored, and the pages of
// its instance show the cost; a failed look-up is no reference, and the market is EC2's.
func TestPricesOfAllAgents(t *testing.T) {
	t.Parallel()
	const pools = `[{"pool_id":"t3.medium.us-east-1a","instance_type":"t3.medium","az":"us-east-1a","price":0.0125},{"pool_id":"t3.medium.us-east-1b","instance_type":"t3.medium","az":"us-east-1b","price":0.0131}]`
	s := newStack(t)
	for _, program := range []string{"A", "B", "C"} {
		at := time.Now().UTC().Add(-time.Minute)
		s.exec(`TRUNCATE price_submissions, client_price_buckets, client_prices`)
		s.call(s.acme, "POST", "/api/agents/a1/pricing-report", reported(at, "0.0416", pools)[program]).holds(t, 200,
			`{"success":true,"accepted":2,"duplicates":0,"rejected":0,"rejections":[]}`)
		require.Equal(t, "0.012500 counts 0.013100 other_pool",
			s.value(`SELECT string_agg(price || ' ' || worth, ' ' ORDER BY pool_id) FROM client_prices`), program)
		require.Equal(t, "primary 0.041600",
			s.value(`SELECT DISTINCT source_type || ' ' || ondemand_price FROM client_price_buckets`), program)

		s.call(s.acme, "POST", "/api/agents/a1/pricing-report", reported(at, "0.1", pools)[program]).holds(t, 200,
			`{"rejected":0}`)
		require.Equal(t, "0.041600", s.value(`SELECT ondemand_price::text FROM instances WHERE id = 'i-1'`), program)
	}
	require.Equal(t, "0 0 0", s.value(`SELECT concat_ws(' ', (SELECT count(*) FROM pool_prices),
		(SELECT count(*) FROM price_buckets), (SELECT count(*) FROM on_demand_prices))`))
	require.Equal(t, "0.012500", s.value(`SELECT spot_price::text FROM instances WHERE id = 'i-1'`))
}

// TestBadPricesAreNamed: a bad pool does not lose the good ones, and not silently;
// a report with nothing good in it is refused by the name of its pool.
func TestBadPricesAreNamed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	at := time.Now().UTC().Add(-time.Minute)
	mixed := reported(at, "0.0416",
		`[{"pool_id":"t3.medium.us-east-1a","price":0.0125},{"pool_id":"t3.medium.us-east-1b","price":10000.01}]`)["A"]
	for _, duplicates := range []float64{0, 1} {
		got := s.call(s.acme, "POST", "/api/agents/a1/pricing-report", mixed)
		got.holds(t, 200, `{"success":true,"accepted":1,"rejected":1}`)
		require.InDelta(t, duplicates, got.body["duplicates"], 0)
		require.Equal(t, []any{map[string]any{
			"pool_id": "t3.medium.us-east-1b",
			"reason":  "the price is not above 0 and at most 10000 USD per hour",
		}}, got.body["rejections"])
	}
	require.Equal(t, "t3.medium.us-east-1a", s.value(`SELECT string_agg(pool_id, ' ') FROM price_submissions`))

	got := s.call(s.acme, "POST", "/api/agents/a1/pricing-report",
		reported(at, "0.0416", `[{"pool_id":"t3.medium.us-east-1b","price":0}]`)["C"])
	got.holds(t, 400, `{"code":"pricing.price_out_of_range","accepted":0,"rejected":1}`)
	require.Contains(t, got.body["error"], "t3.medium.us-east-1b")
	for _, far := range []time.Duration{10 * time.Minute, -31 * 24 * time.Hour} {
		s.call(s.acme, "POST", "/api/agents/a1/pricing-report",
			reported(time.Now().UTC().Add(far), "0.0416", `[{"pool_id":"t3.medium.us-east-1b","price":0.01}]`)["B"]).
			holds(t, 400, `{"code":"pricing.time_out_of_window"}`)
	}
	require.Equal(t, "1", s.value(`SELECT count(*)::text FROM price_submissions`))
}
