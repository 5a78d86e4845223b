package postgres

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnlyRootNeedsAnotherUser(t *testing.T) {
	t.Parallel()
	mine, err := newOwner(1000)
	require.NoError(t, err)
	require.Nil(t, mine.as)

	roots, err := newOwner(0)
	require.NoError(t, err)
	require.NotNil(t, roots.as)
	require.NotZero(t, roots.as.Uid)
}

func TestAPrivateDirectoryOnTheWayIsInTheWay(t *testing.T) {
	t.Parallel()
	stranger := owner{as: &syscall.Credential{Uid: 54321, Gid: 54321}}
	open := openDir(t)
	inner := filepath.Join(open, "private", "inner")
	require.NoError(t, os.MkdirAll(inner, 0o755))

	reaches, err := stranger.reaches(inner)
	require.NoError(t, err)
	require.True(t, reaches)

	require.NoError(t, os.Chmod(filepath.Dir(inner), 0o700))
	reaches, err = stranger.reaches(inner)
	require.NoError(t, err)
	require.False(t, reaches)

	reaches, err = owner{}.reaches(inner)
	require.NoError(t, err)
	require.True(t, reaches, "one's own user asks nobody")
}
