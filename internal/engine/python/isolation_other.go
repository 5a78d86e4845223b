//go:build !linux

package python

import "syscall"

// isolation is one way to hold a child.
type isolation struct {
	attributes *syscall.SysProcAttr
	words      string
}

// isolations has one way where there are no namespaces: a process group, so that
// all of it can be killed.
func isolations(Options) []isolation {
	return []isolation{{&syscall.SysProcAttr{Setpgid: true},
		"our own user, memory and CPU limits; the network is reachable"}}
}
