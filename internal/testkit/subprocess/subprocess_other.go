//go:build !linux

package subprocess

import "syscall"

// EndsWithParent are the attributes of a program that a test starts. Only Linux
// can tie it to the life of the test process: elsewhere a killed test leaves it
// running.
func EndsWithParent(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
