package rest_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// aStory is a termination of a1 that a new instance survived, with what was launched.
const aStory = `
INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode) VALUES
	('i-9', 'c1', 'a1', 'replica', 't3.medium', 'us-east-1', 'us-east-1c', 't3.medium.us-east-1c', 'spot');
INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, instance_id)
VALUES ('r9', 'c1', 'a1', 'termination', 'i-1', 'promoted', 'control-plane', 'i-9');
INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline, door, arrived_at, received_at, delivered_at,
    result, replica_id, new_primary, decided_at) VALUES
	('c1', 'a1', 'i-1', 'termination-notice', now() + interval '2 minutes', 'eventbridge',
	now() - interval '20 milliseconds', now(), now(), 'promoted', 'r9', 'i-9', now() + interval '2 seconds'),
	('c2', 'b1', 'i-b', 'rebalance-recommendation', now() + interval '2 hours', 'http', now(), now(), now(),
	'stood_down', NULL, NULL, now());
INSERT INTO operations (id, kind, client_id, agent_id, instance_id, replica_id, summary, deadline, tend_at) VALUES
	('termination/a1/i-1', 'termination', 'c1', 'a1', 'i-1', 'r9', 'AWS takes i-1', now() + interval '2 minutes',
	now()),
	('replica/r9', 'replica', 'c1', 'a1', 'i-1', 'r9', 'termination replica for i-1', NULL, now());
INSERT INTO operation_steps (operation_id, run_id, seq, name, detail, seconds_left, at) VALUES
	('termination/a1/i-1', 'r', 1, 'notice durable', 'i-1 goes', 119.5, now() + interval '250 milliseconds'),
	('replica/r9', 'r', 1, 'choosing', 'choosing where to launch', -99999, now() + interval '1 second');
INSERT INTO launches (client_token, client_id, agent_id, replica_id, pool_id, mode, request, state, instance_id,
    error_code, created_at, ended_at) VALUES
	('t1', 'c1', 'a1', 'r9', 't3.medium.us-east-1b', 'spot', '{}', 'failed', NULL, 'launch.no_capacity', now(),
	now() + interval '120 milliseconds'),
	('t2', 'c1', 'a1', 'r9', 't3.medium.us-east-1c', 'spot', '{}', 'launched', 'i-9', NULL,
	now() + interval '130 milliseconds', now() + interval '330 milliseconds');
INSERT INTO role_changes (client_id, agent_id, epoch, old_id, new_id, replica_id, cause, operation_id)
VALUES ('c1', 'a1', 1, 'i-1', 'i-9', 'r9', 'termination', 'termination/a1/i-1');
INSERT INTO interruptions (client_id, agent_id, instance_id, kind, pool_id, proven)
VALUES ('c1', 'a1', 'i-1', 'termination-notice', 't3.medium.us-east-1a', true);
INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at)
VALUES ('t3.medium.us-east-1a', 't3.medium', 'us-east-1', 'us-east-1a', 0.0104, 'collector', now());
INSERT INTO on_demand_prices (region, instance_type, price, source, observed_at)
VALUES ('us-east-1', 't3.medium', 0.0416, 'pricing-api', now());`

func TestAnOperationShowsItsEvidence(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(aStory)

	got := s.call(s.acme, "GET", "/api/operations/termination%2Fa1%2Fi-1", "")
	got.holds(t, 200, `{"agent_name":"web-1","kind":"termination"}`)
	notice := got.body["notices"].([]any)[0].(map[string]any)
	require.Equal(t, "eventbridge", notice["door"])
	require.InDelta(t, 2020, notice["decided_ms"], 5)
	require.Equal(t, notice["arrived_at"], got.body["began_at"], "a waterfall begins where the notice arrived")
	step := got.body["steps"].([]any)[0].(map[string]any)
	require.InDelta(t, 270, step["since_ms"], 5)
	launches := got.body["launches"].([]any)
	require.Equal(t, "launch.no_capacity", launches[0].(map[string]any)["error_code"])
	require.InDelta(t, 120, launches[0].(map[string]any)["took_ms"], 1)
	require.Equal(t, "i-9", launches[1].(map[string]any)["instance_id"])
	require.InDelta(t, 1, got.body["role_changes"].([]any)[0].(map[string]any)["epoch"], 0)
	related := got.body["related"].([]any)[0].(map[string]any)
	require.Equal(t, "replica/r9", related["id"])
	require.Nil(t, related["steps"].([]any)[0].(map[string]any)["seconds_left"],
		"an operation without a deadline has no seconds left")
}

