package rest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/api/web"
)

// joining is the body of an agent that joins.
func joining(logicalID, instanceID string) string {
	return fmt.Sprintf(
		`{"logical_agent_id":%q,"instance_id":%q,"instance_type":"t3.medium","region":"us-east-1","az":"us-east-1a","mode":"spot","agent_version":"5.0.0"}`,
		logicalID,
		instanceID,
	)
}

// enrolment makes an enrolment of client c1 as an operator and returns its token.
func (s *stack) enrolment(body string) string {
	s.t.Helper()
	got := s.call(operatorToken, "POST", "/api/client/c1/credentials", body)
	require.Equal(s.t, 201, got.status, got.raw)
	return got.body["token"].(string)
}

// tenantToken makes a token of client c1 with a scope.
func (s *stack) tenantToken(name, scope string) string {
	s.t.Helper()
	return s.enrolment(fmt.Sprintf(`{"kind":"tenant","name":%q,"scope":%q}`, name, scope))
}

func TestAnAgentJoins(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	once := s.enrolment(`{"kind":"enrolment"}`)

	joined := s.call(once, "POST", "/api/agents/join", joining("web-9", "i-9"))
	joined.holds(t, 201,
		`{"agent_id":"*","client_id":"c1","token":"*","token_expires_at":"*","token_renew_after":"*","config":"*"}`)
	agent, token := joined.body["agent_id"].(string), joined.body["token"].(string)
	require.True(t, strings.HasPrefix(token, "spk-agent-"))
	again := s.call(once, "POST", "/api/agents/join", joining("web-9", "i-9"))
	require.Equal(t, 201, again.status, "the same instance may repeat it: the answer may have got lost")
	require.NotEqual(t, token, again.body["token"])
	s.call(once, "POST", "/api/agents/join", joining("web-9", "i-10")).holds(t, 401, `{"code":"credentials.used_up"}`)

	s.call(token, "POST", "/api/agents/"+agent+"/heartbeat", `{"status":"online","instance_id":"i-9"}`).holds(t, 200,
		`{"success":true}`)
	s.call(token, "GET", "/api/agents/"+agent+"/config", "").holds(t, 200, `{"enabled":true}`)
	s.call(token, "POST", "/api/agents/register", joining("web-9", "i-9")).holds(t, 200,
		fmt.Sprintf(`{"agent_id":%q}`, agent))
	require.Equal(t, "i-9",
		s.value(`SELECT instance_id FROM credentials WHERE kind = 'agent' AND last_used_at IS NOT NULL`))
	require.Equal(t, "0",
		s.value(`SELECT count(*)::text FROM events WHERE metadata::text LIKE '%spk-%' OR message LIKE '%spk-%'`),
		"no event shows a token")
	require.Equal(t, "0",
		s.value(`SELECT count(*)::text FROM credentials WHERE encode(token_hash, 'escape') LIKE '%spk-%'`))
}

func TestWhatAnEnrolmentIsGoodFor(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	many := s.enrolment(`{"kind":"enrolment","uses":2,"logical_agent_id":"web-9"}`)

	s.call(many, "POST", "/api/agents/join", joining("web-8", "i-8")).holds(t, 403,
		`{"code":"credentials.not_for_this"}`)
	s.call(many, "POST", "/api/agents/register", joining("web-9", "i-9")).holds(t, 403,
		`{"code":"credentials.not_for_this"}`)
	s.call(many, "GET", "/api/client/c1", "").holds(t, 403, `{"code":"credentials.not_for_this"}`)
	require.Equal(t, 201, s.call(many, "POST", "/api/agents/join", joining("web-9", "i-9")).status)
	require.Equal(t, 201, s.call(many, "POST", "/api/agents/join", joining("web-9", "i-10")).status)
	s.call(many, "POST", "/api/agents/join", joining("web-9", "i-11")).holds(t, 401, `{"code":"credentials.used_up"}`)

	short := s.enrolment(`{"kind":"enrolment","ttl_seconds":60}`)
	s.exec(`UPDATE credentials SET expires_at = now() - interval '1 second' WHERE kind = 'enrolment' AND uses = 1`)
	s.call(short, "POST", "/api/agents/join", joining("web-7", "i-7")).holds(t, 401, `{"code":"credentials.expired"}`)
	s.call(s.acme, "POST", "/api/agents/join", joining("web-7", "i-7")).holds(t, 403,
		`{"code":"credentials.not_for_this"}`)
	s.call("", "POST", "/api/agents/join", joining("web-7", "i-7")).holds(t, 401, `{"error":"Missing enrolment token"}`)
	s.call("spk-enrol-wrong", "POST", "/api/agents/join", joining("web-7", "i-7")).holds(t, 401,
		`{"error":"Invalid enrolment token"}`)
}

