package sandbox

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cannotHold is the exit status of a builder that did not become the program.
const cannotHold = 125

// A builder never reaches main: it is the first process of its namespaces.
func init() {
	if len(os.Args) != 2 || os.Args[0] != builder {
		return
	}
	runtime.LockOSThread() // rights, Landlock and the filter are those of a thread, and go with exec
	err := become(os.Args[1])
	fmt.Fprintln(os.Stderr, err)
	os.Exit(cannotHold)
}

// become builds the sandbox around this process and executes the program. It returns
// only when that fails.
func become(plan string) error {
	var p Program
	if err := json.Unmarshal([]byte(plan), &p); err != nil {
		return fmt.Errorf("the plan of the sandbox: %w", err)
	}
	asRoot := os.Geteuid() == 0
	self := -1
	if p.Path == "" {
		var err error
		if self, err = unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("the kernel gives no way to this binary: %w", err)
		}
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"no file system of its own", func() error { return enterRoot(p) }},
		{"no user without rights", func() error { return dropRights(asRoot, int(p.User)) }},
		{"it would outlive us", func() error { return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0) }},
		{"no end of privileges", func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
		{"no Landlock", func() error { return restrictFiles(self) }},
		{"no filter of system calls", filterCalls},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("the kernel gives %s: %w", step.what, err)
		}
	}
	args := append([]string{cmp.Or(p.Name, p.Path)}, p.Args...)
	if self >= 0 {
		return fmt.Errorf("this binary: %w", executeFile(self, args, p.Env))
	}
	return fmt.Errorf("%s: %w", p.Path, syscall.Exec(p.Path, args, p.Env))
}

// executeFile makes this process the program of a descriptor, which may have been removed
// from the file system.
func executeFile(file int, args, env []string) error {
	argv, err := syscall.SlicePtrFromStrings(args)
	if err != nil {
		return err
	}
	envv, err := syscall.SlicePtrFromStrings(env)
	if err != nil {
		return err
	}
	nothing, err := syscall.BytePtrFromString("")
	if err != nil {
		return err
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(file), uintptr(unsafe.Pointer(nothing)),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envv[0])), unix.AT_EMPTY_PATH, 0)
	return errno
}

// dropRights makes this process one without capabilities, and one of root one of an
// unprivileged user, of no other group. Descriptors that were inherited close with exec.
func dropRights(isRoot bool, user int) error {
	if err := unix.CloseRange(firstOther, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close what was inherited: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	if isRoot {
		if err := syscall.Setgroups(nil); err != nil {
			return err
		}
		if err := syscall.Setresgid(user, user, user); err != nil {
			return err
		}
		if err := syscall.Setresuid(user, user, user); err != nil {
			return err
		}
	}
	var none [2]unix.CapUserData
	return unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0])
}

// firstOther is the first descriptor that is not the program's: it has the standard ones
// and one more.
const firstOther = 4

// devices are what programs expect, and give nothing away.
var devices = []string{"/dev/null", "/dev/zero", "/dev/urandom"}

// enterRoot makes a file system that holds what the program sees, read-only, and enters
// it. What was mounted before is out of reach afterwards.
func enterRoot(p Program) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to itself: %w", err)
	}
	root := place(p.Visible)
	if err := unix.Mount("sandbox", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=1m,mode=0755"); err != nil {
		return fmt.Errorf("mount on %s: %w", root, err)
	}
	visible := append(slices.Clone(devices), p.Visible...)
	if p.Path != "" {
		visible = append(visible, p.Path)
	}
	for _, path := range visible {
		if err := show(root, filepath.Clean(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("show %s: %w", path, err)
		}
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return readOnly("/", 0)
}

// place is a directory to mount the new root on, of which nothing is to be seen.
func place(visible []string) string {
	for _, dir := range []string{"/tmp", "/mnt", "/srv", "/var", "/home"} {
		free := func() bool {
			for _, path := range visible {
				if path == dir || strings.HasPrefix(path, dir+"/") {
					return false
				}
			}
			return true
		}
		if info, err := os.Stat(dir); err == nil && info.IsDir() && free() {
			return dir
		}
	}
	return "/tmp"
}

// show puts a path into the new root: a directory with all that is below it, a file, or a
// link and what it leads to. What was shown before, as a part of something else, stays.
func show(root, path string) error {
	if _, err := os.Lstat(filepath.Join(root, path)); err == nil {
		return nil
	}
	parent := filepath.Dir(path)
	if parent != "/" { // a link above it is a link in the new root too
		real, err := filepath.EvalSymlinks(parent)
		if err != nil {
			return err
		}
		if real != parent {
			if err := showParents(root, parent); err != nil {
				return err
			}
			return show(root, filepath.Join(real, filepath.Base(path)))
		}
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	at := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return showLink(root, path)
	}
	if info.IsDir() {
		err = os.MkdirAll(at, 0o755)
	} else {
		err = os.WriteFile(at, nil, 0o600)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(path, at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if info.Mode()&fs.ModeDevice != 0 {
		return readOnly(at, 0)
	}
	return readOnly(at, unix.MOUNT_ATTR_NODEV)
}

// showParents shows the links among the directories above a path.
func showParents(root, dir string) error {
	for at := dir; at != "/"; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return showJustLink(root, at)
		}
	}
	return nil
}

func showJustLink(root, path string) error {
	target, err := os.Readlink(path)
	if err != nil {
		return err
	}
	at := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := os.Symlink(target, at); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// showLink shows a link and what it leads to.
func showLink(root, path string) error {
	if err := showJustLink(root, path); err != nil {
		return err
	}
	target, err := os.Readlink(path)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(path), target)
	}
	return show(root, filepath.Clean(target))
}

// readOnly makes a mount and all below it read-only, without programs of other users.
func readOnly(at string, more uint64) error {
	err := unix.MountSetattr(unix.AT_FDCWD, at, unix.AT_RECURSIVE, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | more,
	})
	if err != nil {
		return fmt.Errorf("make %s read-only: %w", at, err)
	}
	return nil
}
