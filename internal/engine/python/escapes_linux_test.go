package python_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/python"
)

// escapes are what uploaded code could try, with what it meets. %s is a directory that
// everybody may read, with a file "secret" and a socket "socket" in it.
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
	"a process":                 {`os.fork()`, "BlockingIOError"},
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
	require.Contains(t, e.Isolation(), "no files but the interpreter's")
}

// other runs this test's binary as another process: as an ordinary user when we are root.
func other(t *testing.T, name string, ordinary bool, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args, cmd.Dir, cmd.Env = append([]string{name}, args...), "/", []string{"PATH=/usr/bin:/bin"}
	if ordinary && os.Geteuid() == 0 {
		const user = 12345
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user, Groups: []uint32{}}}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestEscapesOfAnOrdinaryUser is TestEscapes in a process without rights, one that shows
// itself and one that is hidden from other processes of its user.
func TestEscapesOfAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"shown", hidden} {
		out, err := other(t, name, true, "-test.run=^TestEscapes$", "-test.v")
		require.NoError(t, err, out)
		require.Contains(t, out, "--- PASS: TestEscapes")
	}
}

// Names under which this test's binary is another process.
const (
	hidden    = "hidden"    // its memory and environment are
	contained = "contained" // it may do what the default profile of container runtimes allows
)

// held is what a contained process says of an engine that it loads.
type held struct{ Code, Error, Unsafe string }

// beContained loads an engine where the kernel gives no namespaces and no mounts.
func beContained() {
	err := seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{{
			Names:  []string{"unshare", "setns", "mount", "umount2", "pivot_root", "mount_setattr", "move_mount"},
			Action: seccomp.ActionErrno,
			NamesWithCondtions: []seccomp.NameWithConditions{{Name: "clone", Conditions: seccomp.ArgumentConditions{
				{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
					unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP},
			}}},
		}}},
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var out held
	o := options()
	if _, err := python.New(context.Background(), o, "engine.py", []byte(wise)); err != nil {
		out.Code, out.Error = string(fault.CodeOf(err)), err.Error()
	}
	o.Unsafe = true
	e, err := python.New(context.Background(), o, "engine.py", []byte(wise))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	out.Unsafe = e.Isolation()
	_ = e.Close()
	_ = json.NewEncoder(os.Stdout).Encode(out)
}

// TestWhatCannotBeHeldIsRefused: in a container without namespaces uploaded code does not
// run, and the sentence says what to do; it runs where the operator accepts that.
func TestWhatCannotBeHeldIsRefused(t *testing.T) {
	t.Parallel()
	for _, ordinary := range []bool{false, true} {
		out, err := other(t, contained, ordinary)
		require.NoError(t, err, out)
		var got held
		require.NoError(t, json.Unmarshal([]byte(out), &got), out)
		require.Equal(t, string(python.Off), got.Code)
		require.Contains(t, got.Error, "this machine cannot hold uploaded code as it must be held")
		require.Contains(t, got.Error, "operation not permitted")
		require.Contains(t, got.Error, "ENGINE_PYTHON=unsafe")
		require.Contains(t, got.Unsafe, "our files and the network are reachable")
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
	require.True(t, fault.Is(e.Unfit(), python.Quarantined))
	d := engine.Decide(t.Context(), e, input())
	require.Equal(t, agent.Spot, d.Mode)
	require.Contains(t, d.Reason, "quarantine")
	require.Equal(t, "stopped", e.Isolation(), "it is not started again")
}
