package compose_test

import (
	"net/url"
	"os"
	"os/exec"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/pgserver"
)

// as is the address of a database for another role.
func as(t *testing.T, address, role string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.User = url.UserPassword(role, role)
	return u.String()
}

// TestRoles: on a real Postgres roles.sql makes the roles, the owner can bring the schema up
// to date and make partitions, and the api's role reads and writes rows and no more.
func TestRoles(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "spotkeeper-roles-") // t.TempDir is not for other users
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := pgserver.Start(t.Context(), dir)
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	psql := exec.CommandContext(t.Context(), "psql", "-v", "ON_ERROR_STOP=1", "-d", server.URL("postgres"),
		"-f", directory+"/roles.sql")
	psql.Env = append(os.Environ(), "OWNER_PASSWORD=spotkeeper_owner", "APP_PASSWORD=spotkeeper_app", "TEMPORAL_PASSWORD=temporal")
	out, err := psql.CombinedOutput()
	require.NoError(t, err, "%s", out)

	db, err := pg.Open(t.Context(), pg.Options{URL: as(t, server.URL("spotkeeper"), "spotkeeper_owner"), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	_, err = postgres.Migrate(t.Context(), db)
	require.NoError(t, err)

	app, err := pgx.Connect(t.Context(), as(t, server.URL("spotkeeper"), "spotkeeper_app"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = app.Close(t.Context()) })
	_, err = app.Exec(t.Context(), `INSERT INTO clients (id, name, token_hash) SELECT 'c1', 'Acme', '\x00' WHERE false`)
	require.NoError(t, err)
	_, err = app.Exec(t.Context(), `SELECT count(*) FROM price_submissions`)
	require.NoError(t, err)
	for _, forbidden := range []string{`CREATE TABLE x (id int)`, `DROP TABLE agents`, `ALTER TABLE agents ADD COLUMN x int`,
		`TRUNCATE events`, `CREATE ROLE x`} {
		_, err = app.Exec(t.Context(), forbidden)
		require.ErrorContains(t, err, "42501", forbidden)
	}
	_, err = pgx.Connect(t.Context(), as(t, server.URL("temporal"), "spotkeeper_app"))
	require.ErrorContains(t, err, "permission denied")
}
