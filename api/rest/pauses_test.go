package rest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPausesOverHTTP(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.market(0.0300, 0.0131, 0.0119)
	const issue, toC = "/api/agents/a1/issue-switch-command", `{"target_mode":"spot","target_pool_id":"t3.medium.us-east-1c"}`
	paused := func() string {
		return s.value(
			`
				SELECT coalesce(string_agg(scope || ' ' || subject || CASE WHEN by_operator THEN ' ops' ELSE '' END,
					', '
					ORDER BY scope, by_operator),
					'')
				FROM pauses
				WHERE until > now()`,
		)
	}

	s.call(operatorToken, "POST", "/api/admin/pauses", `{"scope":"global","minutes":999999}`).holds(t, 400,
		`{"details":{"minutes":["Must be less than or equal to 129600."]}}`)
	s.call(s.acme, "POST", "/api/client/agents/a1/pause", ``).holds(t, 200, `{"success":true,"until":"*"}`)
	require.Equal(
		t,
		"true",
		s.value(
			`SELECT (until BETWEEN now() + interval '59 minutes' AND now() + interval '61 minutes')::text FROM pauses`,
		),
		"an hour, when nobody says",
	)
	s.call(s.acme, "POST", issue, toC).holds(t, 409, `{"code":"switch.paused"}`)
	s.call(s.acme, "GET", "/api/agents/a1/switch-recommendation", "").holds(t, 200,
		`{"decision_type":"stay_spot","will_auto_execute":false}`)
	s.call(s.acme, "POST", "/api/client/agents/a1/resume", ``).holds(t, 200, `{"success":true,"lifted":true}`)
	s.call(s.acme, "POST", "/api/client/agents/a1/resume", ``).holds(t, 200, `{"success":true,"lifted":false}`)

	until := time.Now().Add(48 * time.Hour).UTC().Format(time.RFC3339)
	s.call(s.acme, "POST", "/api/client/c1/pause", `{"until":"`+until+`","reason":"black friday"}`).holds(t, 200,
		`{"until":"`+until+`"}`)
	s.call(operatorToken, "POST", "/api/admin/pauses", `{"client_id":"c1","minutes":5}`).holds(t, 200, `{}`)
	s.call(operatorToken, "POST", "/api/admin/pauses", `{"scope":"global","minutes":5,"reason":"AWS"}`).holds(t, 200,
		`{}`)
	require.Equal(t, "client c1, client c1 ops, global  ops", paused())
	got := s.call(s.acme, "GET", "/api/client/c1/pauses", "")
	require.Len(t, got.body["pauses"], 3, got.raw)
	require.Len(t, s.call(s.beta, "GET", "/api/client/c2/pauses", "").body["pauses"], 1, "the global one")
	require.Len(t, s.call(operatorToken, "GET", "/api/admin/pauses", "").body["pauses"], 3)
	left := s.call(s.acme, "POST", "/api/client/c1/resume", `{}`)
	left.holds(t, 200, `{"lifted":true}`)
	require.Len(t, left.body["still_paused"], 2, "what operators have paused is theirs to lift")
	s.call(s.acme, "POST", issue, toC).holds(t, 409, `{"code":"switch.paused"}`)
	s.call(s.acme, "POST", "/api/client/instances/i-1/force-switch", `{"target":"ondemand"}`).holds(t, 200,
		`{"success":true}`)
	s.exec(`DELETE FROM commands; DELETE FROM operations`)
	s.call(operatorToken, "DELETE", "/api/admin/pauses?scope=global", "").holds(t, 200, `{"lifted":true}`)
	s.call(operatorToken, "DELETE", "/api/admin/pauses?client_id=c1", "").holds(t, 200,
		`{"lifted":true,"still_paused":[]}`)
	s.call(s.acme, "POST", issue, toC).holds(t, 201, `{}`)

	s.call(s.acme, "POST", "/api/client/agents/b1/pause", `{}`).holds(t, 404, `{"code":"agent.not_found"}`)
	s.call(s.acme, "POST", "/api/client/agents/a1/pause", `{"until":"2020-01-01T00:00:00Z"}`).holds(t, 400,
		`{"code":"engine.bad_pause"}`)
	s.call(s.acme, "POST", "/api/client/agents/a1/pause", `{"until":"2199-01-01T00:00:00Z"}`).holds(t, 400,
		`{"code":"engine.bad_pause"}`)
	s.call(s.acme, "POST", "/api/client/agents/a1/pause", `{"minutes":0}`).holds(t, 400, `{}`)
	s.call(operatorToken, "POST", "/api/admin/pauses", `{"agent_id":"zz"}`).holds(t, 404, `{"code":"agent.not_found"}`)
	require.Empty(t, paused())
}

func TestMovingLimits(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/admin/moving-limits"

	got := s.call(operatorToken, "GET", path, "")
	require.Equal(t, []any{
		map[string]any{
			"client_id":          nil,
			"max_moving_percent": 20.0,
			"agents":             3.0,
		}, map[string]any{"client_id": "c1", "max_moving_percent": 10.0, "agents": 2.0},
		map[string]any{"client_id": "c2", "max_moving_percent": 10.0, "agents": 1.0},
	}, got.body["limits"])
	for range 2 {
		s.call(operatorToken, "POST", path, `{"max_moving_percent":50,"client_id":"c1"}`).holds(t, 200,
			`{"success":true}`)
		s.call(operatorToken, "POST", path, `{"max_moving_percent":5}`).holds(t, 200, `{"success":true}`)
	}
	require.Equal(
		t,
		"50.00 10.00 5.00",
		s.value(
			`
				SELECT string_agg(max_moving_percent::text, ' '
					ORDER BY id) || ' ' || (SELECT max_moving_percent
					FROM fleet_limits)
				FROM clients`,
		),
	)
	require.Equal(
		t,
		"c1 10 50 operator:ops, 20 5 operator:ops",
		s.value(
			`
				SELECT string_agg(concat_ws(' ', client_id, metadata->'before'->>'max_moving_percent',
					metadata->'after'->>'max_moving_percent', actor),
					', '
					ORDER BY id)
		FROM events WHERE type = 'moving_limit_changed'`,
		),
	)
	s.call(operatorToken, "POST", path, `{"max_moving_percent":101}`).holds(t, 400, `{}`)
	s.call(operatorToken, "POST", path, `{}`).holds(t, 400, `{}`)
	s.call(operatorToken, "POST", path, `{"max_moving_percent":5,"client_id":"zz"}`).holds(t, 404,
		`{"code":"clients.not_found"}`)
}
