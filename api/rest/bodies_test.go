package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
)

// words are the members and values that bodies are made of: what the routes
// know, what they half know, and what breaks careless programs.
var words = []string{
	"instance_id", "status", "mode", "az", "instance_type", "region", "logical_agent_id", "success", "message",
	"command_id", "old_instance", "new_instance",
	"prices", "pricing", "timing", "trigger", "snapshots", "amis", "failed", "deleted", "target_mode",
	"target_pool_id", "priority", "instance", "spot_pools",
	"on_demand_price", "price", "pool_id", "collected_at", "termination_time", "signal_type", "monitored_instances",
	"client_token", "timestamp", "reason",
	"i-1", "i-0", "spot", "ondemand", "online", "offline", "t3.medium", "us-east-1a", "t3.medium.us-east-1c",
	"2026-11-22T10:00:00Z", "soon", "", " ", "a/b", "ü\u2028", "\x00", "'; --",
}

// value draws any JSON value.
func value(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kind := rapid.IntRange(0, 9).Draw(t, "kind")
		switch {
		case kind < 3:
			return rapid.SampledFrom(words).Draw(t, "word")
		case kind == 3:
			return rapid.SampledFrom([]any{nil, true, false, 0, 1, -1, 75, 1e300, -0.5, 99999999999}).Draw(t, "scalar")
		case kind == 4:
			return strings.Repeat("x", rapid.SampledFrom([]int{19, 20, 21, 64, 65, 255, 256, 5000}).Draw(t, "length"))
		case kind < 7 && depth > 0:
			return rapid.SliceOfN(value(depth-1), 0, 3).Draw(t, "list")
		case depth > 0:
			return rapid.MapOfN(rapid.SampledFrom(words), value(depth-1), 0, 6).Draw(t, "object")
		default:
			return rapid.String().Draw(t, "text")
		}
	})
}

// TestNoBodyIsAFault sends any JSON to every route that reads a body: the answer
// is JSON, and never a fault of ours.
func TestNoBodyIsAFault(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	var routes []web.Route
	for _, r := range s.deps.Routes() {
		if r.Method != http.MethodGet && r.Auth != web.Admin && strings.HasPrefix(r.Path, "/api/") {
			routes = append(routes, r)
		}
	}
	fill := strings.NewReplacer(":agent_id", "a1", ":client_id", "c1", ":instance_id", "i-1", ":replica_id", "r",
		":command_id", "c", ":id", "x", "*id", "x")
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.SampledFrom(routes).Draw(t, "route")
		body, err := json.Marshal(rapid.MapOfN(rapid.SampledFrom(words), value(3), 0, 8).Draw(t, "body"))
		require.NoError(t, err)
		req := httptest.NewRequestWithContext(t.Context(), r.Method,
			fill.Replace(r.Path), strings.NewReader(string(body)))
		req.Header.Set("Authorization", "Bearer "+s.acme)
		rec := httptest.NewRecorder()
		s.handler.ServeHTTP(rec, req)
		requireNoFault(t, rec, "%s %s: %s", r.Method, r.Path, body)
	})
}

// requireNoFault requires a JSON answer with no status above 499. One answer above 499 is no
// fault: an agent that must stay alive learns from it that no replica can take over.
func requireNoFault(t require.TestingT, rec *httptest.ResponseRecorder, of string, args ...any) {
	of = fmt.Sprintf(of, args...)
	var answer struct{ Code fault.Code }
	require.True(t, json.Valid(rec.Body.Bytes()), "%s: %s", of, rec.Body)
	_ = json.Unmarshal(rec.Body.Bytes(), &answer) // a list has no code
	if rec.Code != http.StatusServiceUnavailable || answer.Code != interruption.NoReplica {
		require.Less(t, rec.Code, 500, "%s: %s", of, rec.Body)
	}
}

// TestNoReplicaIsNoFault sends what TestNoBodyIsAFault draws once in many runs.
func TestNoReplicaIsNoFault(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	body := strings.NewReader(`{"instance_id":"i-2"}`)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/agents/a2/termination-imminent", body)
	req.Header.Set("Authorization", "Bearer "+s.acme)
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, req)
	require.Equal(t, http.StatusServiceUnavailable, rec.Code)
	requireNoFault(t, rec, "a notice without a replica")
}
