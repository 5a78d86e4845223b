package pghost

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheMachinesProgramsAreFound(t *testing.T) {
	t.Parallel()
	b, err := Find(t.Context(), 0)
	require.NoError(t, err)
	require.GreaterOrEqual(t, b.Major, oldest)

	same, err := Find(t.Context(), b.Major)
	require.NoError(t, err)
	require.Equal(t, b.Major, same.Major)

	_, err = Find(t.Context(), 99)
	require.ErrorIs(t, err, ErrNoPrograms)
}

func TestVersionsAreComparedAsNumbers(t *testing.T) {
	t.Parallel()
	require.Equal(t, 9, trailingNumber("/usr/lib/postgresql/9/bin"))
	require.Equal(t, 17, trailingNumber("/usr/lib/postgresql/17/bin"))
	require.Zero(t, trailingNumber("/usr/local/pgsql/bin"))
}
