package rest_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows"
)

// market gives every pool a day of steady prices, and a1 a past.
func (s *stack) market(a, b, c float64) {
	s.t.Helper()
	s.exec(
		`
			INSERT INTO on_demand_prices (region, instance_type, price, source, observed_at)
			VALUES ('us-east-1', 't3.medium', 0.0416, 'pricing-api', now())`,
	)
	for zone, price := range map[string]float64{"a": a, "b": b, "c": c} {
		pool := "t3.medium.us-east-1" + zone
		s.exec(
			`
				INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at)
				VALUES ($1, 't3.medium', 'us-east-1', 'us-east-1' || $2, $3::float8, 'collector', now())`,
			pool,
			zone,
			price,
		)
		s.exec(`INSERT INTO price_buckets (pool_id, bucket, price, source_type, confidence, observed_at)
			SELECT $1, at, $2::float8, 'collector', 1, at
			FROM generate_series(now() - interval '23 hours', now(), interval '1 hour') at`, pool, price)
	}
	s.exec(
		`
			UPDATE instances
			SET installed_at = now() - interval '10 days', primary_since = now() - interval '10 days',
				last_seen_at = now()`,
	)
}

func TestSwitchRecommendationLooksAtEveryPool(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/agents/a1/switch-recommendation"

	s.call(s.acme, "GET", path, "").holds(t, 200,
		`{"decision_type":"stay_spot","will_auto_execute":false,"alternative_pools":"*","recommended_pool_id":"t3.medium.us-east-1a"}`)
	s.market(0.0300, 0.0131, 0.0119)
	got := s.call(s.acme, "GET", path, "")
	got.holds(
		t,
		200,
		`{"agent_id":"a1","decision_type":"switch_to_spot","recommended_pool_id":"t3.medium.us-east-1c","auto_switch_enabled":true,"will_auto_execute":true,"confidence":"*","risk_score":"*","reason":"*","expected_savings":"*"}`,
	)
	require.Equal(t, map[string]any{
		"id":   "t3.medium.us-east-1a",
		"name": "t3.medium (us-east-1a)",
		"az":   "us-east-1a",
	}, got.body["current_pool"])
	alternatives := got.body["alternative_pools"].([]any)
	require.Len(t, alternatives, 2)
	require.Equal(t, map[string]any{
		"id":         "t3.medium.us-east-1c",
		"name":       "t3.medium (us-east-1c)",
		"az":         "us-east-1c",
		"spot_price": 0.0119,
	}, alternatives[0])
	require.Equal(
		t,
		"stay_spot rules agent,switch_to_spot rules agent",
		s.value(
			`
				SELECT string_agg(concat_ws(' ', action, engine, source), ',' ORDER BY id)
				FROM decisions
				WHERE NOT shadow AND scores IS NOT NULL`,
		),
	)

	s.exec(`UPDATE agents SET max_switches_per_week = 0 WHERE id = 'a1'`)
	held := s.call(s.acme, "GET", path, "")
	held.holds(t, 200, `{"decision_type":"stay_spot","will_auto_execute":false}`)
	require.Equal(t, "switch.limit_reached", held.body["vetoes"].([]any)[0].(map[string]any)["code"])
	s.exec(
		`
			UPDATE instances
			SET mode = 'ondemand'
			WHERE id = 'i-1';
			UPDATE agents
			SET max_switches_per_week = 10
			WHERE id = 'a1'`,
	)
	s.call(s.acme, "GET", path, "").holds(t, 200,
		`{"decision_type":"switch_to_spot","recommended_pool_id":"t3.medium.us-east-1c"}`)
	require.Equal(t, map[string]any{"id": nil, "name": nil, "az": nil},
		s.call(s.acme, "GET", path, "").body["current_pool"])
}

