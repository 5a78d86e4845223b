package rest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lived is a fleet with some past: a switch, prices, decisions, events, savings.
const lived = `
INSERT INTO switches (id, client_id, agent_id, trigger, phase, old_id, new_id, from_mode, to_mode, from_pool, to_pool,
    on_demand, new_spot, savings_impact, initiated_at, launched_at) VALUES
	('s1', 'c1', 'a1', 'manual', 'done', 'i-0', 'i-1', 'spot', 'spot', 't3.medium.us-east-1b', 't3.medium.us-east-1a',
	0.0416, 0.0125, 0.002, now() - interval '4 hours', '2026-03-01 10:00Z'),
	('s2', 'c1', 'a1', 'model', 'done', 'i-9', 'i-0', 'ondemand', 'ondemand', NULL, NULL, 0.0416, NULL, NULL,
	now() - interval '20 days', NULL);
INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at, updated_at) VALUES
	('t3.medium.us-east-1a', 't3.medium', 'us-east-1', 'us-east-1a', 0.0125, 'collector', now(), now()),
	('t3.medium.us-east-1b', 't3.medium', 'us-east-1', 'us-east-1b', 0.0104, 'collector', now(), now());
INSERT INTO price_buckets (pool_id, bucket, price, ondemand_price, source_type, confidence, observed_at)
	SELECT 't3.medium.us-east-1a', b, 0.01, 0.0416, 'collector', 1, b
	FROM generate_series(date_trunc('hour', now(), 'UTC') - interval '3 hours',
		date_trunc('hour', now(), 'UTC') - interval '1 minute', '5 minutes') b;
INSERT INTO agent_reports (agent_id, at, on_demand, spot)
	SELECT 'a1', array_agg(now() - n * interval '1 minute' ORDER BY n), array_agg(41600 ORDER BY n),
		array_agg(12500 ORDER BY n)
	FROM generate_series(1, 6) n;
INSERT INTO decisions (client_id, agent_id, action, current_mode, risk_score, expected_savings, engine, engine_version,
    created_at)
VALUES ('c1', 'a1', 'stay_spot', 'spot', 0.3, 0.029, 'rules', '1', now() - interval '4 minutes');
INSERT INTO agent_decisions (agent_id, at, actions, modes, risks, savings)
	SELECT agent_id, array_agg(created_at ORDER BY id DESC), array_agg(action ORDER BY id DESC),
		array_agg(current_mode ORDER BY id DESC),
		array_agg(risk_score ORDER BY id DESC), array_agg(expected_savings ORDER BY id DESC)
	FROM (SELECT * FROM decisions WHERE NOT shadow ORDER BY id DESC LIMIT 5) d
	GROUP BY agent_id;
INSERT INTO client_savings (client_id, month, baseline, actual, savings)
VALUES ('c1', '2026-01-01', 30, 10, 20), ('c1', '2026-02-01', 31, 12, 19);
INSERT INTO client_snapshots (day, total, new_clients, active)
VALUES ((now() AT TIME ZONE 'UTC')::date - 1, 1, 1, 1), ((now() AT TIME ZONE 'UTC')::date - 40, 1, 1, 1);
INSERT INTO notifications (id, client_id, message, severity, created_at)
VALUES ('n1', 'c1', 'one', 'warning', now() + interval '1 s'), ('n2', 'c2', 'two', 'info', now());
UPDATE clients SET total_savings = 12.5, last_sync_at = '2026-03-01 10:00Z' WHERE id = 'c1';
INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, ondemand_price)
VALUES ('i-od', 'c1', NULL, 'retiring', 't3.large', 'us-east-1', 'us-east-1a', 't3.large.us-east-1a', 'ondemand', 0.08);
`

