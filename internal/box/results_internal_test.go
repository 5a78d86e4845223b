package box

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/box/boxtest"
)

// TestResultsOfHooksAreReported: each as it ends, beside hooks that still run, with the end of
// its output as text; again after an answer that failed.
func TestResultsOfHooksAreReported(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.hook("notice/10-well", "printf 'all\\000 \\033[1mgood'")
	b.hook("drain/10-fails", "head -c 9000 /dev/zero | tr '\\0' x; echo broken >&2; exit 3")
	b.hook("drain/20-waits", "while [ ! -e "+b.dir+"/go ]; do sleep 0.02; done")
	var asked atomic.Int64
	b.plane.Answer(func(a boxtest.Arrival) (int, string) {
		if filepath.Base(a.Path) == "hook-results" && asked.Add(1) == 1 {
			return http.StatusServiceUnavailable, `{"error":"later","code":"postgres.unavailable"}`
		}
		return 0, ""
	})
	b.run()
	b.imds.Interrupt("terminate", time.Now().Add(2*time.Minute))
	b.eventually(func() bool { return len(b.reportedHooks()) == 2 }, "while the third one runs")
	require.Equal(t, map[string]int{"notice/10-well": 0, "drain/10-fails": 3}, b.reportedHooks())
	b.touch("go")
	b.eventually(b.allDone)
	require.Equal(t, 0, b.reportedHooks()["drain/20-waits"])
	require.Greater(t, asked.Load(), int64(3))

	outputs := map[string]string{}
	for _, a := range b.plane.Arrivals("/hook-results") {
		require.Equal(t, "i-1", a.Body["instance_id"])
		require.Equal(t, "termination-notice", a.Body["kind"])
		require.Equal(t, "termination/agent-1/i-1", a.Body["operation_id"])
		for _, h := range a.Body["hooks"].([]any) {
			one := h.(map[string]any)
			outputs[one["name"].(string)], _ = one["output"].(string)
		}
	}
	require.Equal(t, "all [1mgood", outputs["notice/10-well"])
	require.True(t, strings.HasSuffix(outputs["drain/10-fails"], "xxxbroken"))
	require.LessOrEqual(t, len(outputs["drain/10-fails"]), 1<<10)
}

// TestControlPlaneWithoutResults: one of an earlier version holds no notice open.
func TestControlPlaneWithoutResults(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.hook("drain/10-stop", "")
	b.plane.Answer(func(a boxtest.Arrival) (int, string) {
		if filepath.Base(a.Path) == "hook-results" {
			return http.StatusNotFound, `{"error":"There is no such path.","code":"route.not_found"}`
		}
		return 0, ""
	})
	b.run()
	b.imds.Interrupt("terminate", time.Now().Add(2*time.Minute))
	b.eventually(b.allDone)
	require.NotEmpty(t, b.plane.Arrivals("/hook-results"))
	require.Less(t, len(b.plane.Arrivals("/hook-results")), 10, "four tries at both ways to the api")
}

// TestOrdersAgain: an order whose state is done is no reason to refuse the next one, also
// within the same second. An interruption by AWS is dealt with beside an order that is not over.
func TestOrdersAgain(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]struct {
		path    string
		in      any
		reports int
	}{
		"rehearsals":       {path: "/notice", in: Rehearsal{Seconds: 120}},
		"reported notices": {path: "/notice", in: Rehearsal{Seconds: 120, Report: true}, reports: 5},
		"orders to drain":  {path: "/drain"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			b.run()
			b.eventually(func() bool { return !b.status().LastBeat.IsZero() })
			var said string
			for n := range 5 {
				require.NoError(t, AskAgent(t.Context(), b.s.Socket, "POST", order.path, order.in, &said))
				b.eventually(func() bool { return len(b.status().Notices) == n+1 && b.allDone() })
			}
			require.Len(t, b.plane.Arrivals("/termination-imminent"), order.reports)

			release := filepath.Join(b.dir, "go")
			b.hook("drain/10-stop", "while [ ! -e "+release+" ]; do sleep 0.02; done")
			require.NoError(t, AskAgent(t.Context(), b.s.Socket, "POST", order.path, order.in, &said))
			b.eventually(func() bool { return len(b.traces()) == 1 })
			require.ErrorContains(t, AskAgent(t.Context(), b.s.Socket, "POST", order.path, order.in, &said), "under way already")
			deadline := time.Now().Add(2 * time.Minute).UTC().Truncate(time.Second)
			b.imds.Interrupt("terminate", deadline)
			b.eventually(func() bool {
				return len(b.plane.Arrivals("/termination-imminent")) == order.reports+reported(order.in)+1
			})
			require.NoError(t, os.WriteFile(release, nil, 0o600))
			b.eventually(b.allDone)
			arrivals := b.plane.Arrivals("/termination-imminent")
			require.Equal(t, deadline.Format(time.RFC3339), arrivals[len(arrivals)-1].Body["termination_time"])
			require.Len(t, b.status().Notices, 7)
		})
	}
}

// reported is 1 for an order that the control plane hears of.
func reported(order any) int {
	if r, ok := order.(Rehearsal); ok && r.Report {
		return 1
	}
	return 0
}
