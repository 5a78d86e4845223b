package box

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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

// TestChangesWhileDraining: the instance reboots, the agent is upgraded and comes back, or it gets
// another name, in the middle of a drain. The drain hook runs again as a second attempt, and what
// had ended does not.
func TestChangesWhileDraining(t *testing.T) {
	t.Parallel()
	const first, second = "notice/10-tell", "drain/10-stop"
	for name, c := range map[string]struct {
		change  func(t *testing.T, b *box)
		logical string // what the agent is registered as in the end
	}{
		"reboot": {change: func(*testing.T, *box) {}, logical: "web"},
		"rename": {change: func(_ *testing.T, b *box) { b.s.AgentID = "api" }, logical: "api"},
		"a later version and back": {logical: "web", change: func(t *testing.T, b *box) {
			t.Helper()
			files, err := filepath.Glob(filepath.Join(b.s.StateDir, "notices", "*.json"))
			require.NoError(t, err)
			require.Len(t, files, 1)
			for _, file := range append(files, stateFile(b.s.StateDir)) {
				content, err := os.ReadFile(file)
				require.NoError(t, err)
				later := strings.Replace(string(content), "{", `{"member_of_a_later_version":[1],`, 1)
				require.NoError(t, os.WriteFile(file, []byte(later), 0o600))
			}
		}},
		"the disk of a snapshot": {logical: "web", change: func(t *testing.T, b *box) {
			t.Helper() // the registration is older than the notice
			require.NoError(t, os.Remove(stateFile(b.s.StateDir)))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			b.hook(first, "")
			b.hook(second, "echo $$ > "+b.dir+"/pid; echo $SPOTKEEPER_ATTEMPT > "+b.dir+"/attempt; while [ ! -e "+b.dir+
				"/go ]; do sleep 0.02; done")
			b.imds.Interrupt("terminate", time.Now().Add(2*time.Minute))
			agent := b.start("")
			b.eventually(func() bool { return len(b.traces()) == 3 && b.number("pid") > 0 })
			require.NoError(t, agent.Process.Kill())
			require.Error(t, agent.Wait())
			require.NoError(t, syscall.Kill(b.number("pid"), syscall.SIGKILL))
			c.change(t, b)

			b.start("")
			b.eventually(func() bool { return b.number("attempt") == 2 })
			b.touch("go")
			b.eventually(b.allDone)
			require.Equal(t, []string{"begin " + first, "end " + first, "begin " + second, "begin " + second, "end " + second},
				b.traces())
			require.Equal(t, map[string]int{first: 0, second: 0}, b.reportedHooks())
			registrations := b.plane.Arrivals("/register")
			require.Equal(t, c.logical, registrations[len(registrations)-1].Body["logical_agent_id"])
			require.Len(t, b.status().Notices, 1)
		})
	}
}

// number is what a hook has written into a file of the box's directory, 0 while there is none.
func (b *box) number(name string) int {
	content, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0
	}
	return n
}
