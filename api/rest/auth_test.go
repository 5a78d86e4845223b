package rest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/api/web"
)

// TestWhoMayCallWhat walks the whole table: each route in it is either open on purpose or
// refuses callers without the right.
func TestWhoMayCallWhat(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	open := map[string]bool{
		"/health":              true,
		"/ready":               true,
		"/api/client/validate": true,
		"/openapi.json":        true,
		// What proves an agent there is in the body.
		"/api/agents/join/challenge": true,
		"/api/agents/join/aws-iam":   true,
		"/api/agents/join/aws-iid":   true,
		"/login":                     true,
		"/logout":                    true,
		"/docs":                      true,
		"/docs/:file":                true,
		"/login/oidc":                true,
		"/login/oidc/callback":       true,
		"/answer/:approval_id":       true, // a link that was sent to a webhook is its own credential
	}
	params := regexp.MustCompile(`:(\w+)`)
	fill := strings.NewReplacer(":agent_id", "a1", ":client_id", "c1", ":instance_id", "i-1", ":replica_id", "none",
		":command_id", "none")

	seen := map[string]bool{}
	for i, r := range (rest.Deps{}).Routes() {
		s.from = fmt.Sprintf("10.0.%d.1:1000", i) // guessing is limited by address
		require.NotEmpty(t, r.ID, r.Path)
		require.NotEmpty(t, r.Summary, r.Path)
		require.NotZero(t, r.Status, r.Path)
		require.False(t, seen[r.ID], "%s is named twice", r.ID)
		seen[r.ID] = true
		path := params.ReplaceAllString(fill.Replace(r.Path), "1")
		name := r.Method + " " + r.Path
		if r.Auth == web.Anonymous {
			require.True(t, open[r.Path], "%s is open to all", name)
			continue
		}
		for _, token := range []string{"", "token-that-nobody-has", strings.ToUpper(s.acme)} {
			got := s.call(token, r.Method, path, `{}`)
			require.Equal(t, 401, got.status, "%s with %q: %s", name, token, got.raw)
		}
		body := `{"instance_id":"i-1","old_instance":{"instance_id":"i-1"},"new_instance":{"instance_id":"i-9"},"instance":{},"pricing":{"spot_pools":[{"pool_id":"t3.medium.us-east-1a","az":"us-east-1a","price":0.01}],"on_demand_price":0.05},"target":"ondemand","action":"end","signal_type":"termination-notice","status":"ready","command_id":"x","target_mode":"ondemand","name":"x"}`
		if r.ID == "heartbeat" { // its statuses are other words
			body = `{}`
		}
		if r.ID == "reportHookResults" {
			body = `{"instance_id":"i-1","notice_id":"n","kind":"drain","hooks":[{"name":"drain/10-stop","attempt":1}]}`
		}
		if r.Strict {
			body = map[string]string{"createSink": `{"kind":"log"}`}[r.ID]
		}
		foreign := s.call(s.beta, r.Method, path, body)
		switch {
		case r.Auth == web.Admin:
			require.Equal(t, 403, foreign.status, "%s for a client: %s", name, foreign.raw)
		case strings.Contains(r.Path, ":agent_id"), strings.Contains(r.Path, ":client_id"), strings.Contains(r.Path,
			":instance_id"):
			require.Equal(t, 404, foreign.status, "%s for another client: %s", name, foreign.raw)
		}
		if r.Auth == web.Agent {
			require.Equal(t, 401, s.call(operatorToken, r.Method, path, `{}`).status, "%s is the agent's own", name)
		}
	}
	require.Empty(t, s.wf.asked, "no workflow heard of any of it")
}

func TestTokensComeInThreeWays(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	ask := func(method, path, authorization, body string) int {
		req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		rec := httptest.NewRecorder()
		s.handler.ServeHTTP(rec, req)
		return rec.Code
	}
	const beat = "/api/agents/a1/heartbeat"
	inBody := `{"client_token":"` + s.acme + `"}`
	require.Equal(t, 200, ask("POST", beat, "Bearer "+s.acme, `{}`))
	require.Equal(t, 200, ask("POST", beat, s.acme, `{}`))
	require.Equal(t, 200, ask("POST", beat, "  Bearer "+s.acme+" ", `{}`))
	require.Equal(t, 200, ask("POST", beat, "", inBody))
	require.Equal(t, 200, ask("POST", beat, "Bearer ", inBody))
	require.Equal(t, 401, ask("POST", beat, "Bearer nonsense", inBody), "the header decides")
	require.Equal(t, 401, ask("GET", "/api/agents/a1/config", "", inBody), "a GET has no body")
	for _, body := range []string{"", "{not json", "[]", "null", `{"client_token":5}`, `{"client_token":null}`} {
		require.Equal(t, 401, ask("POST", beat, "", body), body)
	}
	s.exec(`UPDATE clients SET status = 'inactive' WHERE id = 'c1'`)
	require.Equal(t, 403, ask("POST", beat, s.acme, `{}`))
	require.Equal(t, 403, ask("GET", "/api/client/validate", "Bearer "+s.acme, ""))
	require.Equal(t, "auth_failed",
		s.value(`SELECT type FROM events WHERE message LIKE '%/api/agents/:agent_id/heartbeat%' LIMIT 1`))
}

