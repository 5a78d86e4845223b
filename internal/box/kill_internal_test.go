package box

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKillBetweenSteps: an agent that is killed with -9 at any step of a notice, and
// started again, loses nothing and does nothing twice. What was reported is reported again
// when its acknowledgement was lost, which the control plane recognises by the instance;
// a hook that was cut off runs again, one that had ended does not.
func TestKillBetweenSteps(t *testing.T) {
	t.Parallel()
	const first, second = "notice/10-tell", "drain/10-stop"
	for _, step := range []string{
		"detected", "spooled", "answered", "acknowledged",
		"hook started " + first, "hook ended " + first, "hook started " + second, "hook ended " + second,
		"hook reported " + second, "done",
	} {
		t.Run(strings.ReplaceAll(step, "/", " "), func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			b.hook(first, "")
			b.hook(second, "")
			deadline := time.Now().Add(2 * time.Minute)
			b.imds.Interrupt("terminate", deadline)

			killed := b.start(step)
			err := killed.Wait()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal(), "it died at the step")

			b.start("")
			b.eventually(b.allDone)
			got := b.status()
			require.Len(t, got.Notices, 1)
			require.Equal(t, "replica_promoted", got.Notices[0].Answer.Action)
			require.Equal(t, []string{"begin " + first, "end " + first, "begin " + second, "end " + second}, b.traces())
			require.Len(t, got.Notices[0].Hooks, 2)
			require.Equal(t, map[string]int{first: 0, second: 0}, b.reportedHooks())

			reports := b.plane.Arrivals("/termination-imminent")
			require.NotEmpty(t, reports)
			require.LessOrEqual(t, len(reports), 2)
			for _, r := range reports {
				require.Equal(t, deadline.UTC().Format(time.RFC3339), r.Body["termination_time"],
					"every report has the deadline of the metadata service")
			}
		})
	}
}

// TestStoppedMidHook: the order to stop lets a notice in hand come to its end.
func TestStoppedMidHook(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.hook("notice/10-slow", "while [ ! -e "+b.dir+"/go ]; do sleep 0.02; done")
	b.hook("drain/10-stop", "")
	b.imds.Interrupt("terminate", time.Now().Add(2*time.Minute))
	process := b.start("")
	b.eventually(func() bool { return len(b.traces()) == 1 })
	require.NoError(t, process.Process.Signal(syscall.SIGKILL))
	require.Error(t, process.Wait())

	// The hook was cut off with the agent's unit; here it still runs. Started again, the
	// agent counts a second attempt.
	again := b.start("")
	b.eventually(func() bool { return len(b.traces()) == 2 })
	require.NoError(t, again.Process.Signal(syscall.SIGTERM))
	require.NoError(t, os.WriteFile(b.dir+"/go", nil, 0o600))
	require.NoError(t, again.Wait(), "it ended by itself")
	require.Contains(t, b.traces(), "end drain/10-stop")
}
