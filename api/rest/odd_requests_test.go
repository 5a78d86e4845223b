package rest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"spotkeeper/api/control"
	"spotkeeper/api/rest"
	"spotkeeper/api/web"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/door"
	"spotkeeper/internal/sealing"
	"spotkeeper/internal/temporalx"
	"spotkeeper/workflows"
)

// pageOfWeb is what stands for the console, or for the page of WEB_DIR: it answers any
// request with HTML.
func pageOfWeb() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<html>the page</html>")
	})
}

// raw sends a request as it is written and returns its answer.
func (o *opened) raw(request string) (status int, kind, body string) {
	o.t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(o.dial(request)), nil)
	require.NoError(o.t, err, "%q", request)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(o.t, err)
	return res.StatusCode, res.Header.Get("Content-Type"), string(text)
}

// TestOddPathsAreNoOtherRoutes: a path with dot segments, doubled, encoded or trailing
// slashes is the path of no route, or of the one that its segments name. It is answered
// in JSON, with or without a page beside the API.
func TestOddPathsAreNoOtherRoutes(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.handler = s.another(t, func(d *rest.Deps) { d.Web = pageOfWeb() })
	o := s.open(door.Limits{})
	for _, method := range []string{"GET", "POST", "DELETE", "PUT"} {
		for _, path := range []string{
			"//api/agents/register", "/api//agents/register", "/api/agents/register/", "/api/agents//register",
			"/./api/agents/register", "/x/../api/agents/register", "/api/agents/../agents/register", "/api/../api/agents/register",
			"/%61pi/agents/register", "/api%2fagents%2fregister", "/api/agents%2Fregister", "/%2fapi/agents/register",
			"/%2e/api/agents/register", "/x/%2e%2e/api/agents/register", "/API/agents/register", "/Api/Agents/Register",
			"///api///agents///register", "/api/agents/register;x=1", "/api/agents/register%00", "/api/agents/register%20",
			"/api/agents/register%3Fx", "/api\\agents\\register", "/api/agents/register/.", "/api/agents/register/..",
			"/api/client/c1/../c2", "/api/client/c1%2f..%2fc2", "/api/client/..%2fadmin%2fclients", "/api/client/c2/",
			"/api/client/c1%2f%2e%2e%2fc2/agents", "/api/client/%2e%2e/admin/clients", "/api/client/C2", "/api/operations/..%2f..%2fadmin%2fclients",
			"/api/agents/a1%2f..%2fb1/config", "/api/agents/a1/../b1/config", "/api/agents/b1%2e/config", "/api/agents/a1%00b1/config",
			"/api/agents/%62%31/config", "/api/client/%63%32",
		} {
			request := method + " " + path + " HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nAuthorization: Bearer " + s.acme +
				"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
			status, kind, body := o.raw(request)
			require.Contains(t, []int{400, 403, 404, 405}, status, "%s %s: %s", method, path, body)
			require.Equal(t, "application/json", kind, "%s %s: %s", method, path, body)
		}
	}
}

