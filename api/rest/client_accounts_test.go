package rest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/replica"
)

// playedCloud is EC2 as an account shows it.
type playedCloud struct {
	hides []string // instances that it does not show
	fails error
}

func (c *playedCloud) Missing(
	_ context.Context,
	_, _ string,
	_ clients.Account,
	_ string,
	ids []string,
) ([]string, error) {
	var out []string
	for _, id := range ids {
		for _, hidden := range c.hides {
			if id == hidden {
				out = append(out, id)
			}
		}
	}
	return out, c.fails
}

func (c *playedCloud) OwnAccount(context.Context) (string, error) { return "999999999999", c.fails }

const (
	aRole       = "arn:aws:iam::111111111111:role/spotkeeper-acme"
	accountOfC1 = "/api/admin/clients/c1/account"
)

// TestClientAccount: an operator sees the external id, and changes the account once the
// new one shows the client's living instances. EC2 is asked again about the others.
func TestClientAccount(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	external := s.value(`SELECT external_id FROM clients WHERE id = 'c1'`)
	s.call(operatorToken, "GET", accountOfC1, "").holds(t, 200,
		`{"client_id":"c1","account_id":"","role_arn":"","own_account":false,"external_id":"`+external+
			`","unproven":0}`)
	s.exec(`UPDATE instances SET proof = 'unproven' WHERE id = 'i-2'`)

	s.cloud.hides = []string{"i-1"}
	s.call(operatorToken, "PUT", accountOfC1, `{"role_arn":"`+aRole+`"}`).holds(t, 409,
		`{"code":"clients.instances_not_seen","instance_ids":["i-1"]}`)
	s.call(operatorToken, "PUT", accountOfC1, `{}`).holds(t, 409, `{"code":"clients.instances_not_seen"}`)
	s.cloud.hides, s.cloud.fails = nil, replica.Refused.New("the account does not permit it (AccessDenied)")
	s.call(operatorToken, "PUT", accountOfC1, `{"role_arn":"`+aRole+`"}`).holds(t, 403, `{"code":"launch.refused"}`)
	s.call(operatorToken, "PUT", accountOfC1, `{"role_arn":"me"}`).holds(t, 400, `{"code":"clients.bad_account"}`)
	require.Empty(t, s.value(`SELECT role_arn FROM clients WHERE id = 'c1'`), "nothing was changed")

	s.cloud.fails = nil
	s.call(operatorToken, "PUT", accountOfC1, `{"role_arn":"`+aRole+`"}`).holds(t, 200,
		`{"account_id":"111111111111","role_arn":"`+aRole+`","unproven":1}`)
	require.Equal(t, "true",
		s.value(`SELECT (tend_at <= now())::text FROM operations WHERE id = 'adoption/i-2' AND state = 'running'`))
	require.Equal(
		t,
		"operator:ops "+aRole,
		s.value(
			`SELECT actor || ' ' || (metadata->'after'->>'role_arn') FROM events WHERE type = 'client_account_changed'`,
		),
	)
	s.call(operatorToken, "PUT", "/api/admin/clients/nobody/account", `{}`).holds(t, 404,
		`{"code":"clients.not_found"}`)
	s.call(s.acme, "GET", accountOfC1, "").holds(t, 403, `{"code":"auth.operators_only"}`)
}

// TestAccountSetup: a client reads what it needs before it gives us a role, with the
// template filled in for it, and no other client's.
func TestAccountSetup(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const setup = "/api/client/c1/account"
	got := s.call(s.acme, "GET", setup, "")
	got.holds(t, 200, `{"client_id":"c1","role_arn":"","control_plane_account":"999999999999"}`)
	external := s.value(`SELECT external_id FROM clients WHERE id = 'c1'`)
	require.Equal(t, external, got.body["external_id"])
	template := got.body["template"].(map[string]any)
	defaults := map[string]any{}
	for name, parameter := range template["Parameters"].(map[string]any) {
		defaults[name] = parameter.(map[string]any)["Default"]
	}
	require.Equal(t, external, defaults["ExternalId"])
	require.Equal(t, "c1", defaults["ClientId"])
	require.Equal(t, "999999999999", defaults["ControlPlaneAccount"])
	s.call(s.beta, "GET", setup, "").holds(t, 404, `{"code":"clients.not_found"}`)

	s.cloud.fails = errors.New("no credentials")
	s.call(s.acme, "GET", setup, "").holds(t, 503, `{"code":"clients.own_account_unknown"}`)
}

