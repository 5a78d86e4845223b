package rest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTheOldestAgentSaysItsModeInItsPrices plays the agent that registers without a
// mode: until its first report the engine cannot judge it, and afterwards it can.
func TestTheOldestAgentSaysItsModeInItsPrices(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const pools = `[{"pool_id":"t3.medium.us-east-1a","instance_type":"t3.medium","az":"us-east-1a","price":0.0125}]`
	const ask = `{"instance":{"instance_id":"i-c"},"pricing":{}}`
	const start = `{"logical_agent_id":"old","instance_id":"i-c","instance_type":"unknown","region":"us-east-1","az":"unknown"}`
	id := s.call(s.acme, "POST", "/api/agents/register", start).body["agent_id"].(string)
	s.exec(`UPDATE instances SET region = 'unknown' WHERE id = 'i-c'`)
	require.Contains(t, s.call(s.acme, "POST", "/api/agents/"+id+"/decide", ask).raw,
		"It is not known how the instance is bought.")
	facts := func() string {
		return s.value(`SELECT concat_ws(' ', mode, instance_type, az, region, pool_id, spot_price, ondemand_price)
			FROM instances WHERE id = 'i-c'`)
	}
	report := func(agentID, mode string) {
		said := reported(time.Time{}, "0.0416", pools)["C"]
		body := strings.NewReplacer(`"i-1"`, `"i-c"`, `"current_mode":"spot"`, `"current_mode":`+mode).Replace(said)
		s.call(s.acme, "POST", "/api/agents/"+agentID+"/pricing-report", body).holds(t, 200, `{"success":true}`)
	}

	report("a1", `"spot"`)
	require.Equal(t, "unknown unknown unknown unknown unknown.unknown", facts(),
		"another agent's report says nothing of it")
	report(id, `"unknown"`)
	report(id, `null`)
	report(id, `"reserved"`)
	report(id, `7`)
	require.Equal(t, "unknown t3.medium us-east-1a us-east-1 t3.medium.us-east-1a 0.041600", facts(),
		"what is said is known, and unknown words change nothing")
	report(id, `"Spot"`)
	require.Equal(t, "spot t3.medium us-east-1a us-east-1 t3.medium.us-east-1a 0.012500 0.041600", facts(),
		"the price of its own pool is its price")
	report(id, `"on-demand"`)
	require.Equal(t, "spot", s.value(`SELECT mode FROM instances WHERE id = 'i-c'`),
		"how an instance is bought does not change")
	require.NotContains(t, s.call(s.acme, "POST", "/api/agents/"+id+"/decide", ask).raw, "It is not known")
	require.Contains(t, s.call(s.acme, "GET", "/api/client/c1/instances", "").raw, `"mode":"spot"`)

	for word, want := range map[string]string{
		`"on_demand"`: "ondemand", `"on-demand"`: "ondemand", `"OnDemand"`: "ondemand", `"SPOT"`: "spot",
	} {
		s.exec(`UPDATE instances SET mode = 'unknown' WHERE id = 'i-c'`)
		report(id, word)
		require.Equal(t, want, s.value(`SELECT mode FROM instances WHERE id = 'i-c'`), word)
	}
}

// TestNonsenseIsNoFact: a type or a zone that cannot be one is not stored.
func TestNonsenseIsNoFact(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`UPDATE instances
		SET instance_type = 'unknown', az = 'unknown', region = '', pool_id = 'unknown.unknown', mode = 'unknown'
		WHERE id = 'i-1'`)

	for _, body := range []string{
		`{"instance":{"instance_id":"i-1","instance_type":"big one","region":"the moon","az":"us-east-1"}}`, `{}`,
		`{"instance":{"instance_id":"i-1","az":"us-east-1b"}}`,
	} {
		s.call(s.acme, "POST", "/api/agents/a1/pricing-report", body).holds(t, 200, `{}`)
	}
	require.Equal(t, "unknown us-east-1b us-east-1 unknown.us-east-1b unknown",
		s.value(`SELECT concat_ws(' ', instance_type, az, region, pool_id, mode) FROM instances WHERE id = 'i-1'`))
}

// TestAReportIsASignOfLife: an agent whose heartbeats do not come through is not
// taken for lost while its prices do.
func TestAReportIsASignOfLife(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`UPDATE instances SET last_seen_at = now() - interval '6 minutes'`)

	s.call(s.acme, "POST", "/api/agents/a1/pricing-report", reported(time.Time{}, "0.0416", `[]`)["C"]).holds(t, 200,
		`{}`)
	require.Equal(t, "i-1",
		s.value(`SELECT string_agg(id, ' ') FROM instances WHERE last_seen_at > now() - interval '1 minute'`))
}

// TestRegistrationsInEverySpelling: EC2's own words for how an instance is bought
// are as good as ours.
func TestRegistrationsInEverySpelling(t *testing.T) {
	t.Parallel()
	s := newStack(t)

	for n, word := range []string{"on-demand", "on_demand", "On-Demand", "ondemand", "Spot", "spot"} {
		name := "spelled-" + string(rune('a'+n))
		body := strings.Replace(registration(name, "i-"+name, "us-east-1a"), `"mode":"spot"`, `"mode":"`+word+`"`, 1)
		s.call(s.acme, "POST", "/api/agents/register", body).holds(t, 200, `{"agent_id":"*"}`)
	}
	require.Equal(t, "ondemand ondemand ondemand ondemand spot spot",
		s.value(`SELECT string_agg(mode, ' ' ORDER BY id) FROM instances WHERE id LIKE 'i-spelled-%'`))
	cheap := strings.Replace(registration("x", "i-x", "us-east-1a"), `"mode":"spot"`, `"mode":"cheap"`, 1)
	refused := s.call(s.acme, "POST", "/api/agents/register", cheap)
	refused.holds(t, 400, `{"details":"*"}`)
	require.Contains(t, refused.raw, "Must be one of: spot, ondemand, unknown.")
	for word, status := range map[string]int{`"on-demand"`: 200, `7`: 400} {
		spelled := strings.Replace(beat("online", "i-1"), `"spot"`, word, 1)
		s.call(s.acme, "POST", "/api/agents/a1/heartbeat", spelled).holds(t, status, `{}`)
	}
}
