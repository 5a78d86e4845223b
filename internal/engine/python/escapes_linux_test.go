package python_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/host"
	"spotkeeper/internal/engine/python"
	"spotkeeper/internal/testkit/confined"
)

// escapes are what uploaded code could try, with what it meets. %s is a directory that
// all users may read, with a file "secret" and a socket "socket" in it.
var escapes = map[string]struct{ code, meets string }{
	"our environment":           {`open("/proc/%d/environ" % os.getppid()).read()`, "FileNotFoundError"},
	"any process":               {`os.listdir("/proc")`, "FileNotFoundError"},
	"our process":               {`os.kill(os.getppid(), 9) if os.getppid() else 1/0`, "ZeroDivisionError"},
	"a file of ours":            {`open(where + "/secret").read()`, "FileNotFoundError"},
	"the users":                 {`open("/etc/passwd").read()`, "FileNotFoundError"},
	"what was mounted before":   {`os.listdir("/oldroot") or os.chroot("..")`, "FileNotFoundError"},
	"a directory above":         {`os.chdir("../../../.."); open(where + "/secret").read()`, "FileNotFoundError"},
	"a socket of ours":          {`socket.socket(socket.AF_UNIX).connect(where + "/socket")`, "PermissionError"},
	"an abstract socket":        {`socket.socket(socket.AF_UNIX).connect("\0" + where)`, "PermissionError"},
	"the metadata service":      {`socket.create_connection(("169.254.169.254", 80), timeout=5)`, "PermissionError"},
	"the network, unconnected":  {`socket.socket(socket.AF_INET, socket.SOCK_DGRAM)`, "PermissionError"},
	"the kernel's tables":       {`socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)`, "PermissionError"},
	"a shell":                   {`os.execv("/bin/sh", ["sh", "-c", "true"])`, "FileNotFoundError"},
	"a process":                 {`os.fork()`, "PermissionError"},
	"a program":                 {`subprocess.run([sys.executable, "-V"], check=True)`, "Error"},
	"a thread":                  {`threading.Thread(target=print).start()`, "can't start new thread"},
	"more rights":               {`os.setuid(0) if os.getuid() else 1/0`, "Error: [Errno "},
	"a namespace":               {`libc("unshare", 0x10000000)`, "PermissionError"},
	"a mount":                   {`libc("mount", b"x", b"/", b"tmpfs", 0, None)`, "PermissionError"},
	"another's memory":          {`libc("ptrace", 16, 1, 0, 0)`, "PermissionError"},
	"a file without a name":     {`os.memfd_create("x")`, "PermissionError"},
	"a file in its root":        {`open("/x", "w")`, "OSError"},
	"a file beside its modules": {`open(os.path.dirname(os.__file__) + "/x.py", "w")`, "Error"},
	"a device":                  {`os.mknod("/dev/x")`, "Error"},
	"a higher limit":            {`resource.setrlimit(resource.RLIMIT_NPROC, (100, 100))`, "Error"},
}

const escaping = `
import ctypes, errno, os, resource, socket, subprocess, sys, threading
where = %q

def libc(name, *arguments):
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)

def make_decision(agent_data, pricing_data, market_data):
    if agent_data["agent_id"] == "open files":
        return {"decision_type": "stay", "reason": "open are %%s" %% [n for n in range(64) if is_open(n)]}
    exec(compile(agent_data["agent_id"], "escape", "exec"))
    return {"decision_type": "stay", "reason": "it escaped"}

def is_open(number):
    try:
        os.fstat(number)
        return True
    except OSError:
        return False
`

// TestEscapes has uploaded code try each, as the user that runs the test.
func TestEscapes(t *testing.T) {
	t.Parallel()
	where := t.TempDir()
	require.NoError(t, os.Chmod(where, 0o755)) //nolint:gosec // the code may find it
	require.NoError(t, os.WriteFile(filepath.Join(where, "secret"), []byte("s3cret"), 0o644))
	for _, name := range []string{filepath.Join(where, "socket"), "@" + where} {
		var lc net.ListenConfig
		ln, err := lc.Listen(t.Context(), "unix", name)
		require.NoError(t, err)
		t.Cleanup(func() { _ = ln.Close() })
	}
	e := load(t, options(), "engine.py", fmt.Sprintf(escaping, where))
	for name, escape := range escapes {
		in := input()
		in.Agent.ID = escape.code
		d := engine.Decide(t.Context(), e, in)
		require.Equal(t, engine.Stay, d.Action)
		require.Contains(t, d.Reason, "the Python engine failed: ", name)
		require.Contains(t, d.Reason, escape.meets, name)
	}
	in := input()
	in.Agent.ID = "open files"
	require.Equal(t, "open are [0, 1, 2, 3]", engine.Decide(t.Context(), e, in).Reason, "nothing is inherited")
	require.Contains(t, e.Isolation(), "no files but the program's")
}

// TestEscapesOfAnOrdinaryUser is TestEscapes in a process without rights, one that shows
// itself and one that is hidden from other processes of its user.
func TestEscapesOfAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	for _, name := range []string{confined.Shown, confined.Hidden} {
		confined.RequirePass(t, name, true, "TestEscapes")
	}
}

// TestWhatCannotBeHeldIsRefused: in a container without namespaces uploaded code does not
// run, and the sentence says what to do; it runs where the operator accepts that.
func TestWhatCannotBeHeldIsRefused(t *testing.T) {
	t.Parallel()
	if os.Args[0] == confined.Contained {
		o := options()
		_, err := python.New(t.Context(), o, "engine.py", []byte(wise))
		require.True(t, fault.Is(err, python.Off), "%v", err)
		require.ErrorContains(t, err, "this machine cannot hold what was uploaded as it must be held")
		require.ErrorContains(t, err, "operation not permitted")
		require.ErrorContains(t, err, "ENGINE_PYTHON=unsafe")
		o.Unsafe = true
		require.Contains(t, load(t, o, "engine.py", wise).Isolation(), "our files and the network are reachable")
		return
	}
	for _, ordinary := range []bool{false, true} {
		confined.RequirePass(t, confined.Contained, ordinary, "TestWhatCannotBeHeldIsRefused")
	}
}

// TestOneThatKillsItsHostIsQuarantined: the second death within a minute of loading is
// the last.
func TestOneThatKillsItsHostIsQuarantined(t *testing.T) {
	t.Parallel()
	e := load(t, options(), "engine.py", `
import os
def make_decision(agent_data, pricing_data, market_data):
    if agent_data["agent_id"] == "deadly":
        os._exit(1)
    return {"decision_type": "stay_spot", "reason": "alive"}
`)
	deadly := input()
	deadly.Agent.ID = "deadly"
	require.Contains(t, engine.Decide(t.Context(), e, deadly).Reason, "died")
	require.NoError(t, e.Unfit())
	require.Equal(t, "alive", engine.Decide(t.Context(), e, input()).Reason, "the first death is free")
	require.Contains(t, engine.Decide(t.Context(), e, deadly).Reason, "died")
	require.True(t, fault.Is(e.Unfit(), host.Quarantined))
	d := engine.Decide(t.Context(), e, input())
	require.Equal(t, agent.Spot, d.Mode)
	require.Contains(t, d.Reason, "quarantine")
	require.Equal(t, "stopped", e.Isolation(), "it is not started again")
}