// TestPagesShowWhatIsStored looks at the values behind the fields.
func TestPagesShowWhatIsStored(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(lived)

	s.call(s.acme, "GET", "/api/client/c1", "").holds(t, 200,
		`{"name":"Acme","status":"active","agentsOnline":2,"agentsTotal":2,"instances":3,"totalSavings":12.5,"lastSync":"2026-03-01T10:00:00Z"}`)
	s.call(operatorToken, "GET", "/api/client/nope", "").holds(t, 404, `{"error":"Client not found"}`)
	decisions := s.call(s.acme, "GET", "/api/client/c1/agents/decisions", "").list
	var a1 map[string]any
	for _, x := range decisions {
		if x.(map[string]any)["agentId"] == "a1" {
			a1 = x.(map[string]any)
		}
	}
	require.Equal(t, []any{true, "< 1 min ago", "t3.medium.us-east-1a"},
		[]any{a1["isHealthy"], a1["lastHeartbeat"], a1["currentPoolId"]})
	require.Equal(t, map[string]any{
		"minutes":   4.0,
		"value":     4.0,
		"unit":      "min",
		"formatted": "4 min",
	}, a1["lastDecision"].(map[string]any)["elapsed"])
	require.Equal(t, []any{"healthy", 6.0},
		[]any{a1["pricingHealth"].(map[string]any)["status"],
			a1["pricingHealth"].(map[string]any)["recentReportsCount"]})

	switches := s.call(s.acme, "GET", "/api/client/c1/switch-history", "").list
	require.Len(t, switches, 2)
	answer{
		status: 200,
		body:   switches[0].(map[string]any),
	}.holds(
		t,
		200,
		`{"id":"s1","instanceId":"i-1","timestamp":"2026-03-01T10:00:00Z","price":0.0125,"savingsImpact":0.002,"fromPool":"t3.medium.us-east-1b"}`,
	)
	answer{
		status: 200,
		body:   switches[1].(map[string]any),
	}.holds(t, 200, `{"fromPool":"n/a","toPool":"n/a","price":0.0416,"savingsImpact":0}`)
	require.Len(t, s.call(s.acme, "GET", "/api/client/c1/switch-history?instance_id=i-1", "").list, 1)
	require.Equal(t, []any{}, s.call(s.acme, "GET", "/api/client/c1/switch-history?instance_id=nope", "").list)
	months := s.call(s.acme, "GET", "/api/client/c1/savings?range=monthly", "").list
	require.Len(t, months, 2)
	answer{
		status: 200,
		body:   months[0].(map[string]any),
	}.holds(t, 200, `{"name":"January","savings":20,"onDemandCost":30,"modelCost":10}`)
	require.Equal(t, []any{}, s.call(s.acme, "GET", "/api/client/c1/savings?range=daily", "").list)

	pricing := s.call(s.acme, "GET", "/api/client/instances/i-1/pricing", "")
	pricing.holds(
		t,
		200,
		`{"currentMode":"spot","currentPool":{"id":"t3.medium.us-east-1a","name":"t3.medium (us-east-1a)","az":"us-east-1a"},"onDemand":{"name":"On-Demand","price":0.0416}}`,
	)
	pools := pricing.body["pools"].([]any)
	require.Len(t, pools, 3)
	answer{
		status: 200,
		body:   pools[0].(map[string]any),
	}.holds(t, 200, `{"id":"t3.medium.us-east-1b","price":0.0104,"savings":75}`)
	answer{
		status: 200,
		body:   pools[2].(map[string]any),
	}.holds(t, 200, `{"id":"t3.medium.us-east-1c","price":0,"savings":0}`)
	s.call(s.acme, "GET", "/api/client/instances/i-od/pricing", "").holds(t, 200,
		`{"currentMode":"ondemand","currentPool":null,"pools":[]}`)
	s.call(s.acme, "GET", "/api/client/instances/i-1/metrics", "").holds(t, 200,
		`{"totalSwitches":1,"switchesLast7Days":1,"totalSavings":0.048,"hoursSinceLastSwitch":"*"}`)

	history := s.call(s.acme, "GET", "/api/client/instances/i-1/price-history?days=1", "")
	data := history.body["data"].([]any)
	require.Len(t, data, 3, history.raw)
	point := data[0].(map[string]any)
	require.Equal(t, time.Now().UTC().Truncate(time.Hour).Add(-3*time.Hour).Format("2006-01-02 15:00"), point["time"])
	require.Equal(t, []any{0.01, nil, 0.0416},
		[]any{point["pool_t3.medium.us-east-1a"], point["pool_t3.medium.us-east-1c"], point["onDemand"]})
	for _, q := range []string{"?days=999", "?days=abc", "?days=-5", "?interval=week", "?days=30&interval=day"} {
		s.call(s.acme, "GET", "/api/client/instances/i-1/price-history"+q, "").holds(t, 200, `{}`)
	}
	s.call(s.acme, "GET", "/api/client/instances/i-od/price-history", "").holds(t, 200, `{"data":[],"pools":[]}`)
	prices := s.call(s.acme, "GET", "/api/client/pricing-history?days=300&agent_id=a1", "")
	prices.holds(t, 200, `{"agent_id":"a1","days":30,"data_points":3,"instance_type":"t3.medium","region":"us-east-1"}`)
	answer{
		status: 200,
		body:   prices.body["history"].([]any)[0].(map[string]any),
	}.holds(
		t,
		200,
		`{"ondemand_price":0.0416,"spot_pools":[{"pool_id":"t3.medium.us-east-1a","az":"us-east-1a","price":0.01,"measured":1}]}`,
	)
	s.call(s.acme, "GET", "/api/client/pricing-history", "").holds(t, 200, `{"agent_id":null,"days":7}`)
	s.call(s.acme, "GET", "/api/client/pricing-history?days=abc", "").holds(t, 400, `{}`)
	s.call(s.acme, "GET", "/api/client/pricing-history?agent_id=b1", "").holds(t, 404, `{"error":"Agent not found"}`)
	s.exec(`UPDATE agents SET status = 'offline'`)
	s.call(s.acme, "GET", "/api/client/pricing-history", "").holds(t, 404, `{"error":"No active agents found"}`)
	for _, what := range []string{"pricing", "metrics", "price-history", "available-options"} {
		s.call(s.acme, "GET", "/api/client/instances/i-none/"+what, "").holds(t, 404, `{"error":"Instance not found"}`)
		s.call(s.beta, "GET", "/api/client/instances/i-1/"+what, "").holds(t, 404, `{"error":"Instance not found"}`)
	}

	s.call(operatorToken, "GET", "/api/admin/stats", "").holds(t, 200,
		`{"totalAccounts":2,"agentsTotal":3,"totalSavings":12.5,"totalSwitches":2,"manualSwitches":1,"modelSwitches":1}`)
	require.Len(t, s.call(operatorToken, "GET", "/api/admin/clients/growth", "").list, 2)
	for q, n := range map[string]int{"?days=0": 2, "?days=60": 3, "?days=abc": 2, "?days=9999": 3} {
		require.Len(t, s.call(operatorToken, "GET", "/api/admin/clients/growth"+q, "").list, n, q)
	}
	s.call(operatorToken, "GET", "/api/admin/instances?search=I-OD&status=active", "").holds(t, 200,
		`{"total":1,"filters":{"status":"active","mode":null,"region":null,"search":"I-OD"}}`)
	s.call(operatorToken, "GET", "/api/admin/agents?status=x", "").holds(t, 200,
		`{"agents":[],"total":0,"filters":{"status":"x"}}`)
	s.call(operatorToken, "GET", "/api/admin/system-health", "").holds(t, 200,
		`{"apiStatus":"Healthy","database":"Connected","decisionEngine":"Loaded"}`)
	require.Empty(t, s.call(operatorToken, "GET", "/api/client/nope/agents", "").list)
}

