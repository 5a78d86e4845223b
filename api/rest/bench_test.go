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
