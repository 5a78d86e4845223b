package postgres_test

import (
	"context"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/pgserver"
	"spotkeeper/internal/testkit/postgrestest"
)

// onlyOne opens a database with a pool of one connection, so that every statement
// meets the session that the one before it has left behind.
func onlyOne(t *testing.T, address string) *pg.DB {
	t.Helper()
	db, err := pg.Open(t.Context(), pg.Options{URL: address, MaxConns: 1, ConnTimeout: 10 * time.Second})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return db
}

// write writes something by way of a store.
func write(ctx context.Context, db *pg.DB) error {
	return (&housekeeping.Jobs{DB: db}).Start(ctx, activities.JobStart{Job: "test", Period: time.Unix(0, 0)})
}

// anyServer is the address with the setting that accepts servers which only read.
func anyServer(address string) string {
	joint := "?"
	if strings.Contains(address, "?") {
		joint = "&"
	}
	return address + joint + "target_session_attrs=any"
}

// TestAReadOnlySessionFailsOnce: without the report of the server a write finds out
// that the session only reads. It is the last one to do so.
func TestAReadOnlySessionFailsOnce(t *testing.T) {
	t.Parallel()

	db := onlyOne(t, anyServer(postgrestest.URL(t)))
	require.NoError(t, write(t.Context(), db))
	_, err := db.Pool.Exec(t.Context(), `SET default_transaction_read_only = on`)
	require.NoError(t, err)
	require.True(t, fault.Is(write(t.Context(), db), pg.Unavailable), "it may succeed a moment later")
	require.NoError(t, write(t.Context(), db), "on another connection")
}

// TestAReadOnlySessionIsNotUsed: the server reports the change, so that no
// statement has to fail for it.
func TestAReadOnlySessionIsNotUsed(t *testing.T) {
	t.Parallel()

	db := onlyOne(t, postgrestest.URL(t))
	require.NoError(t, write(t.Context(), db))
	_, err := db.Pool.Exec(t.Context(), `SET default_transaction_read_only = on`)
	require.NoError(t, err)
	require.NoError(t, write(t.Context(), db))
}

// TestASessionThatLostItsStatements is what a pooler leaves behind a connection
// when the server under it was replaced.
func TestASessionThatLostItsStatements(t *testing.T) {
	t.Parallel()

	db := onlyOne(t, postgrestest.URL(t))
	require.NoError(t, write(t.Context(), db))
	_, err := db.Pool.Exec(t.Context(), `DEALLOCATE ALL`)
	require.NoError(t, err)
	require.True(t, fault.Is(write(t.Context(), db), pg.Unavailable))
	require.NoError(t, write(t.Context(), db))
}

// TestAWrongPasswordIsNoBug: what keeps a process from connecting is unavailable,
// whatever the server gives as its reason.
func TestAWrongPasswordIsNoBug(t *testing.T) {
	t.Parallel()

	absent, err := url.Parse(postgrestest.URL(t))
	require.NoError(t, err)
	stranger := *absent
	absent.Path, stranger.User = "/absent", url.User("stranger")
	for _, wrong := range []string{absent.String(), stranger.String()} {
		require.True(t, fault.Is(write(t.Context(), onlyOne(t, wrong)), pg.Unavailable))
	}
}

// TestAFailoverOfPostgres takes a server away, brings it back as a standby and
// promotes that. The process recovers without a restart, also one that has got
// hold of the standby meanwhile.
func TestAFailoverOfPostgres(t *testing.T) {
	t.Parallel()

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "spotkeeper-standby-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // the server's user must get through
	server, err := pgserver.Start(ctx, dir)
	require.NoError(t, err)
	t.Cleanup(server.Stop)

	strict, lenient := onlyOne(t, server.URL("postgres")), onlyOne(t, anyServer(server.URL("postgres")))
	_, err = postgres.Migrate(ctx, strict)
	require.NoError(t, err)
	require.NoError(t, write(ctx, strict))
	require.NoError(t, write(ctx, lenient))
	other, err := url.Parse(postgrestest.URL(t)) // of another server, whose database and user this one has too
	require.NoError(t, err)
	_, err = strict.Pool.Exec(ctx, `CREATE DATABASE `+strings.TrimPrefix(other.Path, "/"))
	require.NoError(t, err)
	if who := other.User.Username(); who != "postgres" {
		_, err = strict.Pool.Exec(ctx, `CREATE ROLE "`+who+`" SUPERUSER LOGIN`)
		require.NoError(t, err)
	}

	require.NoError(t, server.Demote(ctx))
	for range 3 {
		require.True(t, fault.Is(write(ctx, strict), pg.Unavailable))
		require.True(t, fault.Is(write(ctx, lenient), pg.Unavailable))
	}
	require.True(t, fault.Is(strict.Ping(ctx), pg.Unavailable), "/ready says so")
	var standby bool
	require.NoError(t, lenient.Pool.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&standby))
	require.True(t, standby, "who asks for any server may read from a standby")

	// Of two addresses the one that can write is taken, wherever it stands.
	other.Host = "127.0.0.1:" + strconv.Itoa(server.Port) + "," + other.Host
	both := onlyOne(t, other.String())
	require.NoError(t, write(ctx, both))

	var promoted bool
	require.NoError(t, lenient.Pool.QueryRow(ctx, `SELECT pg_promote(true, 60)`).Scan(&promoted))
	require.True(t, promoted)
	require.NoError(t, write(ctx, strict))
	require.NoError(t, write(ctx, lenient))
}
