package pricing_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/pricing"
)

const instanceAB = `{"instance_id":"i-1","instance_type":"t3.medium","region":"us-east-1","az":"us-east-1a","mode":"spot","pool_id":"t3.medium.us-east-1a"}`

func current(pricingFields string) string {
	return `{"instance":` + instanceAB + `,"pricing":{` + pricingFields + `}}`
}

// TestShapesOfAllAgents: the three programs in the field say the same thing in
// their own ways.
func TestShapesOfAllAgents(t *testing.T) {
	t.Parallel()

	now := at("2026-11-22T19:10:00Z")
	pools := `"spot_pools":[{"pool_id":"t3.medium.us-east-1b","instance_type":"t3.medium","az":"us-east-1b","price":0.0131},{"pool_id":"t3.medium.us-east-1a","instance_type":"t3.medium","az":"us-east-1a","price":0.0125}]`
	for name, body := range map[string]string{
		"A": current(
			`"on_demand_price":0.0416,"current_spot_price":0.0125,"cheapest_pool":{"pool_id":"t3.medium.us-east-1a","price":0.0125},` + pools + `,"collected_at":"2026-11-22T19:08:22.253038+00:00"`),
		"B": current(
			`"on_demand_price":0.0416,"current_spot_price":0.0125,"cheapest_pool":null,` + pools +
				`,"collected_at":"2026-11-22T19:08:22.253038"`),
		"C": `{"instance":{"instance_id":"i-1","instance_type":"t3.medium","region":"us-east-1","az":"us-east-1a","current_mode":"spot","current_pool_id":"t3.medium.us-east-1a"},"on_demand_price":{"price":0.0416},` + pools + `}`,
	} {
		r, err := pricing.ParseReport([]byte(body))
		require.NoError(t, err, name)
		require.Equal(t, agent.Spot, r.Mode, name)
		require.Equal(t, "t3.medium.us-east-1a", r.PoolID, name)
		got, err := r.Judge("agent", now)
		require.NoError(t, err, name)
		require.Len(t, got.Submissions, 2, name)
		require.Empty(t, got.Rejected, name)
		first := got.Submissions[0]
		require.Equal(t, "t3.medium.us-east-1a", first.PoolID, "sorted")
		require.Equal(t, pricing.FromFloat(0.0125), first.Price)
		require.Equal(t, pricing.FromFloat(0.0416), first.OnDemand)
		require.Equal(t, "us-east-1", first.Region)
		if name == "C" {
			require.Equal(t, now, first.At, "the oldest does not say when")
			continue
		}
		require.Equal(t, at("2026-11-22T19:08:22.253038Z"), first.At)
		require.Equal(t, pricing.FromFloat(0.0125), got.CurrentSpot)
		again, err := r.Judge("agent", now.AddDate(0, 0, 1))
		require.NoError(t, err)
		require.Equal(t, got.Submissions, again.Submissions, "the same report is the same submissions")
	}
}

// TestEmptyReports are accepted as they always were, and store nothing.
func TestEmptyReports(t *testing.T) {
	t.Parallel()

	for _, body := range []string{
		`{}`, `{"instance":{"instance_id":"i-1"},"pricing":{}}`, `{"instance":null,"pricing":null}`,
		current(`"on_demand_price":null,"current_spot_price":null,"cheapest_pool":null,"spot_pools":null`),
		current(`"on_demand_price":0.1,"spot_pools":[]`),
	} {
		r, err := pricing.ParseReport([]byte(body))
		require.NoError(t, err, body)
		got, err := r.Judge("a", at("2026-11-22T10:00:00Z"))
		require.NoError(t, err, body)
		require.Empty(t, got.Submissions)
		require.Zero(t, got.OnDemand, "the sentinel is not a price")
	}
}

// TestPricesThatAreNone are left out and named, whichever member holds them. Zero, null and the
// value that agents send for an unknown price are no claim.
func TestPricesThatAreNone(t *testing.T) {
	t.Parallel()

	for value, why := range map[string]string{
		`-1`: "not above 0", `1e308`: "not above 0", `-1e308`: "not above 0", `1e-12`: "not above 0",
		`0.0000001`: "not above 0", `99999999`: "not above 0", `10000.01`: "not above 0",
		`"0.05"`: "a number", `"1,5"`: "a number", `""`: "a number", `true`: "a number", `[]`: "a number", `{}`: "a number",
		`1e400`: "a number", `0`: "", `0.0`: "", `null`: "", `0.1`: "", `10000`: "",
	} {
		r, err := pricing.ParseReport([]byte(current(`"on_demand_price":` + value + `,"spot_pools":[]`)))
		require.NoError(t, err, value)
		got, err := r.Judge("a", at("2026-11-22T10:00:00Z"))
		require.NoError(t, err, value)
		if why == "" {
			require.Empty(t, got.Rejected, value)
			continue
		}
		require.Len(t, got.Rejected, 1, value)
		require.Equal(t, "on_demand_price", got.Rejected[0].PoolID, value)
		require.Contains(t, got.Rejected[0].Reason, why, value)
		require.Zero(t, got.OnDemand, value)
	}
	r, err := pricing.ParseReport([]byte(current(`"current_spot_price":"cheap","spot_pools":[]`)))
	require.NoError(t, err)
	got, err := r.Judge("a", at("2026-11-22T10:00:00Z"))
	require.NoError(t, err)
	require.Equal(t, []pricing.Rejection{{PoolID: "current_spot_price", Reason: "the price must be a number"}}, got.Rejected)
}

