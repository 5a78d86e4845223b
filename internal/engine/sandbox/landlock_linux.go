package sandbox

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// landlockVersion is that of the kernel's Landlock; 0: it has none, or it is off.
func landlockVersion() int {
	version, _, err := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if err != 0 {
		return 0
	}
	return int(version)
}

// Rights that the program keeps on the files it sees, and all file rights of the first
// version of Landlock.
const (
	readRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	fileRights = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1
)

// restrictFiles takes from this thread the right to change files, to use TCP, and to
// reach abstract sockets and processes outside. Landlock is a second wall behind the file
// system of its own, so a kernel without it is no reason to refuse. A program
// that lies outside of what is seen is given by its descriptor, else -1.
func restrictFiles(program int) error {
	version := landlockVersion()
	if version == 0 {
		return nil
	}
	rules := unix.LandlockRulesetAttr{Handled_access_fs: fileRights}
	if version >= 4 {
		rules.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 6 {
		rules.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	size := unsafe.Offsetof(rules.Quiet_access_fs) // a kernel refuses fields that it does not know
	if version < 6 {
		size = unsafe.Offsetof(rules.Scoped)
	}
	if version < 4 {
		size = unsafe.Offsetof(rules.Handled_access_net)
	}
	set, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rules)), size, 0)
	if errno != 0 {
		return fmt.Errorf("a set of rules: %w", errno)
	}
	defer func() { _ = unix.Close(int(set)) }()
	root, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("its root: %w", err)
	}
	defer func() { _ = unix.Close(root) }()
	for file, rights := range map[int]uint64{root: readRights, program: readRights &^ unix.LANDLOCK_ACCESS_FS_READ_DIR} {
		if file < 0 {
			continue
		}
		below := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(file)} //nolint:gosec // a descriptor
		if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, set, unix.LANDLOCK_RULE_PATH_BENEATH,
			uintptr(unsafe.Pointer(&below)), 0, 0, 0); errno != 0 {
			return fmt.Errorf("a rule: %w", errno)
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0); errno != 0 {
		return fmt.Errorf("the rules of this thread: %w", errno)
	}
	return nil
}
