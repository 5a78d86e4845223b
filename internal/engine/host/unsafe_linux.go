package host

import (
	"os"
	"syscall"
)

// unsafeAttributes are all that holds a child without a sandbox: a process group of its
// own, an end with ours, and an unprivileged user when we are root.
func unsafeAttributes(o Options) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		a.Credential = &syscall.Credential{Uid: o.User, Gid: o.User, Groups: []uint32{}}
	}
	return a
}
