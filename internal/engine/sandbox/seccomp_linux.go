package sandbox

import (
	"fmt"
	"slices"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// refusedCalls are system calls that a program which computes has no use for: sockets,
// other processes, mounts, namespaces, keys, the kernel's own tables, and interfaces whose
// calls a filter does not see. Not every architecture has each.
var refusedCalls = []string{
	"socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto", "sendmsg", "sendmmsg",
	"fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_open",
	"pidfd_getfd", "pidfd_send_signal", "setns", "unshare",
	"mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick",
	"mount_setattr", "name_to_handle_at", "open_by_handle_at", "mknod", "mknodat", "quotactl", "quotactl_fd",
	"fanotify_init", "memfd_create", "memfd_secret", "userfaultfd", "shmget", "msgget", "semget", "mq_open",
	"add_key", "request_key", "keyctl", "bpf", "perf_event_open", "io_uring_setup", "io_uring_enter",
	"io_uring_register", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
	"swapon", "swapoff", "syslog", "acct", "personality", "iopl", "ioperm", "modify_ldt", "settimeofday",
	"clock_settime", "adjtimex", "clock_adjtime", "sethostname", "setdomainname", "vhangup", "lookup_dcookie",
	"nfsservctl", "move_pages", "migrate_pages", "mbind", "set_mempolicy",
}

// unknownCalls are calls whose arguments a filter cannot read. They fail with ENOSYS, and
// programs then use an older call, which the filter can judge.
var unknownCalls = []string{"clone3"}

// namespaces are the flags of clone that make one.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET

// filterCalls has the kernel refuse those calls of this thread, and end it for a call of
// another architecture, which would have other numbers.
func filterCalls() error {
	here, err := arch.GetInfo("")
	if err != nil {
		return fmt.Errorf("the architecture: %w", err)
	}
	known := func(all []string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(name string) bool {
			_, has := here.SyscallNames[name]
			return !has
		})
	}
	policy := seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{{
			Names:  known(unknownCalls),
			Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS),
		}, {
			Names:  known(refusedCalls),
			Action: seccomp.ActionErrno,
			NamesWithCondtions: []seccomp.NameWithConditions{
				{Name: "clone", Conditions: seccomp.ArgumentConditions{
					{Argument: 0, Operation: seccomp.BitsSet, Value: namespaces},
				}},
				{Name: "clone", Conditions: seccomp.ArgumentConditions{ // a process, not a thread
					{Argument: 0, Operation: seccomp.BitsNotSet, Value: unix.CLONE_THREAD},
				}},
			},
		}},
	}
	rules, err := policy.Assemble()
	if err != nil {
		return fmt.Errorf("the filter: %w", err)
	}
	const archOffset = 4 // in struct seccomp_data
	program, err := bpf.Assemble(append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: archOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(here.ID), SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
	}, rules...))
	if err != nil {
		return fmt.Errorf("the filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	of := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]} //nolint:gosec // of a constant length
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&of)), 0, 0)
}