// TestTwoTokensAreNone: a request with two Authorization headers is
// refused, because a proxy may have checked either of them.
func TestTwoTokensAreNone(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for _, tokens := range [][]string{{s.acme, "nonsense"}, {"nonsense", s.acme}, {s.acme, s.acme}} {
		for _, path := range []string{"/api/client/validate", "/api/agents/a1/config"} {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
			for _, token := range tokens {
				req.Header.Add("Authorization", "Bearer "+token)
			}
			rec := httptest.NewRecorder()
			s.handler.ServeHTTP(rec, req)
			require.Equal(t, http.StatusUnauthorized, rec.Code, "%s %s", path, tokens)
		}
	}
}

// TestGuessingIsSlowedDown: an address that guesses tokens is refused with 429. A caller
// with a good token is not, even from that address and with a token never seen before.
func TestGuessingIsSlowedDown(t *testing.T) {
	t.Parallel()
	s := newStack(t)

	limited := 0
	for range 60 {
		if got := s.call("token-wrong", "POST", "/api/agents/a1/heartbeat", `{}`); got.status == 429 {
			require.NotEmpty(t, got.header.Get("Retry-After"))
			limited++
		}
	}
	require.Greater(t, limited, 20)
	require.Equal(t, 401, s.call("token-wrong", "POST", "/api/agents/a1/termination-imminent", `{}`).status,
		"an instance that has two minutes never waits")
	require.Equal(t, 200, s.call(s.beta, "GET", "/api/agents/b1/config", "").status)
	require.Equal(t, 200, s.call(s.acme, "POST", "/api/agents/a1/heartbeat", `{}`).status)
	require.Equal(t, 200, s.call(operatorToken, "GET", "/api/admin/clients", "").status)
	require.Equal(t, "1",
		s.value(`SELECT count(*)::text FROM events WHERE type = 'auth_failed' AND message LIKE '%heartbeat%'`),
		"one event a minute is enough")
}

// TestGuessingFromManyAddresses: addresses that take turns share one budget, and the
// events of their failures stay few. One machine has all of a /64.
func TestGuessingFromManyAddresses(t *testing.T) {
	t.Parallel()
	s := newStack(t)

	statuses := map[int]int{}
	for i := range 1000 {
		s.from = fmt.Sprintf("10.1.%d.%d:1", i/250, i%250)
		statuses[s.call("token-wrong", "GET", "/api/agents/a1/config", "").status]++
		if i%100 == 0 {
			require.Equal(t, 200, s.call(s.acme, "GET", "/api/agents/a1/config", "").status)
		}
	}
	require.Greater(t, statuses[429], 300, "%v", statuses)
	require.Equal(t, 1000, statuses[429]+statuses[401])

	other := newStack(t)
	for i := range 60 {
		other.from = fmt.Sprintf("[2001:db8::%x]:1", i)
		statuses[other.call("token-wrong", "GET", "/api/agents/a1/config", "").status]++
	}
	other.from = "[2001:db8::ffff]:1"
	require.Equal(t, 429, other.call("token-wrong", "GET", "/api/agents/a1/config", "").status)
}

// TestOpenOnLoopback is the page without a credential of its own.
func TestOpenOnLoopback(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.deps
	d.Operators, d.OpenToOperators, d.Metrics = nil, true, nil
	var err error
	s.handler, err = rest.New(d)
	require.NoError(t, err)

	s.call("", "GET", "/api/admin/clients/c1/token", "").holds(t, 200, `{"token":"`+s.acme+`"}`)
	s.call("", "POST", "/api/client/agents/a1/toggle-enabled", `{"enabled":true}`).holds(t, 200, `{"success":true}`)
	s.call("token-wrong", "GET", "/api/admin/clients/c1/token", "").holds(t, 401, `{"error":"Invalid operator token"}`)
	s.call("token-wrong", "GET", "/api/client/c1", "").holds(t, 401, `{"error":"Invalid client token"}`)
	s.call("token-wrong", "POST", "/api/agents/a1/heartbeat", `{}`).holds(t, 401, `{"error":"Invalid client token"}`)
	s.call(s.acme, "GET", "/api/admin/clients/c1/token", "").holds(t, 403, `{"code":"auth.operators_only"}`)
	s.call("", "POST", "/api/agents/a1/heartbeat", `{}`).holds(t, 401, `{"error":"Missing client token"}`)

	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost,
		"/api/client/agents/a1/toggle-enabled", strings.NewReader(`{"enabled":false}`))
	req.Header.Set("Origin", "https://elsewhere.example")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, req)
	require.Equal(t, 403, rec.Code, "some page in the operator's browser is no operator")
}

func TestBrowsersOfKnownOriginsMayCall(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.deps
	d.CORSOrigins, d.Metrics = []string{"https://page.example"}, nil
	h, err := rest.New(d)
	require.NoError(t, err)
	ask := func(method, origin string) http.Header {
		req := httptest.NewRequestWithContext(t.Context(), method, "/api/agents/a1/config", nil)
		req.Header.Set("Origin", origin)
		req.Header.Set("Access-Control-Request-Headers", "content-type")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		return rec.Header()
	}
	require.Equal(t, "https://page.example", ask("GET", "https://page.example").Get("Access-Control-Allow-Origin"),
		"on errors too")
	require.Equal(t, "content-type", ask("OPTIONS", "https://page.example").Get("Access-Control-Allow-Headers"))
	require.Empty(t, ask("OPTIONS", "https://elsewhere.example").Get("Access-Control-Allow-Origin"))
}