// TestNoHeaderIsAnotherRequest: headers by which some servers change a request's method,
// path, host or caller change nothing, and requests that two servers may read differently
// are refused.
func TestNoHeaderIsAnotherRequest(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(readyRow)
	s.handler = s.another(t, func(d *rest.Deps) { d.Hosts = []string{"localhost"} })
	o := s.open(door.Limits{})
	ask := func(first, headers string) (int, string) {
		status, _, body := o.raw(first + " HTTP/1.1\r\n" + headers + "Connection: close\r\n\r\n")
		return status, body
	}
	const host = "Host: localhost\r\n"
	token := "Authorization: Bearer " + s.acme + "\r\n"
	for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"} {
		status, body := ask("POST /api/agents/a1/replicas/11112222-3333?_method=DELETE", host+token+header+": DELETE\r\n")
		require.Equal(t, 405, status, "%s: %s", header, body)
	}
	require.Zero(t, s.wf.count())
	for _, header := range []string{
		"X-Original-URL: /api/client/c2", "X-Rewrite-URL: /api/client/c2", "X-Forwarded-Prefix: /api/client/c2",
		"X-Forwarded-Uri: /api/client/c2", "X-Forwarded-Host: evil.example", "Forwarded: for=127.0.0.1;host=evil.example",
		"X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "X-Client-ID: c2", "X-Remote-User: ops",
	} {
		status, body := ask("GET /api/client/c1", host+token+header+"\r\n")
		require.Equal(t, 200, status, "%s: %s", header, body)
		require.Contains(t, body, `"c1"`, header)
		require.NotContains(t, body, "evil.example", header)
		status, body = ask("GET /api/admin/clients", host+header+"\r\n")
		require.Equal(t, 401, status, "%s: %s", header, body)
	}
	operator := "Authorization: Bearer " + operatorToken + "\r\n"
	for name, c := range map[string]struct {
		first, headers string
		want           int
	}{
		"two hosts":                   {"GET /api/client/c1", host + "Host: evil.example\r\n" + token, 400},
		"no host":                     {"GET /api/client/c1", token, 400},
		"the name of a stranger":      {"GET /api/client/c1", "Host: evil.example\r\n" + token, 421},
		"a name within another":       {"GET /api/client/c1", "Host: localhost.evil.example\r\n" + token, 421},
		"a user in the name":          {"GET /api/client/c1", "Host: localhost@evil.example\r\n" + token, 400},
		"a stranger in the path":      {"GET http://evil.example/api/client/c1", host + token, 421},
		"a line that goes on":         {"GET /api/client/c1", host + token + "X-A: b\r\n c\r\n", 200},
		"a space before the colon":    {"GET /api/client/c1", host + "Authorization : Bearer " + s.acme + "\r\n", 400},
		"two tokens":                  {"GET /api/client/c1", host + operator + token, 401},
		"two tokens the other way":    {"GET /api/client/c1", host + token + operator, 401},
		"two tokens in one":           {"GET /api/client/c1", host + "Authorization: Bearer " + operatorToken + ", Bearer " + s.acme + "\r\n", 401},
		"an empty one and a good one": {"GET /api/client/c1", host + "Authorization: \r\n" + token, 401},
		"another scheme":              {"GET /api/client/c1", host + "Authorization: Basic " + s.acme + "\r\n", 401},
		"a token in the query":        {"GET /api/client/c1?token=" + s.acme + "&access_token=" + s.acme, host, 401},
		"a token in a cookie":         {"GET /api/client/c1", host + "Cookie: spotkeeper_session=" + operatorToken + "\r\n", 401},
		"two lengths":                 {"POST /api/agents/a1/heartbeat", host + token + "Content-Length: 2\r\nContent-Length: 3\r\n", 400},
		"a length and chunks":         {"POST /api/agents/a1/heartbeat", host + token + "Content-Length: 9\r\nTransfer-Encoding: xchunked\r\n", 501},
		"a length below zero":         {"POST /api/agents/a1/heartbeat", host + token + "Content-Length: -1\r\n", 400},
		"a method that is none":       {"G@T /api/client/c1", host + token, 400},
		"a method that is unknown":    {"BREW /api/client/c1", host + token, 405},
		"a trace":                     {"TRACE /api/client/c1", host + token, 405},
		"a tunnel":                    {"CONNECT evil.example:443", host + token, 421},
	} {
		status, body := ask(c.first, c.headers)
		require.Equal(t, c.want, status, "%s: %s", name, body)
	}
}

// TestMethodsAreNoSeries: a caller that invents methods makes no series of metrics.
func TestMethodsAreNoSeries(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	metrics := prometheus.NewRegistry()
	h := s.another(t, func(d *rest.Deps) { d.Metrics = metrics })
	series := func() (n int) {
		families, err := metrics.Gather()
		require.NoError(t, err)
		for _, f := range families {
			n += len(f.GetMetric())
		}
		return n
	}
	ask := func(method, path string) {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody))
	}
	ask("BREW", "/nowhere")
	before := series()
	for n := range 50 {
		ask(fmt.Sprintf("BREW%d", n), fmt.Sprintf("/nowhere/%d", n))
		ask(fmt.Sprintf("get%d", n), "/health")
	}
	require.LessOrEqual(t, series()-before, 2)
}