func TestDecideKeepsTheDecision(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/agents/a1/decide"
	const body = `{"instance":{"instance_id":"i-1","current_mode":"spot","current_pool_id":"t3.medium.us-east-1a"},"pricing":{"current_spot_price":0.0125,"on_demand_price":0.0416}}`

	s.call(s.acme, "POST", path, `{"instance":{}}`).holds(t, 400,
		`{"details":{"pricing":["Missing data for required field."]}}`)
	s.call(s.acme, "POST", path, `{"instance":"i-1","pricing":{}}`).holds(t, 400, `{}`)
	s.call(s.acme, "POST", path, body).holds(t, 200,
		`{"recommended_action":"stay","recommended_mode":"spot","recommended_pool_id":"t3.medium.us-east-1a","allowed":false,"engine":"rules"}`)
	s.market(0.0300, 0.0131, 0.0119)
	s.call(s.acme, "POST", path, body).holds(t, 200,
		`{"instance_id":"i-1","recommended_action":"switch_to_spot","recommended_pool_id":"t3.medium.us-east-1c","allowed":true,"risk_score":"*","expected_savings_per_hour":"*"}`)
	require.Equal(t, "stay_spot,switch_to_spot",
		s.value(`SELECT string_agg(action, ',' ORDER BY id) FROM decisions WHERE agent_id = 'a1'`))
	s.exec(`UPDATE agents SET enabled = false WHERE id = 'a1'`)
	s.call(s.acme, "POST", path, body).holds(t, 200,
		`{"recommended_action":"stay","allowed":false,"reason":"Agent disabled"}`)
}

func TestExplainSaysWhy(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/client/agents/a1/explain"

	s.call(s.acme, "GET", path, "").holds(t, 200, `{"agent_id":"a1","decisions":[],"switches":[]}`)
	s.market(0.0300, 0.0131, 0.0119)
	s.call(s.acme, "POST", "/api/client/agents/a1/pause", `{"reason":"launch day"}`)
	s.call(s.acme, "POST", "/api/agents/a1/issue-switch-command", `{"target_mode":"ondemand"}`).holds(t, 409, `{}`)
	s.exec(
		`
		INSERT INTO switches (id, client_id, agent_id, operation_id, trigger, phase, from_mode, from_pool, to_mode,
			to_pool, initiated_at)
		VALUES ('s1', 'c1', 'a1', 'switch/s1', 'model', 'done', 'spot', 't3.medium.us-east-1b', 'spot',
			't3.medium.us-east-1a', now() - interval '3 days')`,
	)
	got := s.call(s.acme, "GET", path, "")
	got.holds(t, 200, `{"activity":"*","limits":"*","holds":"*"}`)
	told := got.raw
	for _, sentence := range []string{
		"runs in spot pool t3.medium.us-east-1a at $0.0300 per hour, 27.9% below on-demand ($0.0416)",
		"wants to move it to spot pool t3.medium.us-east-1c, but is held back",
		"paused (agent)", "launch day. (switch.paused)", "1 of 10 in 7 days",
		"ago rules 1 decided stay_spot: Held back", "The move was not made (switch.paused)",
		"from t3.medium.us-east-1b to t3.medium.us-east-1a, asked for by model: it is done",
	} {
		require.Contains(t, told, sentence)
	}
	now := got.body["now"].(map[string]any)
	require.Equal(t, map[string]any{"action": "switch_to_spot", "pool_id": "t3.medium.us-east-1c"}, now["wanted"])
	require.Len(t, now["scores"], 4)
	kept := got.body["decisions"].([]any)[0].(map[string]any)
	require.Equal(t, []any{"command", "switch.paused", "stay_spot"},
		[]any{kept["source"], kept["outcome"], kept["action"]})
	require.Len(t, kept["scores"], 4)
	require.Equal(t, "1", s.value(`SELECT count(*)::text FROM decisions`), "to explain is not to decide")
	s.call(operatorToken, "GET", path, "").holds(t, 200, `{"agent_id":"a1"}`)
}

