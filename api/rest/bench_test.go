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
	s := newStack(b)
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
	b.Helper()
	s := newStack(b)
	s.exec(`INSERT INTO agents (id, client_id, logical_agent_id) SELECT 'f' || n, 'c1', 'f' || n FROM generate_series(1, 200) n`)
	s.exec(`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, ami_id, launched_by)
		SELECT 'f-' || n, 'c1', 'f' || n, 'primary', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a', 'spot', 'ami-1', 'control-plane' FROM generate_series(1, 200) n`)
	for b.Loop() {
		req := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/client/c1/agents", http.NoBody)
		req.Header.Set("Authorization", "Bearer "+s.acme)
		rec := httptest.NewRecorder()
		s.handler.ServeHTTP(rec, req)
		if rec.Code != http.StatusOK {
			b.Fatal(rec.Code, rec.Body)
		}
	}
}
