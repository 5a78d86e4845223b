package subprocess

import "syscall"

// EndsWithParent are the attributes of a program to which the kernel sends a
// signal when the test process dies, however it dies.
func EndsWithParent(signal syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: signal}
}