// TestExplainShowsTheLastOfARepetition: what is shown is what was decided last, with how
// often that was.
func TestExplainShowsTheLastOfARepetition(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.market(0.0100, 0.0131, 0.0119)
	var last answer
	for _, price := range []float64{0.0100, 0.0101, 0.0102} {
		s.exec(`UPDATE pool_prices SET price = $1, observed_at = now() WHERE pool_id = 't3.medium.us-east-1a'`, price)
		last = s.call(s.acme, "GET", "/api/agents/a1/switch-recommendation", "")
		last.holds(t, 200, `{"decision_type":"stay_spot"}`)
	}
	got := s.call(s.acme, "GET", "/api/client/agents/a1/explain", "")
	kept := got.body["decisions"].([]any)
	require.Len(t, kept, 1)
	answer{status: 200, body: kept[0].(map[string]any)}.holds(t, 200,
		`{"count":3,"action":"stay_spot","source":"agent"}`)
	require.Equal(t, last.body["reason"], kept[0].(map[string]any)["reason"])
	require.Contains(t, kept[0].(map[string]any)["reason"], "75.5%", "of 0.0102 against 0.0416")
	require.InDelta(t, 0.0416-0.0102, kept[0].(map[string]any)["expected_savings_per_hour"], 1e-9)
	require.Contains(t, got.raw, "It has decided so 3 times within ")

	page := s.call(s.acme, "GET", "/api/client/c1/agents/decisions", "").list[0].(map[string]any)
	history := page["decisionHistory"].([]any)
	require.Len(t, history, 3, "the page shows each time, as it did before")
	for n, price := range []float64{0.0102, 0.0101, 0.0100} {
		d := history[n].(map[string]any)
		require.Len(t, d, 6)
		require.InDelta(t, 0.0416-price, d["expectedSavings"], 1e-9)
	}
	require.InDelta(t, 3, page["recentActivity"].(map[string]any)["healthStatus"].(map[string]any)["decisionCount"], 0)
}

func TestIssueSwitchCommand(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.market(0.0125, 0.0131, 0.0119)
	const path = "/api/agents/a1/issue-switch-command"
	const toC = `{"target_mode":"spot","target_pool_id":"t3.medium.us-east-1c","priority":25}`

	for body, sentence := range map[string]string{
		`{}`:                     "Invalid target_mode",
		`{"target_mode":"pool"}`: "Invalid target_mode",
		`{"target_mode":"spot"}`: "target_pool_id required for spot mode",
	} {
		s.call(s.acme, "POST", path, body).holds(t, 400, fmt.Sprintf(`{"error":%q}`, sentence))
	}
	s.call(s.acme, "POST", path, `{"target_mode":"spot","target_pool_id":"t3.medium.us-east-1z"}`).holds(t, 404, `{}`)
	s.call(s.acme, "POST", path, `{"target_mode":"spot","target_pool_id":"m5.large.us-east-1a"}`).holds(t, 400,
		`{"code":"replica.pool_type_mismatch"}`)
	s.call(s.acme, "POST", path, `{"target_mode":"ondemand","priority":101}`).holds(t, 400, `{}`)
	s.call(s.acme, "POST", path, `{"target_mode":"spot","target_pool_id":"t3.medium.us-east-1a"}`).holds(t, 200,
		`{"success":false,"message":"Agent already in target state","current_mode":"spot","current_pool_id":"t3.medium.us-east-1a"}`)
	require.Zero(t, s.wf.count())

	got := s.call(s.acme, "POST", path, toC)
	got.holds(
		t,
		201,
		`{"success":true,"agent_id":"a1","target_mode":"spot","target_pool_id":"t3.medium.us-east-1c","reason":"Manual command","auto_switch_enabled":true,"message":"Switch command queued. Agent will execute on next heartbeat."}`,
	)
	id := got.body["command_id"].(string)
	require.Equal(t, workflows.RequestSwitchInput{
		CommandID: id,
		Target:    switching.Target{Mode: agent.Spot, PoolID: "t3.medium.us-east-1c"},
		Reason:    "Manual command",
		Trigger:   "model",
	}, last[workflows.RequestSwitchInput](t, s.wf))
	require.Equal(
		t,
		"i-1 control-plane 25 300",
		s.value(
			`
				SELECT instance_id || ' ' || launcher || ' ' || priority || ' ' || terminate_wait_seconds
				FROM commands
				WHERE id = $1`,
			id,
		),
	)
	s.call(s.acme, "POST", path, toC).holds(t, 409, `{"code":"switch.busy","operation_id":"switch/`+id+`"}`)
	require.Empty(t, s.call(s.acme, "GET", "/api/agents/a1/pending-commands", "").list, "the control plane launches")
}