// oddTexts are values of a path's parameter or of the query, as they are written in a URL.
var oddTexts = []string{
	"%00", "a%00b", "%ff", "%ed%a0%80", "%F0%9F%92%A5", "%e2%80%ae", "%0d%0aX-A:b", "%27%3B--", "..%2f..%2f", "%25", "%2525", "*", "null",
	"-1", "0", "99999999999999999999", "9223372036854775807", "1e400", "NaN", "Infinity", "yes", "%7B%7D", "%5B%5D", "0x10", "1,2",
	"2026-13-45", "9999-12-31T23:59:59Z", "-0001-01-01T00:00:00Z", "292277026596-01-01T00:00:00Z", strings.Repeat("x", 4000), strings.Repeat("%25", 1000),
}

// TestNoAddressIsAFault puts odd values into each parameter of each path and query: the
// answer is no fault of ours, and no parameter is written into a header of it.
func TestNoAddressIsAFault(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(readyRow)
	s.exec(someOperations)
	s.exec(someSessions)
	good := strings.NewReplacer("{agent_id}", "a1", "{client_id}", "c1", "{instance_id}", "i-1", "{replica_id}", "11112222-3333",
		"{operation_id}", "switch%2F1", "{command_id}", "x", "{notification_id}", "n", "{job}", "price-dedup", "{file}", "swagger-ui.css",
		"{sink_id}", "s1", "{credential_id}", "k1", "{session_id}", "s-live", "{pool_id}", "t3.medium.us-east-1a")
	var faults []string
	ask := func(r web.Route, token, address string) {
		req := httptest.NewRequestWithContext(t.Context(), r.Method, "/", strings.NewReader(`{}`))
		u, err := url.ParseRequestURI(address)
		if err != nil {
			return // net/http refuses it before we see it
		}
		req.URL, req.RequestURI = u, address
		req.Header.Set("Authorization", "Bearer "+token)
		rec := httptest.NewRecorder()
		s.handler.ServeHTTP(rec, req)
		if rec.Code >= 500 {
			faults = append(faults, fmt.Sprintf("%s %.120s: %.120s", r.Method, address, rec.Body))
		}
		for name, values := range rec.Header() {
			require.NotContains(t, strings.Join(values, ""), "\n", "%s %s: %s", r.Method, address, name)
		}
	}
	for _, r := range s.deps.Routes() {
		if r.Endpoint.IsStream() && r.Method == http.MethodGet && r.MediaType == web.EventStream || r.Auth == web.Anonymous {
			continue // it would not end
		}
		token := operatorToken
		if r.Auth == web.Agent || r.Auth == web.Joining {
			token = s.acme
		}
		path := web.DocumentPath(r)
		for _, odd := range oddTexts {
			for _, segment := range strings.Split(path, "/") {
				if strings.HasPrefix(segment, "{") {
					ask(r, token, good.Replace(strings.Replace(path, segment, odd, 1)))
				}
			}
			for _, name := range queryNames(r.Endpoint.In) {
				ask(r, token, good.Replace(path)+"?"+name+"="+odd)
			}
		}
	}
	require.Empty(t, faults)
}

func queryNames(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("form"); name != "" {
			names = append(names, name)
		} else if f.Anonymous && f.Type.Kind() == reflect.Struct {
			names = append(names, queryNames(f.Type)...)
		}
	}
	return names
}

// oddValues are values of a member, as they are written in JSON.
var oddValues = []string{
	`null`, `[]`, `{}`, `""`, `" "`, `true`, `-1`, `0`, `1e400`, `-1e400`, `1e-400`, `99999999999999999999`, strings.Repeat("9", 140_000), `0.1e1`,
	`"\u0000"`, `"\ud800"`, `"\u202e"`, `"` + strings.Repeat("x", 70_000) + `"`, `"NaN"`, `"9999-12-31T23:59:59Z"`, `"-0001-01-01T00:00:00Z"`,
	`"292277026596-01-01T00:00:00Z"`, `"\xff"`, `[null]`, `[[]]`, `[{}]`, `{"":""}`, `{"\u0000":1}`, `[1e400]`, `{"a":{"b":{"c":[{}]}}}`,
	`[{"metadata":{"encoding":"YmluYXJ5L2VuY3J5cHRlZA=="},"data":"AAAA"}]`, `[{"metadata":{"encoding":"!"}}]`,
	strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000),
	strings.Repeat(`{"a":`, 9_000) + "1" + strings.Repeat("}", 9_000),
	strings.Repeat("[", 100_000), strings.Repeat(`[{"a":`, 40_000),
}

