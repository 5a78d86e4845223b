// Package scratch makes temporary directories for the servers that tests run. They
// are in memory where the system can: what a server writes for safety costs nothing
// there, and still outlives the kill of any process.
package scratch

import (
	"os"
	"path/filepath"
	"syscall"
)

const (
	// memory is where Linux keeps files in memory. Other systems do not have this
	// directory, and containers often have little room in it.
	memory = "/dev/shm"
	// lockName is the file that a test process keeps locked for as long as it
	// needs the directory. The kernel frees the lock of a process that is killed.
	lockName = "lock"
)

// Directory is one that belongs to this test process, and that every user may enter.
type Directory struct {
	Path string
	lock *os.File
}

// InMemory makes one in memory where that has room for the bytes, else on the
// disk. What killed test processes left of the same prefix is removed.
func InMemory(prefix string, room uint64) (*Directory, error) {
	parent := os.TempDir()
	if free(memory) >= room {
		parent = memory
	}
	return in(parent, prefix)
}

// OnDisk makes one on the disk, for what measures it.
func OnDisk(prefix string) (*Directory, error) { return in(os.TempDir(), prefix) }

func in(parent, prefix string) (*Directory, error) {
	clearAbandoned(parent, prefix)
	path, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return nil, err
	}
	d := &Directory{Path: path}
	if err := d.claim(); err != nil {
		d.Remove()
		return nil, err
	}
	return d, nil
}

// claim lets the server's user in and takes the lock. The lock file gets its name
// when it is locked, so that clearAbandoned never sees one that is not locked yet.
func (d *Directory) claim() (err error) {
	if err := os.Chmod(d.Path, 0o755); err != nil { //nolint:gosec // the server's user must get through
		return err
	}
	if d.lock, err = os.CreateTemp(d.Path, "unlocked-"); err != nil {
		return err
	}
	if err := syscall.Flock(int(d.lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	return os.Rename(d.lock.Name(), filepath.Join(d.Path, lockName))
}

// Remove deletes it.
func (d *Directory) Remove() {
	_ = os.RemoveAll(d.Path)
	if d.lock != nil {
		_ = d.lock.Close()
	}
}

// free is how many bytes the file system of a directory has left; 0 when the
// directory does not exist.
func free(path string) uint64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0
	}
	return s.Bavail * uint64(s.Bsize)
}

// clearAbandoned removes the directories of test processes that were killed: what
// is in memory stays there until it is removed.
func clearAbandoned(parent, prefix string) {
	locks, _ := filepath.Glob(filepath.Join(parent, prefix+"*", lockName)) // the pattern is well formed
	for _, path := range locks {
		lock, err := os.OpenFile(path, os.O_RDWR, 0o600)
		if err != nil {
			continue // it was removed meanwhile, or belongs to another user
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
		_ = lock.Close()
	}
}
