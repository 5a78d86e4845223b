package rest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows"
)

func TestAccounts(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const create = "/api/admin/clients/create"

	got := s.call(operatorToken, "POST", create, `{"name":" Gamma "}`)
	got.holds(t, 200, `{"success":true}`)
	client := got.body["client"].(map[string]any)
	require.Equal(t, []any{"Gamma", "active"}, []any{client["name"], client["status"]})
	token, id := client["token"].(string), client["id"].(string)
	s.call(operatorToken, "GET", "/api/admin/clients/"+id+"/token", "").holds(t, 200,
		`{"client_name":"Gamma","token":"`+token+`"}`)
	s.call(operatorToken, "POST", create, `{"name":"ACME"}`).holds(t, 409, `{"error":"Client \"ACME\" already exists"}`)
	s.call(operatorToken, "POST", create, `{"name":"Delta","email":"gamma@example.com"}`).holds(t, 409, `{}`)
	for _, body := range []string{`{}`, `{"name":"  "}`, `{"name":null}`} {
		s.call(operatorToken, "POST", create, body).holds(t, 400, `{"error":"Client name is required"}`)
	}
	for _, body := range []string{`{"name":5}`, `["Acme"]`, ``, `{oops`,
		`{"name":"` + strings.Repeat("n", 300) + `"}`} {
		s.call(operatorToken, "POST", create, body).holds(t, 400, `{}`)
	}
	s.call(s.acme, "POST", create, `{"name":"Mine"}`).holds(t, 403, `{}`)
	s.call(s.acme, "GET", "/api/admin/clients/c1/token", "").holds(t, 403, `{}`)
	s.call(operatorToken, "GET", "/api/admin/clients/nope/token", "").holds(t, 404, `{"error":"Client not found"}`)

	fresh := s.call(operatorToken, "POST", "/api/admin/clients/c1/regenerate-token", "")
	fresh.holds(t, 200,
		`{"success":true,"message":"Token regenerated successfully. Update all agents with the new token."}`)
	s.call(s.acme, "GET", "/api/agents/a1/replicas", "").holds(t, 401, `{"error":"Invalid client token"}`)
	s.call(fresh.body["token"].(string), "GET", "/api/agents/a1/replicas", "").holds(t, 200, `{}`)
}

// TestDeleteClient holds that nothing is forgotten which we launched: the data
// outlives it.
func TestDeleteClient(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/admin/clients/c1"

	s.call(operatorToken, "DELETE", "/api/admin/clients/nope", "").holds(t, 404, `{"error":"Client not found"}`)
	s.exec(`UPDATE instances SET launched_by = 'control-plane', role = 'retiring' WHERE id = 'i-0'`)
	s.call(operatorToken, "DELETE", path, "").holds(t, 503, `{"code":"clients.still_ending","instances":1}`)
	require.Equal(t, 2, s.wf.count(), "both agents are removed first")
	require.Equal(t, "1", s.value(`SELECT count(*)::text FROM clients WHERE id = 'c1'`))
	s.exec(
		`
			UPDATE instances
			SET role = 'retired'
			WHERE client_id = 'c1' AND id <> 'i-0';
			UPDATE agents
			SET status = 'deleted'
			WHERE client_id = 'c1'`,
	)
	s.call(operatorToken, "DELETE", path, "").holds(t, 503, `{"code":"clients.still_ending","instances":1}`)
	require.Equal(t, 3, s.wf.count(), "a removal that did not get to the end is asked for again")
	s.exec(`UPDATE instances SET role = 'retired', terminated_at = now() WHERE id = 'i-0'`)
	s.call(operatorToken, "DELETE", path, "").holds(t, 200,
		`{"success":true,"message":"Client 'Acme' and all associated data have been deleted"}`)
	require.Equal(t, 3, s.wf.count())
	require.Equal(
		t,
		"client_deleted operator:ops",
		s.value(
			`SELECT string_agg(type || ' ' || actor, ', ') FROM events WHERE client_id IS NULL AND type <> 'auth_failed'`,
		),
		"one event is left of it",
	)
	require.Equal(
		t,
		`Acme 2`,
		s.value(
			`
				SELECT (metadata->'before'->>'name') || ' ' || (metadata->'before'->>'agents')
				FROM events
				WHERE type = 'client_deleted'`,
		),
	)
	s.call(operatorToken, "DELETE", path, "").holds(t, 404, `{}`)
	s.call(s.acme, "GET", "/api/agents/a1/replicas", "").holds(t, 401, `{}`)
	require.Equal(t, "0", s.value(`SELECT count(*)::text FROM agents WHERE client_id = 'c1'`))
}

