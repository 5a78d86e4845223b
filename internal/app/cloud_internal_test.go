package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/config"
	"spotkeeper/internal/temporalx"
	"spotkeeper/internal/testkit/frontend"
	"spotkeeper/internal/testkit/postgrestest"
)

// opened is the product in a process of its own, beside a Temporal that behaves as
// its cloud does.
func opened(t *testing.T, c *frontend.Cloud) *App {
	t.Helper()
	return openedAt(t, frontend.Serve(t, c))
}

// openedAt is one with a database of its own, and the Temporal at an address.
func openedAt(t *testing.T, address string) *App {
	t.Helper()
	settings, err := config.Load(map[string]string{
		"DATABASE_URL": postgrestest.URL(t), "EC2_SIMULATED": "true", "ARTIFACTS_URL": t.TempDir(),
	})
	require.NoError(t, err)
	settings.Worker.MetricsListen = "" // its pages are asked directly
	a, err := Open(t.Context(), settings, Options{Log: slog.New(slog.DiscardHandler),
		Temporal: temporalx.Options{Address: address, Namespace: "ours.acct"}})
	require.NoError(t, err)
	t.Cleanup(a.Close)
	return a
}

// says is what a page answers.
func says(t *testing.T, h http.Handler) (status int, body string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/ready", http.NoBody)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	raw, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	return w.Code, string(raw)
}

// TestAWorkerOfTemporalCloudPolls, makes its schedules and is ready, although the
// health service and the operator service refuse its API key.
func TestAWorkerOfTemporalCloudPolls(t *testing.T) {
	t.Parallel()

	for name, lacks := range map[string][]string{
		"whole":                     nil,
		"without search attributes": {"ClientID", "AgentID", "AgentName", "Reason"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &frontend.Cloud{Lacks: lacks}
			a := opened(t, c)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- a.RunWorker(ctx) }()
			require.Eventually(t, func() bool {
				return c.Calls("PollWorkflowTaskQueue") > 0 && c.Calls("PollActivityTaskQueue") > 0 &&
					c.Calls("ListSchedules") > 0
			}, time.Minute, 10*time.Millisecond, "it polls, and has made its schedules")
			var status int
			var page string
			require.Eventually(t, func() bool {
				status, page = says(t, a.workerPages())
				return status == http.StatusOK
			}, time.Minute, 10*time.Millisecond, "it is ready")
			require.NoError(t, a.Workflows.Wake(ctx, "a1", "a notice came"), "messages go out")
			if lacks == nil {
				require.Contains(t, page, `"status":"ready"`)
			} else {
				require.Contains(t, page,
					"The namespace ours.acct lacks the search attributes ClientID, AgentID, AgentName, Reason, of the type Keyword.")
			}
			stop()
			require.NoError(t, <-ended)
		})
	}
}

// TestAnAPIOfTemporalCloudIsReady, and says what the namespace lacks.
func TestAnAPIOfTemporalCloudIsReady(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		lacks []string
		says  string
	}{
		"whole": {nil, `"search_attributes":{"ok":true`},
		"without search attributes": {[]string{"AgentID"},
			`"error":"The namespace ours.acct lacks the search attributes AgentID, of the type Keyword.`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := opened(t, &frontend.Cloud{Lacks: c.lacks})
			status, page := says(t, a.apiPages())
			require.Equal(t, http.StatusOK, status, page)
			require.Contains(t, page, c.says)
			require.Contains(t, page, `"temporal":{"ok":true`)
			require.NoError(t, a.Workflows.Wake(t.Context(), "a1", "a notice came"), "messages go out")
		})
	}
}