// TestAnEnrolmentIsNotReplayed: who reads the enrolment later, in the instance's user data,
// gets no token in the instance's name.
func TestAnEnrolmentIsNotReplayed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	join := func(enrolment, instanceID string) answer {
		return s.call(enrolment, "POST", "/api/agents/join", joining("web-9", instanceID))
	}
	beat := func(joined answer) {
		s.call(joined.body["token"].(string), "POST", "/api/agents/"+joined.body["agent_id"].(string)+"/heartbeat",
			`{"status":"online"}`).holds(t, 200, `{}`)
	}
	once := s.enrolment(`{"kind":"enrolment"}`)
	require.Equal(t, 201, join(once, "i-9").status)
	beat(join(once, "i-9"))
	join(once, "i-9").holds(t, 401, `{"code":"credentials.used_up"}`)

	twice := s.enrolment(`{"kind":"enrolment","uses":2}`)
	beat(join(twice, "i-9"))
	require.Equal(t, 201, join(twice, "i-9").status, "an agent that has lost its token uses the second one up")
	join(twice, "i-10").holds(t, 401, `{"code":"credentials.used_up"}`)

	many := s.enrolment(`{"kind":"enrolment","uses":9}`)
	beat(join(many, "i-9"))
	s.exec(`UPDATE credentials SET revoked_at = now() WHERE kind = 'agent' AND instance_id = 'i-9'`)
	join(many, "i-9").holds(t, 401, `{"code":"credentials.revoked"}`)
	require.Equal(t, 201, join(many, "i-11").status)
	require.Equal(t, 201, join(s.enrolment(`{"kind":"enrolment"}`), "i-9").status, "one that was made since is a decision")
}

// TestAnotherInstanceOfTheAgentEndsNothing: the token of an instance that is not the primary
// neither performs the primary's commands nor ends the agent.
func TestAnotherInstanceOfTheAgentEndsNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	of := func(instanceID string) string {
		token := s.call(s.enrolment(`{"kind":"enrolment"}`), "POST", "/api/agents/join", joining("web-2", instanceID))
		require.Equal(t, 201, token.status, token.raw)
		return token.body["token"].(string)
	}
	s.exec(`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, proof)
		VALUES ('i-3', 'c1', 'a2', 'retiring', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a', 'spot', 'launched')`)
	s.exec(`INSERT INTO commands (id, client_id, agent_id, instance_id, launcher, target_mode, priority, status)
		VALUES ('cmd-1', 'c1', 'a2', 'i-2', 'agent', 'ondemand', 1, 'pending')`)
	primary, other := of("i-2"), of("i-3")
	const agent = "/api/agents/a2"

	require.Empty(t, s.call(other, "GET", agent+"/pending-commands", "").list)
	s.call(other, "POST", agent+"/commands/cmd-1/executed", `{"success":true}`).holds(t, 403,
		`{"code":"credentials.foreign_instance"}`)
	require.Equal(t, "pending", s.value(`SELECT status FROM commands`))
	s.call(other, "POST", agent+"/termination", `{"reason":"bye"}`).holds(t, 200, `{"success":true}`)
	require.Equal(t, "online", s.statusOf("a2"))

	require.Len(t, s.call(primary, "GET", agent+"/pending-commands", "").list, 1)
	s.call(primary, "POST", agent+"/commands/cmd-1/executed", `{"success":false}`).holds(t, 200, `{"success":true}`)
	for range 3 {
		s.call(primary, "POST", agent+"/termination", `{"reason":"bye"}`).holds(t, 200, `{"success":true}`)
	}
	require.Equal(t, "offline", s.statusOf("a2"))
	require.Equal(t, "1", s.value(`SELECT count(*)::text FROM notifications WHERE message LIKE '%terminated: bye'`),
		"a goodbye that is repeated is no news")
}

