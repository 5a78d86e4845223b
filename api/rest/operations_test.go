package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/workflows"
)

const someOperations = `
INSERT INTO operations (id, kind, client_id, agent_id, summary, started_at)
SELECT 'switch/' || n, 'switch', 'c1', 'a1', 'moving', timestamptz '2026-03-01 00:00Z' + n * interval '1 minute'
FROM generate_series(1, 5) n;
INSERT INTO operations (id, kind, client_id, agent_id, state, ended_at, tend_at)
VALUES ('termination/b1/i-b', 'termination', 'c2', 'b1', 'succeeded', now(), NULL);
INSERT INTO operation_steps (operation_id, run_id, seq, name, detail, seconds_left)
VALUES ('switch/1', 'r', 1, 'launch', 'in t3.medium.us-east-1c', 42.5);`

func TestAnOperationSaysWhatItsMoveCost(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`
		INSERT INTO operations (id, kind, client_id, agent_id, state, started_at, ended_at, tend_at) VALUES
			('switch/cost', 'switch', 'c1', 'a1', 'succeeded', '2026-03-01 10:00Z', '2026-03-01 11:00Z', NULL);
		INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, spot_price,
			ondemand_price, installed_at, terminated_at) VALUES
			('i-old', 'c1', 'a1', 'retired', 't3.large', 'us-east-1', 'us-east-1a', 't3.large.us-east-1a', 'ondemand', 0.02,
				0.08, '2026-02-01', '2026-03-01 10:40Z'),
			('i-new', 'c1', 'a1', 'replica', 't3.large', 'us-east-1', 'us-east-1b', 't3.large.us-east-1b', 'spot', 0.03,
				0.08, '2026-03-01 10:00Z', NULL);
		INSERT INTO role_changes (client_id, agent_id, epoch, old_id, new_id, replica_id, cause, operation_id, changed_at)
		VALUES ('c1', 'a1', 9, 'i-old', 'i-new', 'r-cost', 'switch', 'switch/cost', '2026-03-01 10:10Z');`)

	// Ten minutes of the new one beside the primary, then thirty of the old one.
	got := s.call(s.acme, "GET", "/api/operations/switch%2Fcost", "")
	got.holds(t, 200, `{"agent_name":"web-1","cost":{"old_hourly":0.08,"new_hourly":0.03,
		"double_running_seconds":2400,"double_running_usd":0.045}}`)

	// An instance whose price was not known when it was launched has its pool's latest one.
	s.exec(`
		UPDATE instances SET spot_price = NULL WHERE id = 'i-new';
		INSERT INTO pools (id, instance_type, region, az)
		VALUES ('t3.large.us-east-1b', 't3.large', 'us-east-1', 'us-east-1b') ON CONFLICT DO NOTHING;
		INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at)
		VALUES ('t3.large.us-east-1b', 't3.large', 'us-east-1', 'us-east-1b', 0.06, 'collector', now());`)
	got = s.call(s.acme, "GET", "/api/operations/switch%2Fcost", "")
	got.holds(t, 200, `{"cost":{"old_hourly":0.08,"new_hourly":0.06,"double_running_seconds":2400,"double_running_usd":0.05}}`)
	s.exec(someOperations)
	s.exec(`UPDATE operations SET deadline = '2026-03-01 10:00:02.5Z' WHERE id = 'switch/1'`)
	s.call(s.acme, "GET", "/api/operations/switch%2F1", "").
		holds(t, 200, `{"cost":null,"deadline":"2026-03-01T10:00:02Z","deadline_at":"2026-03-01T10:00:02.500Z"}`)
}