// TestDeleteClientWaitsForLaunches holds that a launch whose outcome is unknown
// yet may still become an instance.
func TestDeleteClientWaitsForLaunches(t *testing.T) {
	t.Parallel()
	s := newStack(t)

	s.exec(
		`
			INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher)
			VALUES ('r1', 'c1', 'a1', 'manual', 'i-1', 'retiring', 'control-plane')`,
	)
	s.exec(
		`
			INSERT INTO launches (client_token, client_id, agent_id, replica_id, pool_id, mode, request)
			VALUES ('t', 'c1', 'a1', 'r1', 't3.medium.us-east-1a', 'spot', '{}')`,
	)
	s.call(operatorToken, "DELETE", "/api/admin/clients/c1", "").holds(t, 503, `{"code":"clients.still_ending"}`)
	s.exec(`UPDATE replicas SET state = 'retired', ended_at = now() WHERE id = 'r1'`)
	s.call(operatorToken, "DELETE", "/api/admin/clients/c1", "").holds(t, 200, `{"success":true}`)
}

func TestRemoveClientWantsItsName(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/admin/clients/c1/remove"

	for _, body := range []string{``, `{}`, `{"confirm":""}`} {
		s.call(operatorToken, "POST", path, body).holds(t, 400, `{"code":"request.invalid"}`)
	}
	s.call(operatorToken, "POST", path, `{"confirm":"acme"}`).holds(t, 400,
		`{"code":"clients.not_confirmed","name":"Acme"}`)
	s.call(operatorToken, "POST", "/api/admin/clients/nope/remove", `{"confirm":"Acme"}`).holds(t, 404, `{}`)
	require.Zero(t, s.wf.count())
	s.call(operatorToken, "POST", path, `{"confirm":"Acme"}`).holds(t, 200,
		`{"success":true,"message":"Client 'Acme' and all associated data have been deleted"}`)
	require.Equal(t, 2, s.wf.count(), "both agents are removed first")
	require.Equal(t, "0", s.value(`SELECT count(*)::text FROM clients WHERE id = 'c1'`))
}

