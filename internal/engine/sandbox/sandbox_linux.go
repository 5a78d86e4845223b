package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// builder is the program name under which the binary builds a sandbox.
const builder = "spotkeeper-sandbox"

// Command makes the command that starts a program in a sandbox. The caller adds its
// pipes and starts it with Start. A program that cannot be held exits with the status
// 125, and its last line on stderr says why. Fails with sandbox.refused.
func Command(p Program) (*exec.Cmd, error) {
	plan, err := json.Marshal(p)
	if err != nil {
		return nil, Refused.Wrap(err, "The plan of a sandbox could not be written down.")
	}
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: []string{builder, string(plan)}, Env: []string{}, Dir: "/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true,
		Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC |
			syscall.CLONE_NEWUTS,
	}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN} // in the namespace, to build
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	}
	return cmd, nil
}

// starting is held while this process can be written to, see Start.
var starting sync.Mutex

// Start starts a command of Command. A hidden process of an ordinary user cannot map its
// users into the namespace of a child, so it shows itself for the moment of the start.
// Fails with sandbox.refused.
func Start(cmd *exec.Cmd) error {
	starting.Lock()
	defer starting.Unlock()
	shown, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err == nil && shown == 0 && os.Geteuid() != 0 {
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err == nil {
			defer func() { _ = Hide() }()
		}
	}
	if err := cmd.Start(); err != nil {
		return Refused.Wrap(err, "The kernel gives no namespaces of its own to a process (%s).", err.Error())
	}
	return nil
}

// Words say what holds a program that was started.
func Words() string {
	user := "our own user without rights"
	if os.Geteuid() == 0 {
		user = "unprivileged user"
	}
	words := user + ", no network, own process space, no files but the program's, few system calls"
	if landlockVersion() > 0 {
		words += ", Landlock"
	}
	return words
}

// Hide keeps other processes of our user from reading this one's memory and environment.
func Hide() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide the process from others: %w", err)
	}
	return nil
}
