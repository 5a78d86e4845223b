package stack

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPrepareMakesTheDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "state")
	o, err := Options{Dir: dir}.Prepare()
	require.NoError(t, err)
	require.Equal(t, dir, o.Dir)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestPrepareRefusesADirectoryBelowAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := Options{Dir: filepath.Join(file, "state")}.Prepare()
	require.EqualError(t, err, "the state cannot be kept in "+file+"/state: not a directory; choose another directory with --dir")
	_, err = Options{Dir: file}.Prepare()
	require.EqualError(t, err, "the state cannot be kept in "+file+": not a directory; choose another directory with --dir")
}

func TestUnusableDirIsOneSentence(t *testing.T) {
	t.Parallel()
	for cause, sentence := range map[syscall.Errno]string{
		syscall.EROFS:  "the state cannot be kept in /here: read-only file system; choose another directory with --dir",
		syscall.EACCES: "the state cannot be kept in /here: permission denied; choose another directory with --dir",
		syscall.ENOSPC: "the state cannot be kept in /here: no space left on device; choose another directory with --dir",
	} {
		err := unusableDir("/here", &fs.PathError{Op: "open", Path: "/here/.writable-1", Err: cause})
		require.EqualError(t, err, sentence)
		require.ErrorIs(t, err, cause)
	}
}