// TestCreateWithAnAccount answers the external id that the role must require.
func TestCreateWithAnAccount(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	got := s.call(operatorToken, "POST", "/api/admin/clients/create", `{"name":"Gamma","role_arn":"`+aRole+`"}`)
	got.holds(t, 200, `{"success":true}`)
	made := got.body["client"].(map[string]any)
	require.Equal(t, "111111111111 "+aRole+" "+made["external_id"].(string),
		s.value(`SELECT concat_ws(' ', account_id, role_arn, external_id) FROM clients WHERE id = $1`, made["id"]))
	s.call(operatorToken, "POST", "/api/admin/clients/create",
		`{"name":"Delta","role_arn":"`+aRole+`","own_account":true}`).holds(t, 400, `{"code":"clients.bad_account"}`)
}

// TestAskAgain: a tenant has EC2 asked again about its own instance, and about no other's.
func TestAskAgain(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const adopt = "/api/client/instances/i-1/adopt"
	s.call(s.acme, "POST", adopt, "").holds(t, 202,
		`{"instance_id":"i-1","proof":"launched","unproven":null,"operation_id":null}`)
	s.exec(
		`
			UPDATE instances
			SET proof = 'unproven', unproven_cause = 'no_mark', unproven_reason = 'why', unproven_repair = 'what'`,
	)
	s.call(s.acme, "POST", adopt, "").holds(t, 202,
		`{"proof":"unproven","operation_id":"adoption/i-1","unproven":{"cause":"no_mark","reason":"why","repair":"what"}}`)
	s.call(s.beta, "POST", adopt, "").holds(t, 404, `{"code":"agent.instance_of_another_tenant"}`)

	s.call(s.acme, "GET", "/api/client/agents/a1/state", "").holds(t, 200, `{"agent_id":"a1"}`)
	primary := s.call(s.acme, "GET", "/api/client/agents/a1/state", "").body["primary"].(map[string]any)
	require.Equal(t, "unproven", primary["proof"])
	require.Equal(t, "why", primary["unproven"].(map[string]any)["reason"])
	why := s.call(s.acme, "GET", "/api/client/agents/a1/explain", "")
	require.Contains(t, why.raw, "Nothing at EC2 is done for i-1: why: what.")
}

// TestNoticesOfUnprovenInstances are acknowledged: nothing is launched, the agent goes
// on, and the notice is kept until the instance is proven.
func TestNoticesOfUnprovenInstances(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(
		`
			UPDATE instances
			SET proof = 'unproven', unproven_cause = 'no_mark', unproven_reason = 'why', unproven_repair = 'what'
			WHERE id = 'i-1'`,
	)
	s.call(s.acme, "POST", "/api/agents/a1/create-emergency-replica",
		`{"signal_type":"rebalance-recommendation","instance_id":"i-1"}`).
		holds(t, 200,
			`{"success":false,"replica_id":null,"unproven":{"cause":"no_mark","reason":"why","repair":"what"}}`)
	s.call(s.acme, "POST", "/api/agents/a1/termination-imminent", `{"instance_id":"i-1"}`).
		holds(t, 200,
			`{"success":false,"action":"unproven","message":"The notice is kept, but nothing is launched: why: what."}`)
	require.Zero(t, s.wf.count(), "no workflow is asked")
	require.Equal(t, "2", s.value(`SELECT count(*)::text FROM notices WHERE agent_id = 'a1' AND result = ''`))
}
