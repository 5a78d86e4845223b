package onnx_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/host"
	"spotkeeper/internal/engine/onnx"
	"spotkeeper/internal/testkit/confined"
)

// hostile compiles a library that tries to get out of the host when it is loaded.
func hostile(t *testing.T, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // the library may find it
	secret, socket, library := filepath.Join(dir, "secret"), filepath.Join(dir, "s"), filepath.Join(dir, "hostile.so")
	require.NoError(t, os.WriteFile(secret, []byte("s3cret"), 0o644)) //nolint:gosec // it is readable, and out of sight
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	_, here, _, ok := runtime.Caller(0)
	require.True(t, ok)
	source := filepath.Join(filepath.Dir(here), "testdata", "hostile.c")
	binary, err := os.Executable()
	require.NoError(t, err)
	flags = append(flags, "-shared", "-fPIC", "-pthread", "-o", library, "-DSECRET=\""+secret+"\"",
		"-DSOCKET=\""+socket+"\"", "-DBINARY=\""+binary+"\"", source)
	out, err := exec.CommandContext(t.Context(), "cc", flags...).CombinedOutput()
	require.NoError(t, err, string(out))
	return library
}

// TestEscapes has code inside the host try each way out, as the user that runs the test.
func TestEscapes(t *testing.T) {
	t.Parallel()
	_, err := onnx.New(t.Context(), options(), hostile(t), "model.onnx", byRate().Bytes())
	require.True(t, fault.Is(err, onnx.BadModel), "%v", err)
	for _, met := range []string{
		"pid 1 ", "environment=ENOENT;", "proc=ENOENT;", "secret=ENOENT;", "users=ENOENT;", "binary=ENOENT;",
		"socket=EPERM;", "metadata=EPERM;", "fork=EPERM;", "clone=EPERM;", "exec=ENOENT;", "namespace=EPERM;",
		"mount=EPERM;", "root=E", "kill=E", "limit=EPERM;", "write=E", "thread=done;", "inherited=EMFILE;",
	} {
		require.ErrorContains(t, err, met)
	}
	if !raceDetector {
		require.ErrorContains(t, err, "memory=ENOMEM;")
	}
}

// TestEscapesOfAnOrdinaryUser is TestEscapes in a process without rights, one that shows
// itself and one that is hidden from other processes of its user.
func TestEscapesOfAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	for _, name := range []string{confined.Shown, confined.Hidden} {
		confined.RequirePass(t, name, true, "TestEscapes")
	}
}

// TestWhatCannotBeHeldIsRefused: in a container without namespaces no model is loaded, and
// the sentence says what to do; it runs where the operator accepts that.
func TestWhatCannotBeHeldIsRefused(t *testing.T) {
	t.Parallel()
	if os.Args[0] == confined.Contained {
		o := options()
		_, err := onnx.New(t.Context(), o, library(t), "tree.onnx", byRate().Bytes())
		require.True(t, fault.Is(err, onnx.Off), "%v", err)
		require.ErrorContains(t, err, "onnx off: this machine cannot hold what was uploaded as it must be held")
		require.ErrorContains(t, err, "ENGINE_PYTHON=unsafe")
		o.Unsafe = true
		e, err := onnx.New(t.Context(), o, library(t), "tree.onnx", byRate().Bytes())
		require.NoError(t, err)
		require.Contains(t, e.Isolation(), "our files and the network are reachable")
		require.InDelta(t, .6, engine.Decide(t.Context(), e, input()).Risk, 1e-6)
		require.NoError(t, e.Close())
		return
	}
	for _, ordinary := range []bool{false, true} {
		confined.RequirePass(t, confined.Contained, ordinary, "TestWhatCannotBeHeldIsRefused")
	}
}

// hostsOf lists the processes that this one has as hosts of models.
func hostsOf(t *testing.T) (pids []int) {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	require.NoError(t, err)
	for _, list := range lists {
		text, err := os.ReadFile(list) //nolint:gosec // the kernel's
		if err != nil {                // of a thread that has ended
			continue
		}
		for field := range strings.FieldsSeq(string(text)) {
			name, _ := os.ReadFile("/proc/" + field + "/cmdline")
			pid, err := strconv.Atoi(field)
			require.NoError(t, err)
			if strings.HasPrefix(string(name), "spotkeeper-onnx-host\x00") {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// TestAModelWhoseHostDies is in quarantine after the second death within a minute. The
// test ends the host itself, in a process that has no other.
func TestAModelWhoseHostDies(t *testing.T) {
	t.Parallel()
	if os.Args[0] != confined.Shown {
		confined.RequirePass(t, confined.Shown, false, "TestAModelWhoseHostDies")
		return
	}
	e := load(t, byRate())
	kill := func() {
		hosts := hostsOf(t)
		require.Len(t, hosts, 1)
		require.NoError(t, syscall.Kill(hosts[0], syscall.SIGSEGV))
		require.Eventually(t, func() bool { return len(hostsOf(t)) == 0 }, time.Minute, time.Millisecond)
	}
	decides := func() bool { return engine.Decide(t.Context(), e, input()).Risk > .5 }
	kill()
	require.Eventually(t, decides, time.Minute, time.Millisecond, "the first death is free")
	require.NoError(t, e.Unfit())
	kill()
	require.False(t, decides())
	require.Contains(t, engine.Decide(t.Context(), e, input()).Reason, "quarantine")
	require.True(t, fault.Is(e.Unfit(), host.Quarantined))
	require.Equal(t, "stopped", e.Isolation(), "it is not started again")
	require.Empty(t, hostsOf(t))
}

// TestACrashKillsTheHostAlone: the error says that the process died.
func TestACrashKillsTheHostAlone(t *testing.T) {
	t.Parallel()
	_, err := onnx.New(t.Context(), options(), hostile(t, "-DCRASH"), "deep.onnx", byRate().Bytes())
	require.True(t, fault.Is(err, onnx.BadModel), "%v", err)
	require.ErrorIs(t, err, host.ErrDied)
	require.ErrorContains(t, err, "deep.onnx could not be loaded")
}