func TestNoticesAreListedByStateAndDoor(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(aStory)

	require.Len(t, s.call(operatorToken, "GET", "/api/notices", "").body["notices"], 2)
	open := s.call(operatorToken, "GET", "/api/notices?state=open", "").body["notices"].([]any)
	require.Len(t, open, 1, "what was decided and has no deadline before it does not stand")
	require.Equal(t, "termination/a1/i-1", open[0].(map[string]any)["operation_id"])
	require.Len(t, s.call(operatorToken, "GET", "/api/notices?door=http", "").body["notices"], 1)
	s.call(operatorToken, "GET", "/api/notices?door=describe", "").holds(t, 200, `{"notices":"*"}`) // the survey's door
	require.Len(t, s.call(s.beta, "GET", "/api/notices?client_id=c1", "").body["notices"], 1, "a tenant reads its own")
	page := s.call(operatorToken, "GET", "/api/notices?limit=1", "")
	require.Len(t, s.call(operatorToken, "GET", "/api/notices?limit=1&after="+page.body["next"].(string), "").
		body["notices"], 1)
}

func TestTheFleetIsListedInPages(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(aStory)

	var names []string
	path := "/api/fleet?limit=2"
	for next := any("first"); next != nil; {
		got := s.call(operatorToken, "GET", path, "")
		require.InDelta(t, 3, got.body["total"], 0)
		for _, a := range got.body["agents"].([]any) {
			names = append(names, a.(map[string]any)["name"].(string))
		}
		if next = got.body["next"]; next != nil {
			path = "/api/fleet?limit=2&after=" + next.(string)
		}
	}
	require.Equal(t, []string{"web-1", "web-1", "web-2"}, names)
	one := s.call(s.acme, "GET", "/api/fleet?q=WEB-1", "").body["agents"].([]any)
	require.Len(t, one, 1)
	primary := one[0].(map[string]any)["primary"].(map[string]any)
	require.InDelta(t, 0.0104, primary["price"], 1e-9)
	require.InDelta(t, 0.0416, primary["on_demand_price"], 1e-9)
	require.Len(t, s.call(s.acme, "GET", "/api/fleet?needs=standby", "").body["agents"], 1,
		"web-2 is in manual mode and has none")
	s.call(s.acme, "POST", "/api/fleet/pause", `{"agent_ids":["a1","b1"],"minutes":5}`).holds(t, 200,
		`{"done":1,"refused":1}`)
	require.Len(t, s.call(s.acme, "GET", "/api/fleet?needs=pause", "").body["agents"], 1)
	s.call(s.acme, "POST", "/api/fleet/resume", `{"agent_ids":["a1"]}`).holds(t, 200, `{"done":1}`)
	s.call(s.acme, "GET", "/api/overview", "").holds(t, 200, `{"instances":3,"standbys":1}`)
}

func TestPoolsShowWhatHappenedInThem(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(aStory)
	s.exec(`INSERT INTO price_buckets (pool_id, bucket, price, source_type, confidence, method, observed_at) VALUES
		('t3.medium.us-east-1a', date_bin('5 minutes', now(), 'epoch'), 0.01, 'collector', 1, NULL, now()),
		('t3.medium.us-east-1b', date_bin('5 minutes', now(), 'epoch'), 0.02, 'interpolated', 0.5, 'linear', now());
		INSERT INTO placement_scores (client_id, region, instance_type, az, score) VALUES
		('c1', 'us-east-1', 't3.medium', 'us-east-1a', 9), ('c2', 'us-east-1', 't3.medium', 'us-east-1a', 4)`)

	pools := map[string]map[string]any{}
	for _, p := range s.call(operatorToken, "GET", "/api/pools?instance_type=t3.medium", "").body["pools"].([]any) {
		pools[p.(map[string]any)["az"].(string)] = p.(map[string]any)
	}
	require.InDelta(t, 0.25, pools["us-east-1a"]["price_ratio"], 1e-9)
	require.InDelta(t, 1, pools["us-east-1a"]["terminations_last_day"], 0)
	require.InDelta(t, 1, pools["us-east-1b"]["launches_refused_last_hour"], 0)
	require.Equal(t, "launch.no_capacity", pools["us-east-1b"]["last_refusal"])
	require.InDelta(t, 4, pools["us-east-1a"]["placement_score"], 0, "the least among the clients")
	require.Nil(t, pools["us-east-1b"]["placement_score"], "it was not read")
	require.InDelta(t, 0, s.call(s.beta, "GET", "/api/pools?instance_type=t3.medium", "").
		body["pools"].([]any)[0].(map[string]any)["terminations_last_day"], 0,
		"what happened to another tenant is not counted")

	history := s.call(operatorToken, "GET", "/api/pools/t3.medium.us-east-1a/prices", "")
	history.holds(t, 200, `{"on_demand_price":0.0416}`)
	series := history.body["series"].([]any)
	require.Len(t, series, 2)
	require.Equal(t, true, series[1].(map[string]any)["points"].([]any)[0].(map[string]any)["interpolated"])
	require.Len(t, history.body["marks"], 2, "the interruption and the arrival of i-9")
	s.exec(`INSERT INTO interruptions (client_id, instance_id, kind, pool_id, detected_at, proven) VALUES
		('c1', 'i-warned', 'rebalance-recommendation', 't3.medium.us-east-1c', now() - interval '50 minutes', true),
		('c1', 'i-warned', 'termination-notice', 't3.medium.us-east-1c', now() - interval '40 minutes', true),
		('c1', 'i-lives', 'rebalance-recommendation', 't3.medium.us-east-1c', now() - interval '1 day', true),
		('c1', 'i-unwarned', 'termination-notice', 't3.medium.us-east-1c', now() - interval '2 days', true),
		('c2', 'i-lives', 'termination-notice', 't3.medium.us-east-1c', now(), true)`)
	s.exec(`UPDATE pools SET is_active = true`)
	for who, announced := range map[string]int{operatorToken: 3, s.acme: 2} {
		found := false
		for _, p := range s.call(who, "GET", "/api/pools?instance_type=t3.medium", "").body["pools"].([]any) {
			pool := p.(map[string]any)
			if pool["az"] != "us-east-1c" {
				continue
			}
			found = true
			require.InDelta(t, 2, pool["recommendations_last_month"], 0)
			require.InDelta(t, 1, pool["recommendations_came_true"], 0, "another tenant's notice does not count")
			require.InDelta(t, 600, pool["recommendation_lead_seconds"], 0.001)
			require.InDelta(t, announced, pool["terminations_last_month"], 0)
		}
		require.True(t, found)
	}
	s.call(operatorToken, "GET", "/api/pools/none/prices", "").holds(t, 404, `{"code":"pool.not_found"}`)
}

