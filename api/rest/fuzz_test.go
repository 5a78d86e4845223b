package rest_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/testkit/legacytest"
)

// The bodies that come from machines we do not know, each through the whole
// handler to a real database: whatever is in them, the answer is JSON and no fault
// of ours. Run one with
//
//	go test ./api/rest -run '^$' -fuzz FuzzHeartbeat -fuzztime 5m -parallel 1
func FuzzHeartbeat(f *testing.F) { fuzzBody(f, "POST /api/agents/<agent_id>/heartbeat") }
func FuzzRegister(f *testing.F)  { fuzzBody(f, "POST /api/agents/register") }
func FuzzPricingReport(f *testing.F) {
	fuzzBody(f, "POST /api/agents/<agent_id>/pricing-report")
}
func FuzzSwitchReport(f *testing.F)  { fuzzBody(f, "POST /api/agents/<agent_id>/switch-report") }
func FuzzCleanupReport(f *testing.F) { fuzzBody(f, "POST /api/agents/<agent_id>/cleanup-report") }
func FuzzRebalance(f *testing.F) {
	fuzzBody(f, "POST /api/agents/<agent_id>/rebalance-recommendation")
}
func FuzzTerminationImminent(f *testing.F) {
	fuzzBody(f, "POST /api/agents/<agent_id>/termination-imminent")
}
func FuzzEmergencyReplica(f *testing.F) {
	fuzzBody(f, "POST /api/agents/<agent_id>/create-emergency-replica")
}
func FuzzModes(f *testing.F) { fuzzBody(f, "POST /api/client/agents/<agent_id>/config") }
func FuzzForceSwitch(f *testing.F) {
	fuzzBody(f, "POST /api/client/instances/<instance_id>/force-switch")
}

// fuzzBody begins with every body that was recorded of the route.
func fuzzBody(f *testing.F, route string) {
	f.Helper()
	s := newStack(f)
	recordings, err := legacytest.Load("testdata/legacy.jsonl")
	require.NoError(f, err)
	seeds := 0
	for _, r := range recordings {
		if r.Route == route && r.Body != nil {
			f.Add([]byte(strings.ReplaceAll(*r.Body, "i-0a000000000000001", "i-1")))
			seeds++
		}
	}
	require.NotZero(f, seeds, route)
	method, path, _ := strings.Cut(route, " ")
	path = strings.NewReplacer("<agent_id>", "a1", "<instance_id>", "i-1").Replace(path)
	f.Fuzz(func(t *testing.T, body []byte) {
		req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(string(body)))
		req.Header.Set("Authorization", "Bearer "+s.acme)
		req.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		s.handler.ServeHTTP(rec, req)
		requireNoFault(t, rec, "%q", body)
	})
}
