package app

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// TestAliveWithoutDependencies: a process that waits for a dependency is not restarted for it.
func TestAliveWithoutDependencies(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	(&App{Metrics: prometheus.NewRegistry()}).opsPages().ServeHTTP(w,
		httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/health", http.NoBody))
	require.Equal(t, http.StatusOK, w.Code)
}

// TestOpsPagesOnLoopbackHaveALocalName: a page whose name was made to resolve to this machine
// reads no profile and no metric of it. A scraper elsewhere asks by any name.
func TestOpsPagesOnLoopbackHaveALocalName(t *testing.T) {
	t.Parallel()
	a := &App{Metrics: prometheus.NewRegistry()}
	for _, c := range []struct {
		listen, host string
		want         int
	}{
		{"127.0.0.1:9091", "evil.example:9091", 421},
		{"localhost:9091", "evil.example", 421},
		{"[::1]:9091", "127.0.0.1.evil.example", 421},
		{"127.0.0.1:9091", "", 421},
		{"127.0.0.1:9091", "localhost:9091", 200},
		{"127.0.0.1:9091", "127.0.0.1:9091", 200},
		{"[::1]:9091", "[::1]:9091", 200},
		{"0.0.0.0:9091", "worker:9091", 200},
		{":9091", "10.0.0.7:9091", 200},
	} {
		for _, path := range []string{"/metrics", "/debug/pprof/cmdline", "/health"} {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
			req.Host = c.host
			w := httptest.NewRecorder()
			onlyLocalNames(c.listen, a.opsPages()).ServeHTTP(w, req)
			require.Equal(t, c.want, w.Code, "%s asked as %s for %s", c.listen, c.host, path)
		}
	}
}