func TestOperations(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(someOperations)

	var seen []string
	path := "/api/operations?limit=2&kind=switch"
	for next := any("first"); next != nil; {
		got := s.call(s.acme, "GET", path, "")
		got.holds(t, 200, `{}`)
		for _, x := range got.body["operations"].([]any) {
			seen = append(seen, x.(map[string]any)["id"].(string))
		}
		if next = got.body["next"]; next != nil {
			path = "/api/operations?limit=2&kind=switch&after=" + next.(string)
		}
	}
	require.Equal(t, "switch/5 switch/4 switch/3 switch/2 switch/1", strings.Join(seen, " "))
	s.call(s.beta, "GET", "/api/operations?client_id=c1", "").holds(t, 200, `{"operations":"*","next":null}`)
	require.Len(t, s.call(s.beta, "GET", "/api/operations?client_id=c1", "").body["operations"], 1,
		"a tenant's filter does not reach another tenant")
	require.Len(t, s.call(operatorToken, "GET", "/api/operations", "").body["operations"], 6)
	require.Len(t, s.call(operatorToken, "GET", "/api/operations?state=succeeded", "").body["operations"], 1)
	require.Equal(t, []any{}, s.call(operatorToken, "GET", "/api/operations?agent_id=a2", "").body["operations"])
	for _, q := range []string{"limit=0", "limit=9999", "kind=x", "state=x", "after=%21", "after=AAAA"} {
		s.call(operatorToken, "GET", "/api/operations?"+q, "").holds(t, 400, `{}`)
	}

	for _, id := range []string{"switch/1", url.PathEscape("switch/1")} {
		got := s.call(s.acme, "GET", "/api/operations/"+id, "")
		got.holds(
			t,
			200,
			`{"id":"switch/1","kind":"switch","state":"running","summary":"moving","href":"/api/operations/switch%2F1","ended_at":null}`,
		)
		step := got.body["steps"].([]any)[0].(map[string]any)
		require.Equal(t, []any{"launch", "done", "in t3.medium.us-east-1c", 42.5},
			[]any{step["name"], step["status"], step["detail"], step["seconds_left"]})
		require.NotContains(t, got.body, "live")
	}
	s.call(s.beta, "GET", "/api/operations/switch/1", "").holds(t, 404, `{"error":"Operation not found"}`)
	s.call(s.acme, "GET", "/api/operations/nope", "").holds(t, 404, `{}`)
	s.wf.live = &workflows.Progress{
		Phase:  "launching",
		Detail: "first pool",
		Steps:  []workflows.ProgressStep{{Name: "choose", Status: "done"}},
	}
	live := s.call(s.acme, "GET", "/api/operations/switch%2F1?live=true", "")
	live.holds(t, 200, `{"id":"switch/1"}`)
	require.Equal(t, "launching", live.body["live"].(map[string]any)["phase"])

	s.call(s.acme, "POST", "/api/operations/switch/1/cancel", "").holds(t, 202,
		`{"success":true,"operation_id":"switch/1"}`)
	require.Equal(t, "switch/1", last[string](t, s.wf))
	s.call(s.acme, "POST", "/api/operations/switch%2F2/cancel", `{}`).holds(t, 202, `{"operation_id":"switch/2"}`)
	s.call(s.beta, "POST", "/api/operations/switch/1/cancel", "").holds(t, 404, `{}`)
	s.call(s.acme, "POST", "/api/operations/switch/1", "").holds(t, 404, `{"code":"request.no_such_route"}`)
	s.call(s.beta, "POST", "/api/operations/termination/b1/i-b/cancel", "").holds(t, 409,
		`{"code":"operation.ended","state":"succeeded"}`)
	s.wf.err = workflows.Committed.New("too late")
	s.call(s.acme, "POST", "/api/operations/switch/1/cancel", "").holds(t, 409, `{"code":"operation.committed"}`)
}

func TestAgentState(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(readyRow)
	s.exec(someOperations)
	s.exec(
		`
			INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline)
			VALUES ('c1', 'a1', 'i-1', 'rebalance-recommendation', '2026-03-01 00:00Z')`,
	)

	got := s.call(s.acme, "GET", "/api/client/agents/a1/state", "")
	got.holds(
		t,
		200,
		`{"agent_id":"a1","client_id":"c1","epoch":0,"keeping":"auto","launcher":"control-plane","guardian":null,"switch":null,
		"primary":{"id":"i-1","instance_type":"t3.medium","region":"us-east-1","az":"us-east-1a","pool_id":"t3.medium.us-east-1a","mode":"spot","proof":"launched","unproven":null},
		"notices":[{"instance_id":"i-1","kind":"rebalance-recommendation","deadline":"2026-03-01T00:00:00Z","result":"","new_primary":""}]}`,
	)
	require.Len(t, got.body["replicas"], 1)
	require.Len(t, got.body["operations"], 5)
	s.wf.guardian = &workflows.GuardianState{Phase: "watching", InFlight: 2}
	s.call(s.acme, "GET", "/api/client/agents/a1/state", "").
		holds(t, 200, `{"guardian":{"phase":"watching","in_flight":2}}`)
	s.call(s.beta, "GET", "/api/client/agents/a1/state", "").holds(t, 404, `{"error":"Agent not found"}`)
}

// follow opens a stream of events and hands over its lines.
func follow(ctx context.Context, t *testing.T, client *http.Client, base, token, path, lastID string) <-chan string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := client.Do(req) //nolint:bodyclose // closed by the reader below
	require.NoError(t, err)
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		defer func() { _ = res.Body.Close() }()
		for in := bufio.NewScanner(res.Body); in.Scan(); {
			lines <- in.Text()
		}
	}()
	return lines
}

