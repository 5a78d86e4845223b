package python

import (
	"os"
	"syscall"
)

// isolation is one way to hold a child.
type isolation struct {
	attributes *syscall.SysProcAttr
	words      string
}

// isolations lists the ways from the strictest to what always works. A process
// of its own pid namespace takes everything it started with it when it is
// killed; a network namespace of its own has no network in it. When we die, the
// kernel ends the child.
func isolations(o Options) []isolation {
	const spaces = syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC
	base := func() *syscall.SysProcAttr {
		return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	}
	if os.Geteuid() == 0 {
		unprivileged := &syscall.Credential{Uid: o.User, Gid: o.User, Groups: []uint32{}}
		strict, plain := base(), base()
		strict.Cloneflags, strict.Credential, plain.Credential = spaces, unprivileged, unprivileged
		return []isolation{
			{strict, "unprivileged user, no network, own process space, memory and CPU limits"},
			{
				plain,
				"unprivileged user, memory and CPU limits; the kernel gave no namespaces, so the network is reachable",
			},
		}
	}
	strict := base()
	strict.Cloneflags = spaces | syscall.CLONE_NEWUSER
	strict.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
	strict.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	return []isolation{
		{strict, "our own user, no network, own process space, memory and CPU limits"},
		{base(), "our own user, memory and CPU limits; the kernel gave no namespaces, so the network is reachable"},
	}
}
