// Package confined runs a test's binary again as another process: of an ordinary user,
// hidden from others, or with what a container may do.
package confined

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"spotkeeper/internal/engine/sandbox"
)

// Names under which the binary is another process.
const (
	Shown     = "shown"     // as it is
	Hidden    = "hidden"    // its memory and environment are
	Contained = "contained" // it may do what the default profile of container runtimes allows
)

// Become makes this process what its name says, or ends it. TestMain calls it first.
func Become() {
	var err error
	switch os.Args[0] {
	case Hidden:
		err = sandbox.Hide()
	case Contained:
		err = contain()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "become %s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
}

// contain takes namespaces and mounts from this process.
func contain() error {
	return seccomp.LoadFilter(seccomp.Filter{
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
}

// RequirePass runs one of this binary's tests in another process, and requires it to pass
// there. An ordinary process has no rights when we are root.
func RequirePass(t *testing.T, name string, ordinary bool, test string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args, cmd.Dir, cmd.Env = []string{name, "-test.run=^" + test + "$", "-test.v"}, "/", []string{"PATH=/usr/bin:/bin"}
	if ordinary && os.Geteuid() == 0 {
		const user = 12345
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user, Groups: []uint32{}}}
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS: "+test)
}
