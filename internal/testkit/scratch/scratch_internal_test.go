package scratch

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAbandonedDirectoriesAreCleared: what a killed test process left in memory is
// removed, and what another one uses, or is about to use, is not.
func TestAbandonedDirectoriesAreCleared(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	with := func(name, file string) (dir string, lock *os.File) {
		dir = filepath.Join(parent, name)
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "data"), 0o700))
		lock, err := os.Create(filepath.Join(dir, file))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, lock.Close()) })
		return dir, lock
	}
	abandoned, _ := with("spotkeeper-pg-1", lockName)
	used, lock := with("spotkeeper-pg-2", lockName)
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	begun, _ := with("spotkeeper-pg-3", "unlocked-1")
	others, _ := with("other", lockName)

	clearAbandoned(parent, "spotkeeper-pg-")

	require.NoDirExists(t, abandoned)
	require.DirExists(t, used)
	require.DirExists(t, begun)
	require.DirExists(t, others)
}

// TestADirectoryIsLockedUntilItIsRemoved holds the two halves together.
func TestADirectoryIsLockedUntilItIsRemoved(t *testing.T) {
	t.Parallel()
	d, err := InMemory("spotkeeper-scratch-test-", 1<<20)
	require.NoError(t, err)
	clearAbandoned(filepath.Dir(d.Path), "spotkeeper-scratch-test-")
	require.DirExists(t, d.Path)
	d.Remove()
	require.NoDirExists(t, d.Path)
}