func TestNotifications(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`DELETE FROM notifications`)
	s.exec(lived)
	unread := func() string { return s.value(`SELECT count(*)::text FROM notifications WHERE NOT is_read`) }

	require.Len(t, s.call(operatorToken, "GET", "/api/notifications", "").list, 2)
	require.Len(t, s.call(s.acme, "GET", "/api/notifications", "").list, 1)
	require.Len(t, s.call(operatorToken, "GET", "/api/notifications?client_id=c2", "").list, 1)
	require.Equal(t, []any{}, s.call(operatorToken, "GET", "/api/notifications?limit=0", "").list)
	s.call(s.acme, "GET", "/api/notifications?client_id=c2", "").holds(t, 404, `{}`)
	for _, q := range []string{"abc", "-1"} {
		s.call(operatorToken, "GET", "/api/notifications?limit="+q, "").holds(t, 400, `{}`)
	}
	s.call(s.acme, "POST", "/api/notifications/n2/mark-read", "").holds(t, 200, `{"success":true}`)
	require.Equal(t, "2", unread(), "another tenant's stays unread")
	s.call(s.acme, "POST", "/api/notifications/n1/mark-read", "").holds(t, 200, `{"success":true}`)
	s.call(s.acme, "POST", "/api/notifications/nope/mark-read", "").holds(t, 200, `{"success":true}`)
	require.Equal(t, "1", unread())
	s.call(s.acme, "POST", "/api/notifications/mark-all-read", `{"client_id":"c2"}`).holds(t, 404, `{}`)
	s.call(s.acme, "POST", "/api/notifications/mark-all-read", `{"client_id":null}`).holds(t, 200, `{"success":true}`)
	require.Equal(t, "1", unread())
	s.call(operatorToken, "POST", "/api/notifications/mark-all-read", ``).holds(t, 200, `{"success":true}`)
	require.Equal(t, "0", unread())
}