// TestAnAgentsTokenReportsForItsOwn walks every route with the token of one agent: only
// the reports of that agent, from its instance, are let through.
func TestAnAgentsTokenReportsForItsOwn(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	joined := s.call(s.enrolment(`{"kind":"enrolment"}`), "POST", "/api/agents/join", joining("web-9", "i-9"))
	agent, token := joined.body["agent_id"].(string), joined.body["token"].(string)

	let := 0
	for i, r := range (rest.Deps{}).Routes() {
		if r.Auth == web.Anonymous {
			continue
		}
		s.from = fmt.Sprintf("10.2.0.%d:1", i)
		path := strings.NewReplacer("{agent_id}", "a1", "{client_id}", "c1", "{instance_id}", "i-1", "{replica_id}",
			"x", "{operation_id}", "x", "{command_id}", "x", "{notification_id}", "n", "{sink_id}", "s",
			"{credential_id}", "k", "{job}", "price-dedup", "{session_id}", "x", "{file}", "x").
			Replace(web.DocumentPath(r))
		body := bodyFor
		if r.ID == "registerAgent" {
			body = joining("web-1", "i-1")
		}
		status := s.call(token, r.Method, path, body).status
		want := []int{403, 401} // 401 where agents are not even thought of
		if r.Own {
			let++
			want = []int{403, 404} // another agent, or another instance
		}
		require.Contains(t, want, status, r.ID)
	}
	require.Equal(t, 12, let)

	own := "/api/agents/" + agent
	s.call(token, "POST", own+"/heartbeat", `{"status":"online","instance_id":"i-1"}`).holds(t, 403,
		`{"code":"credentials.foreign_instance"}`)
	s.call(token, "POST", own+"/termination-imminent", `{"instance_id":"i-1"}`).holds(t, 403,
		`{"code":"credentials.foreign_instance"}`)
	s.call(token, "POST", "/api/agents/register", joining("web-9", "i-1")).holds(t, 403,
		`{"code":"credentials.foreign_instance"}`)
	s.call(token, "POST", "/api/agents/register", joining("web-1", "i-9")).holds(t, 403,
		`{"code":"credentials.not_for_this"}`)
	s.call(token, "POST", own+"/heartbeat", `{"status":"online"}`).holds(t, 200, `{"success":true}`)
	require.NotEmpty(t, s.value(`SELECT last_seen_at::text FROM instances WHERE id = 'i-9'`),
		"a heartbeat that names no instance is of the token's")
	require.Empty(t, s.wf.asked)
}

func TestAnAgentsTokenIsRenewedByHeartbeats(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	joined := s.call(s.enrolment(`{"kind":"enrolment"}`), "POST", "/api/agents/join", joining("web-9", "i-9"))
	first := joined.body["token"].(string)
	beat := func(token string) answer {
		return s.call(token, "POST", "/api/agents/"+joined.body["agent_id"].(string)+"/heartbeat",
			`{"status":"online"}`)
	}
	require.NotContains(t, beat(first).body, "token")
	const age = `
		UPDATE credentials
		SET created_at = created_at - interval '17 hours', expires_at = expires_at - interval '17 hours',
		renewed_at = renewed_at - interval '17 hours' WHERE kind = 'agent'`
	s.exec(age)

	lost := beat(first)
	lost.holds(t, 200, `{"success":true,"token":"*","token_expires_at":"*","token_renew_after":"*"}`)
	require.NotContains(t, beat(first).body, "token", "not at each heartbeat")
	s.exec(`UPDATE credentials SET renewed_at = renewed_at - interval '2 minutes' WHERE kind = 'agent'`)
	second := beat(first).body["token"].(string)
	require.Equal(t, 401, beat(lost.body["token"].(string)).status,
		"one that was never used goes when the next one is made")
	require.Equal(t, 200, beat(second).status)
	require.Equal(t, 200, beat(first).status, "the old one stays good until it expires")
	require.Equal(t, 200, s.call(second, "GET", "/api/agents/"+joined.body["agent_id"].(string)+"/config", "").status)
	s.exec(age)
	require.Equal(t, 401, beat(first).status)
	require.Equal(t, 200, beat(second).status)

	s.exec(`UPDATE instances SET role = 'retired', terminated_at = now() WHERE id = 'i-9'`)
	beat(second).holds(t, 401, `{"code":"credentials.revoked"}`)
}

