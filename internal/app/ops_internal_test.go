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
