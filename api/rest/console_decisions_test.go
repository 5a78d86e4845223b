package rest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFailoversAreMeasuredAgainstTheTwoMinutes(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(aStory)
	s.exec(`
INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline, door, received_at, delivered_at, result,
    decided_at) VALUES
	('c2', 'b1', 'i-b', 'termination-notice', now(), 'http', now() - interval '2 minutes', now(), 'lost', now()),
	('c2', 'b1', 'i-old', 'termination-notice', now() - interval '50 days', 'http', now() - interval '51 days', now(),
	'lost', now() - interval '50 days')`)

	got := s.call(operatorToken, "GET", "/api/failovers", "")
	got.holds(t, 200, `{"notice_ms":120000}`)
	overall := got.body["overall"].(map[string]any)
	require.Equal(t, []any{2.0, 1.0, 1.0}, []any{overall["count"], overall["lost"], overall["in_time"]})
	require.InDelta(t, 2020, overall["p50_ms"], 5)
	require.Len(t, got.body["clients"], 2)
	newest := got.body["failovers"].([]any)
	require.Len(t, newest, 2, "the one of 51 days ago is too old")
	won := newest[0].(map[string]any)
	require.Equal(t, "termination/a1/i-1", won["operation_id"])
	require.Equal(t, []any{"launch", "eventbridge", "promoted", "web-1"},
		[]any{won["path"], won["door"], won["outcome"], won["agent_name"]})
	require.InDelta(t, 118_000, won["left_ms"], 5)
	own := s.call(s.acme, "GET", "/api/failovers?client_id=c2", "").body["clients"].([]any)
	require.Len(t, own, 1, "a tenant reads its own")
	require.Equal(t, "c1", own[0].(map[string]any)["client_id"])
	require.Len(t, s.call(operatorToken, "GET", "/api/failovers?days=90&limit=1", "").body["failovers"], 1)
}

func TestDecisionsAreSummedUp(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`
INSERT INTO decisions (client_id, agent_id, action, engine, engine_version, shadow, source, period, outcome, repeats,
    created_at, last_at, last_period, newest, vetoes, scores, inputs, pool_id, live_action, live_pool_id, live_regret)
VALUES
	('c1', 'a1', 'stay_spot', 'rules', '1', false, 'schedule', now() - interval '2 hours', '', 3,
	now() - interval '2 hours', now() - interval '1 hour', now() - interval '1 hour', true, '[]',
	'[{"vetoes":[{"code":"engine.too_risky"}]},{"vetoes":[{"code":"engine.too_risky"}]}]', '{}', '', '', '', 0),
	('c1', 'a2', 'stay_spot', 'rules', '1', false, 'schedule', now() - interval '1 hour', '', 1,
	now() - interval '1 hour', NULL, NULL, true, '[{"code":"engine.cooling_down"}]', '[]',
	'{"wanted":{"action":"switch_to_spot"}}', '', '', '', 0),
	('c2', 'b1', 'switch_to_spot', 'rules', '1', false, 'schedule', now() - interval '1 hour', 'ordered', 1,
	now() - interval '1 hour', NULL, NULL, true, '[]', '[]', '{}', 'm5.large.us-east-1b', '', '', 0),
	('c2', 'b1', 'stay_spot', 'onnx', 'm7', true, 'schedule', now() - interval '1 hour', '', 1,
	now() - interval '1 hour', NULL, NULL, true, '[]', '[]', '{}', '', 'switch_to_spot', 'm5.large.us-east-1b', 0.02);
INSERT INTO job_runs (job, period, state, counts, started_at, ended_at)
VALUES ('fleet-decisions', now() - interval '1 hour', 'succeeded',
	'{"evaluated":3,"moved":1,"stayed":1,"failed":0,"lapsed":0,"shadow":1,"held: engine.cooling_down":1}',
	now() - interval '1 hour', now() - interval '1 hour' + interval '1500 milliseconds')`)

	got := s.call(operatorToken, "GET", "/api/decisions", "")
	got.holds(t, 200, `{}`)
	results := map[string]float64{}
	for _, x := range got.body["results"].([]any) {
		r := x.(map[string]any)
		results[r["result"].(string)] = r["decisions"].(float64)
	}
	require.Equal(t, map[string]float64{"stayed": 3, "held": 1, "moved": 1}, results, "one that repeats counts each time")
	vetoes := got.body["vetoes"].([]any)
	require.Equal(t, map[string]any{"code": "engine.too_risky", "scope": "place", "decisions": 3.0, "agents": 1.0},
		vetoes[0], "two places in one decision count once")
	require.Len(t, vetoes, 2)
	engines := got.body["engines"].([]any)
	require.Len(t, engines, 2)
	shadow := engines[1].(map[string]any)
	require.Equal(t, []any{"m7", true, 1.0, 0.0, 0.0, 0.02},
		[]any{shadow["version"], shadow["shadow"], shadow["compared"], shadow["agreed"], shadow["agreement"],
			shadow["regret_per_hour"]})
	require.Nil(t, engines[0].(map[string]any)["agreement"], "the live engine is compared with nothing")
	run := got.body["runs"].([]any)[0].(map[string]any)
	require.Equal(t, []any{1.0, 1.0, map[string]any{"engine.cooling_down": 1.0}, 1500.0},
		[]any{run["moved"], run["held"], run["held_by"], run["took_ms"]})

	own := s.call(s.acme, "GET", "/api/decisions?client_id=c2", "")
	require.Empty(t, own.body["runs"], "runs are over all clients")
	require.Len(t, own.body["engines"], 1)
	require.Empty(t, s.call(s.acme, "GET", "/api/decisions?hours=1", "").body["vetoes"])
}