func TestAgentSettings(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const a1, a2 = "/api/client/agents/a1", "/api/client/agents/a2"

	s.call(s.acme, "POST", a1+"/toggle-enabled", `{"enabled":false}`).holds(t, 200, `{"success":true}`)
	require.Equal(t, "Agent a1 disabled", s.value(`SELECT message FROM events WHERE type = 'agent_toggled'`))
	s.call(s.acme, "POST", a1+"/toggle-enabled", `{}`).holds(t, 200, `{"success":true}`)
	require.Equal(t, "true", s.value(`SELECT enabled::text FROM agents WHERE id = 'a1'`))
	s.call(s.acme, "POST", a1+"/toggle-enabled", `{"enabled":5}`).holds(t, 400, `{}`)
	s.call(s.acme, "POST", "/api/client/agents/nope/toggle-enabled", `{"enabled":true}`).holds(t, 404, `{}`)
	s.call(s.beta, "POST", a1+"/toggle-enabled", `{"enabled":false}`).holds(t, 404, `{}`)

	s.call(s.acme, "POST", a1+"/settings",
		`{"auto_terminate_enabled":0,"replica_enabled":true,"replica_count":1,"auto_switch_enabled":false}`).holds(t,
		200, `{"success":true}`)
	require.Equal(
		t,
		"false true 1",
		s.value(
			`SELECT auto_terminate_enabled || ' ' || replica_enabled || ' ' || replica_count FROM agents WHERE id = 'a1'`,
		),
	)
	require.Equal(t, workflows.ConfigureInput{Keeping: agent.KeepOff, By: "client:Acme"},
		last[workflows.ConfigureInput](t, s.wf))
	require.Contains(t, s.value(`SELECT metadata::text FROM events WHERE type = 'agent_settings_changed'`),
		`"before": {"enabled": true, "replica_count": 0`)
	s.call(s.acme, "POST", a1+"/settings", `{"replica_count":-3}`).holds(t, 400, `{}`)
	s.call(
		s.acme,
		"POST",
		a1+"/settings",
		`{"min_savings_percent":22.5,"risk_threshold":0.1,"max_switches_per_week":4,"max_switches_per_day":0,"min_pool_duration_hours":6}`,
	).holds(t, 200, `{"success":true}`)
	s.call(s.acme, "GET", "/api/agents/a1/config", "").holds(t, 200,
		`{"min_savings_percent":22.5,"risk_threshold":0.1,"max_switches_per_week":4,"min_pool_duration_hours":6}`)
	require.Equal(t, "0", s.value(`SELECT max_switches_per_day::text FROM agents WHERE id = 'a1'`))
	require.Equal(
		t,
		"15.00 22.50",
		s.value(
			`
				SELECT concat_ws(' ', metadata->'before'->>'min_savings_percent',
					metadata->'after'->>'min_savings_percent')
				FROM events
				WHERE type = 'agent_settings_changed'
				ORDER BY id DESC
				LIMIT 1`,
		),
	)
	for _, bad := range []string{`{"min_savings_percent":101}`, `{"risk_threshold":1.1}`,
		`{"max_switches_per_week":-1}`, `{"max_switches_per_day":"many"}`, `{"min_pool_duration_hours":1.5}`} {
		s.call(s.acme, "POST", a1+"/settings", bad).holds(t, 400, `{}`)
	}
	s.call(s.acme, "POST", "/api/client/agents/nope/settings", `{}`).holds(t, 404, `{}`)

	// The page sends back 0 and 1 for what was not touched.
	s.call(s.acme, "POST", a1+"/config",
		`{"terminateWaitMinutes":45,"autoSwitchEnabled":false,"manualReplicaEnabled":true,"autoTerminateEnabled":1}`).
		holds(t, 200, `{"success":true,"auto_switch_enabled":false,"manual_replica_enabled":true}`)
	require.Equal(t, "2700", s.value(`SELECT terminate_wait_seconds::text FROM agents WHERE id = 'a1'`))
	s.call(s.acme, "POST", a1+"/config", `{"terminate_wait_minutes":"7"}`).holds(t, 200,
		`{"auto_switch_enabled":true,"manual_replica_enabled":false}`)
	require.Equal(t, "420", s.value(`SELECT terminate_wait_seconds::text FROM agents WHERE id = 'a1'`))
	asked := s.wf.count()
	for _, body := range []string{`{"autoSwitchEnabled":true,"manualReplicaEnabled":true}`,
		`{"terminateWaitMinutes":"ten"}`, `{"terminateWaitMinutes":-1}`, `{"terminateWaitMinutes":1.5}`,
		`{"autoSwitchEnabled":"false"}`, ``} {
		s.call(s.acme, "POST", a1+"/config", body).holds(t, 400, `{}`)
	}
	s.call(s.acme, "POST", a1+"/config", `{}`).holds(t, 200, `{"auto_switch_enabled":true}`)
	s.call(s.acme, "POST", a1+"/config", `{"autoSwitchEnabled":true,"terminateWaitMinutes":null}`).holds(t, 200, `{}`)
	require.Equal(t, asked, s.wf.count(), "what is so already is nobody's business")
	s.call(s.acme, "POST", a2+"/config", `{"manualReplicaEnabled":0}`).holds(t, 200,
		`{"auto_switch_enabled":false,"manual_replica_enabled":false}`)
	s.call(s.acme, "POST", "/api/client/agents/nope/config", `{"autoSwitchEnabled":true}`).holds(t, 404,
		`{"error":"Agent not found"}`)

	s.call(s.beta, "DELETE", a1, "").holds(t, 404, `{"error":"Agent not found"}`)
	s.call(s.acme, "DELETE", a1, "").holds(t, 200,
		`{"success":true,"message":"Agent deleted successfully","agent_id":"a1","operation_id":"removal/a1"}`)
	s.exec(`UPDATE agents SET status = 'deleted' WHERE id = 'a1'`)
	asked = s.wf.count()
	s.call(s.acme, "DELETE", a1, "").holds(t, 200, `{"success":true,"agent_id":"a1"}`)
	require.Equal(t, asked, s.wf.count())
	s.call(s.acme, "POST", a1+"/config", `{}`).holds(t, 404, `{}`)
}

