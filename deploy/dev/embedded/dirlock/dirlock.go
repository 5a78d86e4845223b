// Package dirlock keeps two processes from running on the same state.
package dirlock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// HeldError says that another process has the lock.
type HeldError struct {
	// Path is the lock file.
	Path string
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("another stack already runs in %s: stop it, or choose another directory with --dir",
		filepath.Dir(e.Path))
}

// Lock is held until Release, or until the process ends however it ends: the
// kernel frees it, so a kill -9 leaves no stale lock behind.
type Lock struct{ file *os.File }

// Acquire takes the lock at path, making the file when it is not there. When
// another process has it, the error is a *HeldError.
func Acquire(path string) (*Lock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return &Lock{file: file}, nil
	}
	_ = file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, &HeldError{Path: path}
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// Release gives the lock up. The file stays: removing it would let two
// processes lock two files of one name.
func (l *Lock) Release() {
	if l == nil {
		return
	}
	// Closing alone is not enough: a program that is just being started has a
	// copy of the descriptor until it runs.
	_ = syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN)
	_ = l.file.Close()
}
