package dirlock_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/deploy/dev/embedded/dirlock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestALockIsHeldByOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.lock")
	first, err := dirlock.Acquire(path)
	require.NoError(t, err)

	_, err = dirlock.Acquire(path)
	var held *dirlock.HeldError
	require.ErrorAs(t, err, &held)
	require.Equal(t, path, held.Path)

	first.Release()
	second, err := dirlock.Acquire(path)
	require.NoError(t, err)
	second.Release()
}

func TestReleasingNothingIsHarmless(t *testing.T) {
	t.Parallel()
	var none *dirlock.Lock
	require.NotPanics(t, none.Release)
}
