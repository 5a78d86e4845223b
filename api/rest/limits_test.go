package rest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/api/web"
)

// TestEachClientHasItsOwnRate: a client that asks too often is refused with the time of its
// next request, while other clients and notices are answered.
func TestEachClientHasItsOwnRate(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	now := time.Now()
	s.handler = s.another(t, func(d *rest.Deps) {
		d.Now = func() time.Time { return now }
		d.Rates = map[web.RequestClass]web.RequestRate{
			web.Reads:   {PerSecond: 0.5, AtOnce: 3},
			web.Reports: {PerSecond: 1, AtOnce: 1},
		}
	})
	for left := 2; left >= 0; left-- {
		got := s.call(s.acme, "GET", "/api/client/c1", "")
		require.Equal(t, 200, got.status, got.raw)
		require.Equal(t, `"reads";q=3;w=6`, got.header.Get("Ratelimit-Policy"))
		require.Equal(t, fmt.Sprintf(`"reads";r=%d;t=%d`, left, (3-left)*2), got.header.Get("Ratelimit"))
	}
	refused := s.call(s.acme, "GET", "/api/client/c1", "")
	refused.holds(t, 429, `{"code":"limits.too_many_requests","retry_after_seconds":2}`)
	require.Equal(t, "2", refused.header.Get("Retry-After"))
	require.Equal(t, 200, s.call(s.beta, "GET", "/api/client/c2", "").status, "another client")
	require.Equal(t, 200, s.call(operatorToken, "GET", "/api/client/c1", "").status, "an operator")
	require.Equal(t, 200, s.call(s.acme, "POST", "/api/client/agents/a1/toggle-enabled", `{"enabled":true}`).status,
		"another class")
	now = now.Add(2 * time.Second)
	require.Equal(t, 200, s.call(s.acme, "GET", "/api/client/c1", "").status)

	require.Equal(t, 200, s.call(s.acme, "POST", "/api/agents/a1/heartbeat", `{}`).status)
	require.Equal(t, 429, s.call(s.acme, "POST", "/api/agents/a1/heartbeat", `{}`).status)
	for range 5 {
		require.NotEqual(t, 429,
			s.call(s.acme, "POST", "/api/agents/a1/termination-imminent", `{"instance_id":"i-unknown"}`).status)
	}
}

// TestWhatAClientMayHave: agents, replicas and launches are bounded, the limits are an
// operator's to change, and agents that are there already are not refused.
func TestWhatAClientMayHave(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	set := func(agents, replicas, launches int) {
		body := fmt.Sprintf(`{"agents":%d,"open_replicas":%d,"launches_per_hour":%d}`, agents, replicas, launches)
		require.Equal(t, 200, s.call(operatorToken, "PUT", "/api/admin/clients/c1/limits", body).status)
	}
	set(2, 1, 1)
	s.call(s.acme, "GET", "/api/client/c1/limits", "").holds(t, 200, `{"agents":"*"}`)
	s.call(s.acme, "POST", "/api/agents/register", joining("web-3", "i-3")).holds(t, 409,
		`{"code":"limits.agents","limit":2}`)
	require.Equal(t, 200, s.call(s.acme, "POST", "/api/agents/register", joining("web-1", "i-1")).status)
	set(3, 1, 1)
	require.Equal(t, 200, s.call(s.acme, "POST", "/api/agents/register", joining("web-3", "i-3")).status)

	s.exec(readyRow)
	s.call(s.acme, "POST", "/api/client/instances/i-2/force-switch", `{"target":"ondemand"}`).holds(t, 429,
		`{"code":"limits.open_replicas","limit":1}`)
	set(3, 2, 1)
	s.exec(
		`
			INSERT INTO launches (client_token, client_id, agent_id, replica_id, pool_id, mode, request)
			SELECT 't', 'c1', 'a1', id, 'p', 'spot', '{}'
			FROM replicas
			LIMIT 1`,
	)
	s.call(s.acme, "POST", "/api/client/instances/i-2/force-switch", `{"target":"ondemand"}`).holds(t, 429,
		`{"code":"limits.launches","limit":1}`)
	require.NotEqual(t, 429,
		s.call(s.acme, "POST", "/api/agents/a1/termination-imminent", `{"instance_id":"i-1"}`).status,
		"what an interruption needs is not counted")
	s.exec(`UPDATE launches SET created_at = now() - interval '61 minutes'`)
	require.NotEqual(t, 429,
		s.call(s.acme, "POST", "/api/client/instances/i-2/force-switch", `{"target":"ondemand"}`).status)
	s.call(operatorToken, "PUT", "/api/admin/clients/c1/limits",
		`{"agents":-1,"open_replicas":1,"launches_per_hour":1}`).holds(t, 400, `{"code":"limits.invalid"}`)
	s.call(operatorToken, "PUT", "/api/admin/clients/none/limits",
		`{"agents":1,"open_replicas":1,"launches_per_hour":1}`).holds(t, 404, `{}`)
}