// TestNoMemberIsAFault replaces each member of the bodies that routes take with odd values,
// deep and long ones among them, with the tokens of an operator, a tenant and an agent: the
// answer is JSON and no fault of ours.
func TestNoMemberIsAFault(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(readyRow)
	s.exec(someOperations)
	s.exec(someSessions)
	keys, err := sealing.NewKeys(sealing.Key{ID: "one", Secret: make([]byte, sealing.KeySize)})
	require.NoError(t, err)
	s.handler = s.another(t, func(d *rest.Deps) {
		d.Payloads = &control.Payloads{Codec: &temporalx.Codec{Box: keys.BoxFor("temporal"), Seal: true}}
	})
	mine := strings.NewReplacer("{agent_id}", "a1", "{client_id}", "c1", "{instance_id}", "i-1", "{replica_id}", "11112222-3333",
		"{operation_id}", "switch%2F1", "{command_id}", "x", "{notification_id}", "n", "{job}", "price-dedup",
		"{sink_id}", "s1", "{credential_id}", "k1", "{session_id}", "s-live", "{pool_id}", "t3.medium.us-east-1a")
	asked := 0
	var faults []string
	for _, r := range s.deps.Routes() {
		if r.Method == http.MethodGet || r.Endpoint.IsStream() {
			continue
		}
		token := operatorToken
		if r.Auth == web.Agent {
			token = s.acme
		}
		names := bodyNames(r.Endpoint.In)
		for _, name := range names {
			for _, odd := range oddValues {
				body := `{"` + name + `":` + odd + `}`
				if whole := fullBodies[r.ID]; whole != "" {
					body = whole[:len(whole)-1] + `,"` + name + `":` + odd + `}`
				}
				req := httptest.NewRequestWithContext(t.Context(), r.Method, mine.Replace(web.DocumentPath(r)), strings.NewReader(body))
				req.Header.Set("Authorization", "Bearer "+token)
				req.RemoteAddr = fmt.Sprintf("192.0.%d.%d:1234", asked/250%250, asked%250)
				asked++
				rec := httptest.NewRecorder()
				s.handler.ServeHTTP(rec, req)
				noReplica := rec.Code == http.StatusServiceUnavailable && strings.Contains(rec.Body.String(), string(interruption.NoReplica))
				if rec.Code >= 500 && !noReplica || !json.Valid(rec.Body.Bytes()) {
					faults = append(faults, fmt.Sprintf("%s %s %.80s: %d %.120s", r.ID, name, odd, rec.Code, rec.Body))
				}
			}
		}
	}
	require.Greater(t, asked, 1000)
	require.Empty(t, faults)
}

// fullBodies are bodies that routes take, without their last brace's worth of a member: one
// more member is put at their ends, and replaces the one of its name.
var fullBodies = map[string]string{
	"registerAgent":     `{"instance_id":"i-1","instance_type":"t3.medium","region":"us-east-1","az":"us-east-1a","logical_agent_id":"web-1","mode":"spot"}`,
	"reportHookResults": `{"instance_id":"i-1","notice_id":"n","kind":"drain","hooks":[{"name":"drain/10-stop","attempt":1}]}`,
	"reportSwitch":      bodyFor,
	"reportPrices":      bodyFor,
	"decide":            bodyFor,
	"blockPool":         `{"scope":"client","client_id":"c1","reason":"AWS"}`,
	"createSink":        `{"kind":"log"}`,
	"createCredential":  `{"kind":"enrolment"}`,
	"setLimits":         `{"agents":1,"open_replicas":2,"launches_per_hour":3}`,
	"backfillJob":       `{"from":"2026-03-01T00:00:00Z","until":"2026-03-01T02:00:00Z"}`,
	"createClient":      `{"name":"Gamma"}`,
	"forceSwitch":       `{"target":"ondemand"}`,
	"pauseAgents":       `{"agent_ids":["a1"]}`,
	"setRequirements":   `{"min_vcpus":2}`,
}

func bodyNames(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name != "" && name != "-":
			names = append(names, name)
		case f.Anonymous && f.Type.Kind() == reflect.Struct && name == "":
			names = append(names, bodyNames(f.Type)...)
		}
	}
	return names
}