func TestTheLogSaysWhoAsked(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.call(s.acme, "POST", "/api/client/agents/a1/pause", `{"reason":"looking"}`).holds(t, 200, `{}`)

	events := s.call(operatorToken, "GET", "/api/events?by=people", "").body["events"].([]any)
	require.NotEmpty(t, events)
	require.Equal(t, "client:Acme", events[0].(map[string]any)["actor"])
	require.Contains(t, events[0].(map[string]any)["metadata"], "after")
	page := s.call(operatorToken, "GET", "/api/events?limit=1", "")
	second := s.call(operatorToken, "GET", "/api/events?limit=1&before="+page.body["next"].(string), "")
	require.NotEqual(t, page.body["events"], second.body["events"])
	found := s.call(operatorToken, "GET", "/api/search?q=web", "").body["results"].([]any)
	require.Len(t, found, 3)
	require.Empty(t, s.call(s.beta, "GET", "/api/search?q=i-1", "").body["results"])
}

// TestAMisspeltNameActsOnNothing holds the routes of our own to refusing what they do
// not read, and those that act on all agents to being asked for it.
func TestAMisspeltNameActsOnNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)

	s.call(operatorToken, "POST", "/api/admin/pauses", `{"clientId":"c1","minutes":5}`).holds(t, 400,
		`{"code":"request.invalid","details":{"clientId":["Unknown field."]}}`)
	s.call(operatorToken, "POST", "/api/admin/pauses", ``).holds(t, 400, `{"code":"request.invalid"}`)
	s.call(operatorToken, "POST", "/api/admin/pauses", `{"scope":"global","client_id":"c1"}`).holds(t, 400,
		`{"code":"request.invalid"}`)
	s.call(operatorToken, "POST", "/api/admin/pauses", `{"scope":"client"}`).holds(t, 400, `{"code":"request.invalid"}`)
	require.Equal(t, "0", s.value(`SELECT count(*)::text FROM pauses`))
	s.call(operatorToken, "POST", "/api/admin/pauses", `{"scope":"global"}`).holds(t, 200, `{}`)
	s.call(operatorToken, "DELETE", "/api/admin/pauses?clientId=c1", "").holds(t, 400,
		`{"details":{"clientId":["Unknown field."]}}`)
	s.call(operatorToken, "DELETE", "/api/admin/pauses", "").holds(t, 400, `{"code":"request.invalid"}`)
	require.Equal(t, "1", s.value(`SELECT count(*)::text FROM pauses`))
	s.call(operatorToken, "GET", "/api/notices?limt=5", "").holds(t, 400, `{"details":{"limt":["Unknown field."]}}`)
}

func TestASessionNeedsTheHeaderOfOurPages(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	cookie := s.login(t)

	const path = "/api/client/agents/a1/pause"
	require.Equal(t, 403, browse(t, s.handler, http.MethodPost, path, cookie, nil).Code)
	require.Equal(t, 200, browse(t, s.handler, http.MethodPost, path, cookie, func(r *http.Request) {
		r.Header.Set("X-Spotkeeper-CSRF", "1")
		r.Body = http.NoBody
	}).Code)
	require.Equal(t, 200, browse(t, s.handler, http.MethodPost, "/api/client/agents/a1/toggle-enabled", cookie, nil).
		Code, "pages of deployed programs know no header")
	who := browse(t, s.handler, http.MethodGet, "/api/session", cookie, nil)
	var said map[string]any
	require.NoError(t, json.Unmarshal(who.Body.Bytes(), &said))
	delete(said, "may")
	require.Equal(t, map[string]any{"name": "ops", "operator": true, "role": "admin", "scope": nil, "client_id": nil,
		"open": false, "session": true}, said)
}