func TestForceSwitch(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/client/instances/i-1/force-switch"

	for body, details := range map[string]string{
		`{"target":"on-demand"}`: `{"target":["Must be one of: ondemand, pool, spot."]}`,
		`{}`:                     `{"target":["Missing data for required field."]}`,
	} {
		got := s.call(s.acme, "POST", path, body)
		got.holds(t, 400, `{"error":"Validation failed","details":`+details+`}`)
	}
	s.call(s.acme, "POST", path, `{"target":3,"pool_id":9}`).holds(t, 400,
		`{"details":{"pool_id":["Not a valid string."],"target":["Not a valid string."]}}`)
	s.call(s.acme, "POST", path, `{"target":"spot"}`).holds(t, 400, `{}`)
	s.call(s.acme, "POST", path, `{"target":"pool","pool_id":"nope"}`).holds(t, 404, `{"error":"Pool not found"}`)
	s.call(s.acme, "POST", path, `{"target":"pool","pool_id":"`+strings.Repeat("p", 110)+`"}`).holds(t, 400, `{}`)
	s.call(s.acme, "POST", path, `{"target":"pool","pool_id":"t3.medium.us-east-1b","new_instance_type":"t3.large"}`).
		holds(t, 400, `{}`)
	s.call(s.acme, "POST", "/api/client/instances/i-none/force-switch", `{"target":"ondemand"}`).holds(t, 404,
		`{"error":"Instance or agent not found"}`)
	s.call(s.beta, "POST", path, `{"target":"ondemand"}`).holds(t, 404, `{"error":"Instance or agent not found"}`)
	s.call(s.acme, "POST", "/api/client/instances/i-0/force-switch", `{"target":"ondemand"}`).holds(t, 404,
		`{"error":"No agent assigned to instance"}`)
	require.Equal(t, "0", s.value(`SELECT count(*)::text FROM commands`))

	// A switch that could not begin leaves no order behind.
	s.wf.err = workflows.Unreachable.New("away")
	s.call(s.acme, "POST", path, `{"target":"ondemand"}`).holds(t, 503, `{}`)
	require.Equal(t, "cancelled", s.value(`SELECT status FROM commands`))
	s.wf.err = nil
	got := s.call(s.acme, "POST", path, `{"target":"pool","pool_id":"t3.medium.us-east-1c"}`)
	got.holds(t, 200,
		`{"success":true,"message":"Switch command queued. Agent will execute on next check.","command_id":"*"}`)
	asked := last[workflows.RequestSwitchInput](t, s.wf)
	require.Equal(t, got.body["command_id"], asked.CommandID)
	require.Equal(t, switching.Target{
		Mode:         agent.Spot,
		PoolID:       "t3.medium.us-east-1c",
		InstanceType: "t3.medium",
	}, asked.Target)
	require.Equal(t, "manual", asked.Trigger)
	require.Equal(t, "75 300 pending",
		s.value(`SELECT priority || ' ' || terminate_wait_seconds || ' ' || status FROM commands WHERE id = $1`,
			asked.CommandID))
	s.call(s.acme, "POST", path, `{"target":"ondemand"}`).holds(t, 409,
		`{"code":"switch.busy","operation_id":"switch/`+asked.CommandID+`"}`)
}

// TestANewClientsTokenIsForItsAgents: what deployed agents do works, and nothing else
// does, unless the operator says so.
func TestANewClientsTokenIsForItsAgents(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	made := func(body string) (id, token, may string) {
		got := s.call(operatorToken, "POST", "/api/admin/clients/create", body)
		require.Equal(t, 200, got.status, got.raw)
		client := got.body["client"].(map[string]any)
		return client["id"].(string), client["token"].(string), client["legacy_token"].(string)
	}
	id, token, may := made(`{"name":"Gamma"}`)
	require.Equal(t, "agent", may)
	registered := s.call(token, "POST", "/api/agents/register", `{"client_token":"`+token+`","logical_agent_id":"web",
		"hostname":"h","instance_id":"i-77","instance_type":"t3.medium","region":"us-east-1","az":"us-east-1a",
		"ami_id":"ami-1","mode":"spot","agent_version":"4.0.0"}`)
	require.Equal(t, 200, registered.status, registered.raw)
	agent := registered.body["agent_id"].(string)
	require.Equal(t, 200, s.call(token, "GET", "/api/client/validate", "").status)
	require.Equal(t, 200, s.call(token, "POST", "/api/agents/"+agent+"/heartbeat", `{}`).status)
	require.Equal(t, 200, s.call(token, "GET", "/api/agents/"+agent+"/replicas", "").status)
	s.call(token, "GET", "/api/client/"+id, "").holds(t, 403, `{"code":"credentials.not_for_this"}`)
	s.call(token, "DELETE", "/api/client/agents/"+agent, "").holds(t, 403, `{"code":"credentials.not_for_this"}`)

	id, token, may = made(`{"name":"Delta","legacy_token":"all"}`)
	require.Equal(t, "all", may)
	require.Equal(t, 200, s.call(token, "GET", "/api/client/"+id, "").status)
	_, token, _ = made(`{"name":"Epsilon","legacy_token":"off"}`)
	require.Equal(t, 401, s.call(token, "GET", "/api/client/validate", "").status)
	s.call(operatorToken, "POST", "/api/admin/clients/create", `{"name":"Zeta","legacy_token":"some"}`).
		holds(t, 400, `{"code":"request.invalid"}`)
	require.Equal(t, "all all", s.value(`SELECT string_agg(legacy_token, ' ') FROM clients WHERE id IN ('c1', 'c2')`))
}