// TestSecretsAreNotRepeated: a body is on the trail without its secrets, wherever in it
// they are.
func TestSecretsAreNotRepeated(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.call(s.acme, "DELETE", "/api/client/c1/credentials/none",
		`{"note":"shown","tags":{"db_password":"hidden","more":[{"Api-Token":"hidden","name":"shown"}]},"secret":{"a":"hidden"}}`)
	trail := s.value(`SELECT details->>'asked' FROM trail WHERE type = 'revokeCredential'`)
	require.NotContains(t, trail, "hidden")
	require.Contains(t, trail, "shown")
}

// TestLongPathsAreNotKept: a part of a path that is too long for any id is refused, and is in
// no line of the log and no entry of the trail.
func TestLongPathsAreNotKept(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	var log bytes.Buffer
	s.handler = s.another(t, func(d *rest.Deps) { d.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	long := strings.Repeat("x", 20_000)
	for _, path := range []string{
		"/api/client/c1/credentials/" + long, "/api/client/agents/" + long, "/api/agents/" + long + "/replicas/r",
	} {
		s.call(s.acme, "DELETE", path, "").holds(t, 400, `{"code":"request.invalid"}`)
	}
	require.NotContains(t, log.String(), long)
	require.Equal(t, "0", s.value(`SELECT count(*)::text FROM trail WHERE length(details::text) > 1000`))
}

// TestAnswersAreNotKept: no browser or proxy keeps an answer of the API, and none takes it
// for anything but JSON.
func TestAnswersAreNotKept(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for path, token := range map[string]string{
		"/api/admin/clients/c1/token": operatorToken, "/api/client/c1": s.acme, "/api/client/c2": s.acme, "/api/nowhere": "", "/health": "",
	} {
		got := s.call(token, "GET", path, "")
		require.Equal(t, "no-store", got.header.Get("Cache-Control"), path)
		require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"), path)
	}
}

// TestIdempotencyKeysAreTheirCallersOwn: one key of two tenants, of a tenant and an operator,
// of two agents or of two acts names as many requests. The same caller's names one.
func TestIdempotencyKeysAreTheirCallersOwn(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(readyRow)
	s.exec(`UPDATE agents SET keeping = 'manual'`)
	s.wf.replica.ReplicaID = "11112222-3333"
	ask := func(token, method, path, key string) {
		req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(`{}`))
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Idempotency-Key", key)
		s.handler.ServeHTTP(httptest.NewRecorder(), req)
	}
	requests := func() []string {
		s.wf.mu.Lock()
		defer s.wf.mu.Unlock()
		var ids []string
		for _, in := range s.wf.asked {
			switch in := in.(type) {
			case workflows.CreateReplicaInput:
				ids = append(ids, in.RequestID)
			case workflows.PromoteInput:
				ids = append(ids, in.RequestID)
			case workflows.DeleteReplicaInput:
				ids = append(ids, in.RequestID)
			}
		}
		return ids
	}
	for _, key := range []string{"k", "/k", "k/", "c1/k", "/c1/k", "a1/c1/k"} {
		ask(s.acme, "POST", "/api/agents/a1/replicas", key)
		ask(s.acme, "POST", "/api/agents/a2/replicas", key)
		ask(s.beta, "POST", "/api/agents/b1/replicas", key)
		ask(operatorToken, "POST", "/api/agents/a1/replicas", key)
		ask(operatorToken, "POST", "/api/agents/b1/replicas", key)
		ask(s.acme, "POST", "/api/agents/a1/replicas/11112222-3333/promote", key)
		ask(s.acme, "DELETE", "/api/agents/a1/replicas/11112222-3333", key)
	}
	ids := requests()
	require.GreaterOrEqual(t, len(ids), 30)
	before := len(ids)
	slices.Sort(ids)
	require.Len(t, slices.Compact(ids), before)
	ask(s.beta, "POST", "/api/agents/a1/replicas", "k")
	require.Len(t, requests(), before, "another tenant's agent")
	ask(s.acme, "POST", "/api/agents/a2/replicas", "k")
	again := requests()
	require.Equal(t, again[0], again[len(again)-1])
}
