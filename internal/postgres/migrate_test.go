package postgres_test

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres"
	"spotkeeper/internal/testkit/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// TestMigrateTwiceAtOnce: the advisory lock lets one of two migrations run at a time.
func TestMigrateTwiceAtOnce(t *testing.T) {
	t.Parallel()

	db := postgrestest.Open(t)
	_, err := db.Pool.Exec(t.Context(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
	require.NoError(t, err)
	require.Error(t, postgres.CheckVersion(t.Context(), db))

	var wg sync.WaitGroup
	applied, errs := [2]int{}, [2]error{}
	for i := range 2 {
		wg.Go(func() { applied[i], errs[i] = postgres.Migrate(t.Context(), db) })
	}
	wg.Wait()
	require.NoError(t, errs[0])
	require.NoError(t, errs[1])
	require.Positive(t, applied[0]+applied[1])
	require.True(t, applied[0] == 0 || applied[1] == 0, "one of two migrated, the other waited: %v", applied)
	require.NoError(t, postgres.CheckVersion(t.Context(), db))
}

// rerun runs the statements of a migration once more, as after one that was cut off.
func (g *guarded) rerun(file string) {
	g.t.Helper()
	raw, err := os.ReadFile("migrations/" + file)
	require.NoError(g.t, err)
	statements := strings.Split(string(raw), "-- +goose StatementBegin")[1:]
	require.NotEmpty(g.t, statements, file)
	for _, s := range statements {
		s, _, _ = strings.Cut(s, "-- +goose StatementEnd")
		g.exec(s)
	}
}

// TestAReleaseMayAddLowerNumbers: what was merged late is applied to a database that has
// what came after it.
func TestAReleaseMayAddLowerNumbers(t *testing.T) {
	t.Parallel()

	db := postgrestest.Open(t)
	_, err := db.Pool.Exec(t.Context(), "DROP FUNCTION quiet_price_partition(date); DELETE FROM goose_db_version WHERE version_id = 177")
	require.NoError(t, err)
	_, err = db.Pool.Exec(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)")
	require.NoError(t, err)
	require.ErrorContains(t, postgres.CheckVersion(t.Context(), db), "worker migrate")
	applied, err := postgres.Migrate(t.Context(), db)
	require.NoError(t, err)
	require.Equal(t, 1, applied)
	require.NoError(t, postgres.CheckVersion(t.Context(), db))
}
