package hooks_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/internal/box/hooks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write makes a hook. Programs that are written and started at once can meet "text file
// busy" when another goroutine forks in between, so the file is a shell script, which the
// kernel opens for reading only.
func write(t *testing.T, dir, name, script string) hooks.Program {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o600))
	require.NoError(t, os.Chmod(path, 0o755))
	return hooks.Program{Name: name, Path: path}
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"drain/20-b", "drain/10-a", "drain/20-c.sh", "drain/README", "drain/5-short",
		"drain/30-last~"} {
		write(t, dir, name, "true")
	}
	require.NoError(t, os.Chmod(write(t, dir, "drain/40-data", "true").Path, 0o644))
	require.NoError(t, os.Chmod(write(t, dir, "drain/50-open", "true").Path, 0o777))
	require.NoError(t, os.Symlink("/no/such/file", filepath.Join(dir, "drain", "60-dangling")))
	groups, err := hooks.Find(dir, hooks.Drain)
	require.ErrorContains(t, err, "40-data: it is not executable")
	require.ErrorContains(t, err, "50-open: other users")
	require.ErrorContains(t, err, "60-dangling")
	var names [][]string
	for _, group := range groups {
		var one []string
		for _, p := range group {
			one = append(one, p.Name)
		}
		names = append(names, one)
	}
	require.Equal(t, [][]string{{"drain/10-a"}, {"drain/20-b", "drain/20-c.sh"}}, names)

	groups, err = hooks.Find(dir, hooks.Acquire)
	require.NoError(t, err, "an event without a directory has no hooks")
	require.Empty(t, groups)
}

func TestEnvironmentAndExit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := time.Date(2026, 11, 28, 16, 42, 7, 0, time.UTC)
	show := write(t, dir, "10-show", `env | grep ^SPOTKEEPER_ | sort; pwd; exit 75`)
	got := hooks.Run(t.Context(), show, hooks.Occasion{
		Event:      hooks.Drain,
		Reason:     "termination-notice",
		AgentID:    "web",
		InstanceID: "i-1",
		Role:       "primary",
		PeerID:     "i-2",
		Deadline:   at,
		Left:       97*time.Second + 900*time.Millisecond,
		Attempt:    2,
	})
	require.Equal(t, hooks.NotNow, got.Exit)
	require.Equal(t, `SPOTKEEPER_AGENT_ID=web
SPOTKEEPER_ATTEMPT=2
SPOTKEEPER_DEADLINE=2026-11-28T16:42:07Z
SPOTKEEPER_EVENT=drain
SPOTKEEPER_INSTANCE_ID=i-1
SPOTKEEPER_PEER_ID=i-2
SPOTKEEPER_REASON=termination-notice
SPOTKEEPER_ROLE=primary
SPOTKEEPER_SECONDS_LEFT=97
/
`, got.Output)

	missing := hooks.Run(t.Context(), hooks.Program{Path: filepath.Join(dir, "none")}, hooks.Occasion{})
	require.Equal(t, hooks.NotStarted, missing.Exit)
	require.Contains(t, missing.Output, "no such file")
	killed := hooks.Run(t.Context(), write(t, dir, "11-killed", "kill -9 $$"), hooks.Occasion{})
	require.Equal(t, 128+9, killed.Exit)
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	p := write(t, t.TempDir(), "10-megabytes", `head -c 20000000 /dev/zero | tr '\0' x; echo; echo the end`)
	got := hooks.Run(t.Context(), p, hooks.Occasion{})
	require.Zero(t, got.Exit)
	require.Len(t, got.Output, 4<<10)
	require.True(t, strings.HasSuffix(got.Output, "x\nthe end\n"))
}

// TestHangingHookIsEnded, with all that it has started, even when it ignores SIGTERM.
func TestHangingHookIsEnded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, script := range map[string]string{
		"10-hangs":   `echo $$ > %[1]s; sleep 1000`,
		"11-ignores": `trap '' TERM; echo $$ > %[1]s; while true; do sleep 1; done`,
		"12-forks":   `(trap '' TERM; sleep 1000) & echo $! > %[1]s; sleep 1000`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pid := filepath.Join(dir, name+".pid")
			p := write(t, dir, name, fmt.Sprintf(script, pid))
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan hooks.Result, 1)
			go func() { ended <- hooks.Run(ctx, p, hooks.Occasion{}) }()
			number := 0
			require.Eventually(t, func() bool {
				content, err := os.ReadFile(pid)
				if err != nil || !strings.HasSuffix(string(content), "\n") {
					return false
				}
				number, err = strconv.Atoi(strings.TrimSpace(string(content)))
				return err == nil
			}, 30*time.Second, time.Millisecond)
			cancel()
			require.Equal(t, hooks.TimedOut, (<-ended).Exit)
			gone(t, number)
		})
	}
}

// TestChildrenGoWithTheHook: what a hook leaves behind in its group is ended with it, and
// does not keep the agent waiting for its output.
func TestChildrenGoWithTheHook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pid := filepath.Join(dir, "pid")
	p := write(t, dir, "10-leaves", `sleep 1000 & echo $! > `+pid+`; exit 3`)
	got := hooks.Run(t.Context(), p, hooks.Occasion{})
	require.Equal(t, 3, got.Exit)
	content, err := os.ReadFile(pid)
	require.NoError(t, err)
	number, err := strconv.Atoi(strings.TrimSpace(string(content)))
	require.NoError(t, err)
	gone(t, number)
}

// gone waits for a process to have ended; one that no parent has collected yet has.
func gone(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		if syscall.Kill(pid, 0) != nil {
			return true
		}
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	}, 30*time.Second, 5*time.Millisecond)
}

// TestGroupRunsSideBySide: each of two hooks waits for the other.
func TestGroupRunsSideBySide(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	meet := func(own, other string) hooks.Program {
		return write(t, dir, "10-"+own, "cd "+dir+"; touch "+own+"; while [ ! -e "+other+" ]; do sleep 0.01; done")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var mu sync.Mutex
	exits := map[string]int{}
	hooks.RunGroup(ctx, []hooks.Program{meet("a", "b"),
		meet("b", "a")}, func(hooks.Program) hooks.Occasion { return hooks.Occasion{} },
		func(p hooks.Program, r hooks.Result) {
			mu.Lock()
			defer mu.Unlock()
			exits[p.Name] = r.Exit
		})
	require.Equal(t, map[string]int{"10-a": 0, "10-b": 0}, exits)
}
