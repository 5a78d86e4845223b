package box

import (
	"net/http"
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

// TestRehearsalAgain: one that is over is no reason to refuse the next.
func TestRehearsalAgain(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.hook("drain/10-stop", "")
	b.run()
	b.eventually(func() bool { return !b.status().LastBeat.IsZero() })
	for n := range 2 {
		var said string
		require.NoError(t, AskAgent(t.Context(), b.s.Socket, "POST", "/notice", Rehearsal{Seconds: float64(100 + n)}, &said))
		require.Contains(t, said, "see status")
		b.eventually(func() bool { return len(b.status().Notices) == n+1 && b.allDone() })
	}
	require.Len(t, b.traces(), 4)
	require.Empty(t, b.plane.Arrivals("/hook-results"), "a rehearsal is not reported")
}