// until reads lines up to one that begins so.
func until(t *testing.T, lines <-chan string, prefix string) string {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case line, more := <-lines:
			require.True(t, more, "the stream ended before %q", prefix)
			if strings.HasPrefix(line, prefix) {
				return strings.TrimPrefix(line, prefix)
			}
		case <-limit:
			require.Failf(t, "nothing came", "%q", prefix)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.feed.Run(ctx) }()
	server := httptest.NewServer(s.handler)
	defer server.Close()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	const path = "/api/client/c1/events"

	lines := follow(t.Context(), t, client, server.URL, s.acme, path, "")
	until(t, lines, ": beat")
	s.exec(
		`
			INSERT INTO operations (id, kind, client_id, agent_id, summary)
			VALUES ('switch/other', 'switch', 'c2', 'b1', 'not yours')`,
	)
	s.exec(
		`
			INSERT INTO operations (id, kind, client_id, agent_id, summary)
			VALUES ('switch/1', 'switch', 'c1', 'a1', 'moving')`,
	)
	id := until(t, lines, "id: ")
	var event struct {
		Type string
		Data map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(until(t, lines, "data: ")), &event))
	require.Equal(t, []any{"operation", "switch/1", "moving"},
		[]any{event.Type, event.Data["id"], event.Data["summary"]})
	s.exec(
		`
			INSERT INTO role_changes (client_id, agent_id, epoch, old_id, new_id, replica_id, cause)
			VALUES ('c1', 'a1', 1, 'i-1', 'i-n', 'r', 'termination')`,
	)
	until(t, lines, "event: roles")
	require.Contains(t, until(t, lines, "data: "), `"new_primary":"i-n"`)

	// A listener that reconnects receives what it missed.
	again := follow(t.Context(), t, client, server.URL, operatorToken, path, id)
	until(t, again, "event: roles")

	s.call(s.beta, "GET", path, "").holds(t, 404, `{"error":"Client not found"}`)
	s.call(s.acme, "GET", path+"?after=soon", "").holds(t, 400, `{}`)
	for i := range 14 {
		follow(t.Context(), t, client, server.URL, s.acme, path+fmt.Sprintf("?n=%d", i), "")
	}
	s.call(s.acme, "GET", path, "").holds(t, 429, `{"code":"events.too_many_streams"}`)

	// At the end of the process every stream ends.
	cancel()
	require.NoError(t, <-ended)
	for range lines {
		continue
	}
	s.call(s.acme, "GET", path, "").holds(t, 503, `{}`)
}

// streamed serves the stack with a feed that runs until the test ends.
func (s *stack) streamed(t *testing.T) (*http.Client, string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.feed.Run(ctx) }()
	server := httptest.NewServer(s.handler)
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{}}
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		client.CloseIdleConnections()
		server.Close()
	})
	return client, server.URL
}

// many has one transaction change thousands of operations, a fifth of them another client's.
const many = `
INSERT INTO operations (id, kind, client_id, agent_id, summary, updated_at)
SELECT 'switch/' || n, 'switch', CASE WHEN n % 5 = 0 THEN 'c2' ELSE 'c1' END, 'a1', '', now()
FROM generate_series(1, 3125) n`

// TestAListenerThatWasAwayMissesNothing: thousands of changes with one stamp reach a listener
// that comes back. An id of another client's event names a moment, and shows nothing of that
// client.
func TestAListenerThatWasAwayMissesNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/client/c1/events"
	before := s.value(`SELECT (extract(epoch FROM now()) * 1e6)::bigint::text`)
	s.exec(many)
	stamps := s.value(`SELECT string_agg(DISTINCT (extract(epoch FROM updated_at) * 1e6)::bigint::text, ' ') FROM operations
		WHERE id LIKE 'switch/%' AND client_id = 'c2'`)
	client, base := s.streamed(t)
	for _, from := range []string{before, stamps, "0"} { // the second is the id of the other client's events
		lines := follow(t.Context(), t, client, base, s.acme, path, from)
		seen := map[string]bool{}
		for len(seen) < 2500 {
			var event struct{ Data struct{ ID string } }
			require.NoError(t, json.Unmarshal([]byte(until(t, lines, "data: ")), &event))
			n, err := strconv.Atoi(strings.TrimPrefix(event.Data.ID, "switch/"))
			require.NoError(t, err)
			require.NotZero(t, n%5, "%s is of another client", event.Data.ID)
			seen[event.Data.ID] = true
		}
	}
	for _, odd := range []string{"-1", "1e3", "99999999999999999999", "0x1", "1%3B2", "%00", "null"} {
		s.call(s.acme, "GET", path+"?after="+odd, "").holds(t, 400, `{"code":"request.invalid"}`)
	}
}

// TestAFeedGoesOnBehindManyChangesWithOneStamp, with what comes after them.
func TestAFeedGoesOnBehindManyChangesWithOneStamp(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	client, base := s.streamed(t)
	there := follow(t.Context(), t, client, base, s.beta, "/api/client/c2/events", "")
	until(t, there, ": beat")
	s.exec(strings.Replace(many, "'c2'", "'c1'", 1))
	s.exec(`INSERT INTO operations (id, kind, client_id, agent_id, summary) VALUES ('switch/last', 'switch', 'c2', 'b1', 'last')`)
	require.Contains(t, until(t, there, "data: "), "switch/last")
}