func TestTenantsTokensHaveScopes(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	read, operate, admin := s.tenantToken("grafana", "read"), s.tenantToken("ci", "operate"), s.tenantToken("owner",
		"admin")

	for _, token := range []string{read, operate, admin} {
		s.call(token, "GET", "/api/client/c1", "").holds(t, 200, `{"id":"c1"}`)
		s.call(token, "GET", "/api/client/c2", "").holds(t, 404, `{}`)
		s.call(token, "GET", "/api/admin/clients", "").holds(t, 403, `{"code":"auth.operators_only"}`)
		s.call(token, "POST", "/api/agents/a1/heartbeat", `{}`).holds(t, 403, `{"code":"credentials.not_for_this"}`)
	}
	s.call(read, "POST", "/api/client/agents/a1/toggle-enabled", `{"enabled":true}`).holds(t, 403,
		`{"code":"credentials.scope_too_small","scope":"read","needs":"operate"}`)
	s.call(operate, "POST", "/api/client/agents/a1/toggle-enabled", `{"enabled":true}`).holds(t, 200,
		`{"success":true}`)
	s.call(operate, "POST", "/api/client/c1/credentials", `{"kind":"enrolment"}`).holds(t, 403,
		`{"code":"credentials.scope_too_small"}`)
	s.call(operate, "DELETE", "/api/client/agents/a1", ``).holds(t, 403, `{"code":"credentials.scope_too_small"}`)
	s.call(admin, "POST", "/api/client/c1/credentials", `{"kind":"tenant","name":"next","scope":"admin"}`).holds(t,
		201, `{"scope":"admin","state":"good","created_by":"client:Acme/owner"}`)
	s.call(admin, "POST", "/api/client/c1/credentials", `{"kind":"agent"}`).holds(t, 400, `{"code":"request.invalid"}`)
	s.call(admin, "POST", "/api/client/c1/credentials", `{"kind":"tenant","scope":"read"}`).holds(t, 400,
		`{"code":"credentials.invalid"}`)

	listed := s.call(read, "GET", "/api/client/c1/credentials", "")
	require.Len(t, listed.body["credentials"], 4)
	require.NotContains(t, listed.raw, "spk-tenant-")
	var id string
	for _, k := range listed.body["credentials"].([]any) {
		if k := k.(map[string]any); k["name"] == "ci" {
			id = k["id"].(string)
			require.NotNil(t, k["last_used_at"])
		}
	}
	s.call(admin, "DELETE", "/api/client/c1/credentials/"+id, "").holds(t, 200, `{"success":true}`)
	s.call(operate, "GET", "/api/client/c1", "").holds(t, 401, `{"code":"credentials.revoked"}`)
	s.call(s.beta, "DELETE", "/api/client/c1/credentials/"+id, "").holds(t, 404, `{}`)
	s.call(s.beta, "DELETE", "/api/client/c2/credentials/"+id, "").holds(t, 404, `{"code":"credentials.not_found"}`)
	s.exec(`UPDATE clients SET status = 'inactive' WHERE id = 'c1'`)
	s.call(read, "GET", "/api/client/c1", "").holds(t, 403, `{"code":"auth.client_inactive"}`)
}

// TestTheOldTokenIsSwitchedOff: all, agent, off, each from the next request on.
func TestTheOldTokenIsSwitchedOff(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	set := func(mode string) {
		s.call(operatorToken, "PUT", "/api/client/c1/legacy-token", fmt.Sprintf(`{"legacy_token":%q}`, mode)).holds(t,
			200, fmt.Sprintf(`{"legacy_token":%q}`, mode))
	}
	s.call(s.acme, "GET", "/api/client/c1/legacy-token", "").holds(t, 200, `{"legacy_token":"all"}`)
	set("agent")
	s.call(s.acme, "POST", "/api/agents/a1/heartbeat", `{}`).holds(t, 200, `{}`)
	s.call(s.acme, "GET", "/api/agents/a1/replicas", "").holds(t, 200, `{}`)
	s.call(s.acme, "GET", "/api/client/validate", "").holds(t, 200, `{"valid":true}`)
	s.call(s.acme, "GET", "/api/client/c1", "").holds(t, 403, `{"code":"credentials.not_for_this"}`)
	s.call(s.acme, "DELETE", "/api/agents/a1/replicas/x", "").holds(t, 403, `{"code":"credentials.not_for_this"}`)
	set("off")
	s.call(s.acme, "POST", "/api/agents/a1/heartbeat", `{}`).holds(t, 401, `{"code":"credentials.legacy_off"}`)
	set("all")
	s.call(s.acme, "GET", "/api/client/c1", "").holds(t, 200, `{"id":"c1"}`)
	require.Equal(t, "3", s.value(`SELECT count(*)::text FROM events WHERE type = 'legacy_token_changed'`))
}
