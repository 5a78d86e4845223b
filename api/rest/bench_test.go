package rest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// benchmarkRoute answers one request after the other, database included.
func benchmarkRoute(b *testing.B, method, path, body string) {
	b.Helper()
	newStack(b).benchmark(b, method, path, body)
}

// benchmark is benchmarkRoute on a stack that was filled before.
func (s *stack) benchmark(b *testing.B, method, path, body string) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequestWithContext(b.Context(), method, path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+s.acme)
		rec := httptest.NewRecorder()
		s.handler.ServeHTTP(rec, req)
		if rec.Code != http.StatusOK {
			b.Fatal(rec.Code, rec.Body)
		}
	}
}

func BenchmarkHeartbeat(b *testing.B) {
	benchmarkRoute(b, http.MethodPost, "/api/agents/a1/heartbeat", beat("online", "i-1"))
}

func BenchmarkPendingCommands(b *testing.B) {
	benchmarkRoute(b, http.MethodGet, "/api/agents/a1/pending-commands", "")
}

func BenchmarkAgentConfig(b *testing.B) {
	benchmarkRoute(b, http.MethodGet, "/api/agents/a1/config", "")
}

func BenchmarkClientAgents(b *testing.B) {
	s := newStack(b)
	s.exec(
		`
			INSERT INTO agents (id, client_id, logical_agent_id)
			SELECT 'f' || n, 'c1', 'f' || n
			FROM generate_series(1, 200) n`,
	)
	s.exec(
		`
		INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, ami_id,
			launched_by)
		SELECT 'f-' || n, 'c1', 'f' || n, 'primary', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a',
			'spot', 'ami-1', 'control-plane'
		FROM generate_series(1, 200) n`,
	)
	s.benchmark(b, http.MethodGet, "/api/client/c1/agents", "")
}

func BenchmarkPricingReport(b *testing.B) {
	benchmarkRoute(
		b,
		http.MethodPost,
		"/api/agents/a1/pricing-report",
		`{"instance":{"instance_id":"i-1","instance_type":"t3.medium","region":"us-east-1","az":"us-east-1a","mode":"spot","pool_id":"t3.medium.us-east-1a"},`+
			`"pricing":{"on_demand_price":0.0416,"current_spot_price":0.01,"spot_pools":[{"pool_id":"t3.medium.us-east-1a","instance_type":"t3.medium","az":"us-east-1a","price":0.01},`+
			`{"pool_id":"t3.medium.us-east-1b","instance_type":"t3.medium","az":"us-east-1b","price":0.011},{"pool_id":"t3.medium.us-east-1c","instance_type":"t3.medium","az":"us-east-1c","price":0.012},`+
			`{"pool_id":"t3.medium.us-east-1d","instance_type":"t3.medium","az":"us-east-1d","price":0.013},{"pool_id":"t3.medium.us-east-1e","instance_type":"t3.medium","az":"us-east-1e","price":0.014},`+
			`{"pool_id":"t3.medium.us-east-1f","instance_type":"t3.medium","az":"us-east-1f","price":0.015}]}}`,
	)
}
