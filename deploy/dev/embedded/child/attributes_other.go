//go:build !linux

package child

import "syscall"

// attributes put the program into a process group of its own. It may outlive a
// parent that is killed.
func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: as}
}
