package postgres_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/testkit/postgrestest"
)

// TestADatabaseIsOfOneInstallation.
func TestADatabaseIsOfOneInstallation(t *testing.T) {
	t.Parallel()
	store := &housekeeping.Installation{DB: postgrestest.Open(t)}
	ids, errs, all := [8]string{}, [8]error{}, sync.WaitGroup{}
	for n := range ids {
		all.Go(func() { ids[n], errs[n] = store.ID(t.Context()) })
	}
	all.Wait()
	for n := range ids {
		require.NoError(t, errs[n])
		require.Equal(t, ids[0], ids[n])
	}
	other := &housekeeping.Installation{DB: postgrestest.Open(t)}
	id, err := other.ID(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, ids[0], id)
}