func TestMalformedReports(t *testing.T) {
	t.Parallel()

	for body, names := range map[string]string{
		``: "JSON object", `null`: "JSON object", `[]`: "JSON object", `{"instance`: "valid JSON",
		`{"pricing":{"spot_pools":"cheap"}}`:                      "spot_pools must be a list",
		`{"pricing":7}`:                                           "pricing must be an object",
		current(`"spot_pools":[],"collected_at":"yesterday"`):     "collected_at",
		`{"spot_pools":[` + strings.Repeat(`{},`, 20000) + `{}]}`: "20000 pools",
	} {
		_, err := pricing.ParseReport([]byte(body))
		require.Equal(t, pricing.Malformed, fault.CodeOf(err), body)
		require.ErrorContains(t, err, names)
	}
}

// TestBadPoolsDoNotLoseGoodOnes and are each named with a reason.
func TestBadPoolsDoNotLoseGoodOnes(t *testing.T) {
	t.Parallel()

	good := `{"pool_id":"t3.medium.us-east-1a","az":"us-east-1a","price":0.0125}`
	for bad, why := range map[string]string{
		`{"az":"us-east-1b","price":0.01}`:                                        "spot_pools[1]: pool_id is missing",
		`{"pool_id":7,"price":0.01}`:                                              "spot_pools[1]: pool_id is missing",
		`{"pool_id":"somewhere","price":0.01}`:                                    "somewhere: pool_id must be",
		`{"pool_id":"t3.medium.us-east-1b","az":"us-east-1c","price":0.01}`:       "t3.medium.us-east-1b: az is not",
		`{"pool_id":"t3.medium.us-east-1b","instance_type":"t3.small","price":1}`: "t3.medium.us-east-1b: instance_type is not",
		`{"pool_id":"t3.medium.us-east-1b"}`:                                      "t3.medium.us-east-1b: price must be a number",
		`{"pool_id":"t3.medium.us-east-1b","price":"cheap"}`:                      "t3.medium.us-east-1b: price must be a number",
		`{"pool_id":"t3.medium.us-east-1b","price":-1}`:                           "t3.medium.us-east-1b: the price is not above",
		`{"pool_id":"t3.medium.us-east-1b","price":0}`:                            "t3.medium.us-east-1b: the price is not above",
		`{"pool_id":"t3.medium.us-east-1b","price":10000.01}`:                     "t3.medium.us-east-1b: the price is not above",
		`{"pool_id":"t3.medium.us-east-1a","price":0.5}`:                          "t3.medium.us-east-1a: the pool is named twice",
	} {
		r, err := pricing.ParseReport([]byte(current(`"spot_pools":[` + good + `,` + bad + `]`)))
		require.NoError(t, err, bad)
		got, err := r.Judge("a", at("2026-11-22T10:00:00Z"))
		require.NoError(t, err, bad)
		require.Len(t, got.Submissions, 1, bad)
		require.Len(t, got.Rejected, 1, bad)
		require.Contains(t, fmt.Sprintf("%s: %s", got.Rejected[0].PoolID, got.Rejected[0].Reason), why)

		if !strings.Contains(why, "twice") {
			r, err = pricing.ParseReport([]byte(current(`"on_demand_price":-3,"spot_pools":[` + bad + `]`)))
			require.NoError(t, err)
			_, err = r.Judge("a", at("2026-11-22T10:00:00Z"))
			require.Equal(t, pricing.OutOfRange, fault.CodeOf(err), "nothing good: %s", bad)
			require.NotContains(t, err.Error(), "on_demand_price", "the pool is named")
		}
	}
}

func TestReportFromNoSaneTime(t *testing.T) {
	t.Parallel()

	r, err := pricing.ParseReport([]byte(current(`"collected_at":"2027-01-01T00:00:00Z"`)))
	require.NoError(t, err)
	_, err = r.Judge("a", at("2026-11-22T10:00:00Z"))
	require.Equal(t, pricing.OutOfTime, fault.CodeOf(err))
}
