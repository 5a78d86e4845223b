package postgrestest

import (
	"os"
	"path/filepath"
	"syscall"
)

const (
	// memory is where Linux keeps files in memory. Other systems do not have this
	// directory, and containers often have little room in it.
	memory = "/dev/shm"
	// room is four times what the databases of any package have needed at once.
	room = 512 << 20
	// lockName is the file that a test process keeps locked for as long as it
	// needs the directory. The kernel frees the lock of a process that is killed.
	lockName = "lock"
)

// directory is where the server of this test process keeps its files.
type directory struct {
	path string
	lock *os.File
}

// makeDirectory makes one in memory where that has room, else on the disk.
func makeDirectory() (*directory, error) {
	parent := ""
	if free(memory) >= room {
		parent = memory
		clearAbandoned(memory)
	}
	path, err := os.MkdirTemp(parent, "spotkeeper-pg-")
	if err != nil {
		return nil, err
	}
	d := &directory{path: path}
	if err := d.claim(); err != nil {
		d.remove()
		return nil, err
	}
	return d, nil
}

// claim lets the server's user in and takes the lock. The lock file gets its name
// when it is locked, so that clearAbandoned never sees one that is not locked yet.
func (d *directory) claim() (err error) {
	if err := os.Chmod(d.path, 0o755); err != nil { //nolint:gosec // the server's user must get through
		return err
	}
	if d.lock, err = os.CreateTemp(d.path, "unlocked-"); err != nil {
		return err
	}
	if err := syscall.Flock(int(d.lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	return os.Rename(d.lock.Name(), filepath.Join(d.path, lockName))
}

func (d *directory) remove() {
	_ = os.RemoveAll(d.path)
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
func clearAbandoned(parent string) {
	locks, _ := filepath.Glob(filepath.Join(parent, "spotkeeper-pg-*", lockName)) // the pattern is well formed
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