func TestIssueSwitchCommandWithinTheLimits(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.market(0.0125, 0.0131, 0.0119)
	const path, body = "/api/agents/a1/issue-switch-command", `{"target_mode":"ondemand"}`

	for name, c := range map[string]struct{ on, off, code string }{
		"pause": {
			`
				INSERT INTO pauses (scope, subject, by_operator, client_id, until, created_by)
				VALUES ('client', 'c1', true, 'c1', now() + interval '1 hour', 'ops')`, `
				DELETE FROM pauses`, "switch.paused"},
		"notice": {
			`
				INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline)
				VALUES ('c1', 'a1', 'i-1', 'termination-notice', now() + interval '1 minute')`, `
				DELETE FROM notices`, "engine.notice_stands"},
		"young in pool": {`UPDATE instances SET primary_since = now() WHERE id = 'i-1'`,
			`UPDATE instances SET primary_since = now() - interval '1 day' WHERE id = 'i-1'`, "switch.cooling_down"},
		"week": {`UPDATE agents SET max_switches_per_week = 0`, `UPDATE agents SET max_switches_per_week = 10`,
			"switch.limit_reached"},
		"disabled": {`UPDATE agents SET enabled = false`, `UPDATE agents SET enabled = true`, "agent.disabled"},
		"auto off": {`UPDATE agents SET keeping = 'manual'`, `UPDATE agents SET keeping = 'auto'`,
			"agent.auto_switch_off"},
	} {
		s.exec(c.on)
		got := s.call(s.acme, "POST", path, body)
		require.Equal(t, c.code, got.body["code"], "%s: %s", name, got.raw)
		s.exec(c.off)
	}
	s.wf.fails(workflows.Unreachable.New("the workflow service is not available"))
	got := s.call(s.acme, "POST", path, body)
	got.holds(t, 503, `{"code":"workflow.unreachable"}`)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	require.Equal(t, "cancelled", s.value(`SELECT string_agg(status, ',') FROM commands`),
		"a switch that did not begin stands in nobody's way")
	s.wf.fails(nil)
	s.exec(`UPDATE agents SET launcher = 'agent', auto_terminate_enabled = false WHERE id = 'a1'`)
	s.call(s.acme, "POST", path, body).holds(t, 201, `{"target_mode":"ondemand"}`)
	require.Len(t, s.call(s.acme, "GET", "/api/agents/a1/pending-commands", "").list, 1,
		"the agent launches: it is told, and a switch follows it")
	require.Equal(t, "0", s.value(`SELECT max(terminate_wait_seconds)::text FROM commands WHERE status = 'pending'`))
}

func TestRebalanceIsDurableAndAskedOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path, body = "/api/agents/a1/rebalance-recommendation", `{"instance_id":"i-1","detected_at":"2026-11-22T10:00:00.000001"}`
	s.wf.replica = workflows.ReplicaAnswer{ReplicaID: "r1", OperationID: "replica/r1"}

	s.wf.fails(workflows.Unreachable.New("away"))
	s.call(s.acme, "POST", path, body).holds(t, 200,
		`{"success":true,"action":"monitor","risk_score":0.0,"reason":"Risk is acceptable (0.00%), continuing to monitor"}`)
	require.Equal(t, "i-1 rebalance-recommendation",
		s.value(`SELECT instance_id || ' ' || kind FROM notices WHERE delivered_at IS NULL`),
		"durable, so it is delivered later")
	s.wf.fails(nil)
	s.call(s.acme, "POST", path, body).holds(t, 200, `{"replica_id":"r1","operation_id":"replica/r1"}`)
	asked := last[workflows.EmergencyInput](t, s.wf)
	require.Equal(t, []any{"i-1", interruption.Rebalance}, []any{asked.InstanceID, asked.Kind})
	s.exec(`UPDATE notices SET delivered_at = now()`)
	before := s.wf.count()
	s.call(s.acme, "POST", path, body).holds(t, 200, `{"success":true}`)
	s.call(s.acme, "POST", path, `{"instance_id":"i-0"}`).holds(t, 200, `{"success":true}`)
	s.call(s.acme, "POST", "/api/agents/a2/rebalance-recommendation", `{"instance_id":"i-2"}`).holds(t, 200,
		`{"success":true}`)
	require.Equal(t, before, s.wf.count(), "said again, by a replaced instance, or in manual mode")
	s.call(s.acme, "POST", path, `{}`).holds(t, 400, `{}`)
	s.call(s.acme, "POST", path, `{"instance_id":"i-1","detected_at":"soon"}`).holds(t, 200, `{}`)

	s.market(0.0125, 0.0131, 0.0119)
	s.exec(
		`
			INSERT INTO interruptions (client_id, instance_id, kind, pool_id, proven)
			SELECT 'c1', 'i-past-' || n, 'termination-notice', 't3.medium.us-east-1a', true
			FROM generate_series(1, 10) n`,
	)
	s.call(s.acme, "POST", path, body).holds(t, 200,
		`{"action":"switch","target_mode":"spot","target_pool_id":"t3.medium.us-east-1c","target_pool_name":"t3.medium (us-east-1c)","reason":"Current pool has elevated interruption risk (33.33%)"}`)
}

func TestCleanupAndTerminationReports(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/agents/a1/cleanup-report"

	s.call(s.acme, "POST", path,
		`{"timestamp":"2026-11-22T10:00:00Z","snapshots":{"type":"snapshots","deleted":["snap-1"],"failed":[{"id":"snap-2","error":"in use"}],"cutoff_date":"2026-11-15T10:00:00"},
		"amis":{"type":"amis","deleted_amis":["ami-1","ami-2"],"deleted_snapshots":null,"failed":[],"error":"can't compare offset-naive and offset-aware datetimes"}}`).
		holds(t, 200,
			`{"success":true,"message":"Cleanup report recorded","deleted_snapshots":1,"deleted_amis":2,"failed_count":1}`)
	require.Equal(
		t,
		"2026-11-22 10:00 in use",
		s.value(
			`
				SELECT to_char(executed_at AT TIME ZONE 'UTC',
					'YYYY-MM-DD HH24:MI') || ' ' || (details->'snapshots'->'failed'->0->>'error')
				FROM cleanup_reports`,
		),
	)
	s.call(s.acme, "POST", path, `{"snapshots":{"failed":["a\u0000b"]}}`).holds(t, 400, `{}`)
	s.call(s.acme, "POST", "/api/agents/a1/termination", `{"reason":"spot termination"}`).holds(t, 200,
		`{"success":true}`)
	require.Equal(t, "offline", s.statusOf("a1"))
	require.Equal(t, "Agent a1 terminated: spot termination",
		s.value(`SELECT message FROM notifications WHERE severity = 'warning'`))
	require.Equal(t, "primary", s.role("i-1"))
	s.call(s.acme, "GET", "/api/agents/a1/replica-config", "").holds(t, 200, `{"enabled":false,"count":0}`)
}
