package child

import "syscall"

// attributes put the program into a process group of its own and let the
// kernel kill it when its parent dies.
func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: as}
}
