package rest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// described is what EC2 said of the primaries of a1 and b1.
const described = `
INSERT INTO launch_templates (agent_id, instance_id, template) VALUES
	('a1', 'i-1', '{"from":"i-1","image_id":"ami-1","product":"Linux/UNIX","key_name":"ops","instance_profile_arn":"arn:p",
	"user_data":"c2VjcmV0","security_group_ids":["sg-1"],"subnets":{"us-east-1b":[],"us-east-1a":[]},
	"volumes":[{"device":"/dev/xvda","gib":8,"type":"gp3","encrypted":true},{"device":"/dev/sdf","gib":100,"snapshot_id":"snap-1",
	"keep":true}],"tags":{"team":"payments","=cmd":"=1"},"not_copied":["its elastic address 203.0.113.7"],"unread":["licences"]}'),
	('b1', 'i-b', '{"from":"i-b","image_id":"ami-2","user_data_hidden":true,"tags":{"team":"search"}}')`

func TestALaunchDescriptionIsShown(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(described)

	got := s.call(s.acme, "GET", "/api/client/agents/a1/description", "")
	got.holds(t, 200, `{"agent_id":"a1","instance_id":"i-1","image_id":"ami-1","product":"Linux/UNIX","key_name":"ops",
		"instance_profile_arn":"arn:p","user_data":"copied","security_group_ids":["sg-1"],"zones":["us-east-1a","us-east-1b"],
		"revision":1,"lacks":["its elastic address 203.0.113.7"],"unread":["licences"],
		"tags":[{"key":"=cmd","value":"=1"},{"key":"team","value":"payments"}],
		"volumes":[{"device":"/dev/xvda","gib":8,"type":"gp3","encrypted":true,"outlives_instance":false,"snapshot_id":null},
		{"device":"/dev/sdf","gib":100,"type":"","encrypted":false,"outlives_instance":true,"snapshot_id":"snap-1"}],
		"read_at":"*","changed_at":"*"}`)
	require.NotContains(t, got.raw, "c2VjcmV0", "user data may hold secrets")
	s.call(operatorToken, "GET", "/api/client/agents/b1/description", "").holds(t, 200, `{"user_data":"hidden"}`)
	s.call(s.acme, "GET", "/api/client/agents/a2/description", "").holds(t, 200, `{"instance_id":null,"revision":0,"read_at":null,
		"tags":[],"volumes":[],"lacks":[],"zones":[]}`)
	s.call(s.acme, "GET", "/api/client/agents/b1/description", "").holds(t, 404, `{"code":"agent.not_found"}`)
}

// TestSavingsAreSummedByATag: the sums of the values are the month's, also where an agent has no such tag, and a tenant's
// are its own.
func TestSavingsAreSummedByATag(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(described)
	s.exec(`INSERT INTO client_savings (client_id, month, baseline, actual, savings, provisional)
		SELECT c, date_trunc('month', now() AT TIME ZONE 'UTC')::date, 6, 3, 3, true FROM unnest(ARRAY['c1', 'c2']) c`)
	s.exec(`INSERT INTO savings_lines (client_id, month, instance_id, agent_id, agent, instance_type, region, az, mode, seconds,
			primary_seconds, unpriced_seconds, baseline, primary_cost, beside_cost, volume_cost, product, currency)
		SELECT x.client, date_trunc('month', now() AT TIME ZONE 'UTC')::date, x.instance, x.agent, 'name', 't3.medium', 'us-east-1',
			'us-east-1a', 'spot', 3600, 3600, 0, 3, 1, 0.3, 0.2, 'Linux/UNIX', 'USD'
		FROM (VALUES ('c1', 'i-1', 'a1'), ('c1', 'i-2', 'a2'), ('c2', 'i-b', 'b1')) AS x (client, instance, agent)`)

	got := s.call(s.acme, "GET", "/api/savings/by-tag?tag=team&months=1", "")
	got.holds(t, 200, `{"tags":[{"tag":"=cmd","agents":1},{"tag":"team","agents":1}]}`)
	values := map[any]map[string]any{}
	for _, m := range got.body["months"].([]any) {
		values[m.(map[string]any)["value"]] = m.(map[string]any)
	}
	require.Len(t, values, 2, got.raw)
	for _, value := range []any{"payments", nil} {
		require.InDelta(t, 1.5, values[value]["savings"], 1e-9)
		require.InDelta(t, 1.5, values[value]["actual_cost"], 1e-9)
		require.InDelta(t, 0.5, values[value]["standby_cost"], 1e-9)
		require.InDelta(t, 3, values[value]["on_demand_cost"], 1e-9)
		require.Equal(t, true, values[value]["provisional"])
		require.Equal(t, "USD", values[value]["currency"])
	}
	s.call(operatorToken, "GET", "/api/savings/by-tag", "").holds(t, 200,
		`{"tags":[{"tag":"team","agents":2},{"tag":"=cmd","agents":1}],"months":[]}`)
	require.Len(t, s.call(operatorToken, "GET", "/api/savings/by-tag?tag=team", "").body["months"], 3)
	require.Len(t, s.call(operatorToken, "GET", "/api/savings/by-tag?tag=nope", "").body["months"], 1)
}

func TestEventQueuesAreListed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`INSERT INTO event_queues (queue, worker, received_at, waited_ms, error, updated_at) VALUES
		('https://q', '1@w', now(), 40, '', now()), ('https://q', '2@w', NULL, 0, 'access denied', now()),
		('https://q', '3@w', now(), 0, '', now() - interval '1 hour')`)
	queues := s.call(operatorToken, "GET", "/api/admin/event-queues", "").body["queues"].([]any)
	require.Len(t, queues, 2, "a worker that is gone is left out")
	first, second := queues[0].(map[string]any), queues[1].(map[string]any)
	require.Equal(t, "1@w", first["worker"])
	require.InDelta(t, 40, first["waited_ms"], 0)
	require.Nil(t, first["error"])
	require.Equal(t, "access denied", second["error"])
	require.Nil(t, second["received_at"])
	require.NotNil(t, second["seen_at"])
	s.call(s.acme, "GET", "/api/admin/event-queues", "").holds(t, 403, `{"code":"auth.operators_only"}`)
}

func TestComponentsAreForOperators(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.call(operatorToken, "GET", "/api/admin/components", "").holds(t, 200, `{"go":"*","components":"*"}`)
	s.call(s.acme, "GET", "/api/admin/components", "").holds(t, 403, `{"code":"auth.operators_only"}`)
}

func TestOperationsAreChosenByTheirCause(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`INSERT INTO operations (id, kind, client_id, agent_id, summary, cause, tend_at) VALUES
		('switch/1', 'switch', 'c1', 'a1', 'a move', 'cheaper', now()), ('switch/2', 'switch', 'c1', 'a1', 'a move', 'rebalance', now()),
		('switch/3', 'switch', 'c2', 'b1', 'a move', 'cheaper', now())`)
	require.Len(t, s.call(operatorToken, "GET", "/api/operations?cause=cheaper", "").body["operations"], 2)
	require.Len(t, s.call(s.acme, "GET", "/api/operations?cause=cheaper", "").body["operations"], 1)
	require.Empty(t, s.call(s.acme, "GET", "/api/operations?cause=cheap", "").body["operations"])
}
