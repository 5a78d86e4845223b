//go:build !linux

package host

import "syscall"

// unsafeAttributes are all that holds a child without a sandbox: a process group, so that
// all of it can be killed.
func unsafeAttributes(Options) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
