// Package postgrestest gives each test a migrated database of its own: a clone of
// a template. The server keeps its files in memory where the system can, which
// makes a clone ten times cheaper than on a disk. Sessions run in Newfoundland
// time, which has an offset of half an hour and daylight saving, so that code which
// confuses zones shows.
package postgrestest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/pgserver"
	"spotkeeper/internal/testkit/scratch"
)

// Zone is the time zone of every session of a test.
const Zone = "Canada/Newfoundland"

// room is four times what the databases of any package have needed at once.
const room = 512 << 20

var (
	mu       sync.Mutex
	server   *pgserver.Server
	home     *scratch.Directory // the server's
	base     string             // URL of the maintenance database
	template string
	clone    string // what follows the template's name in CREATE DATABASE
	serial   atomic.Int64
)

// Main runs a package's tests and stops the server they used. Use it as
// func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }, or call Stop.
func Main(m interface{ Run() int }) int {
	defer Stop()
	return m.Run()
}

// Stop ends the package's server, if a test has started one.
func Stop() {
	mu.Lock()
	defer mu.Unlock()
	if server != nil {
		server.Stop()
		home.Remove()
		server, home, template = nil, nil, ""
	}
}

// Open returns a fresh, migrated database that is dropped after the test.
func Open(t testing.TB) *pg.DB {
	t.Helper()
	db, err := pg.Open(t.Context(), pg.Options{URL: URL(t), MaxConns: 8, ConnTimeout: 10 * time.Second, TimeZone: Zone})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return db
}

// OpenAs returns a fresh, migrated database as a role sees it, after a file of SQL has been
// run that makes the role.
func OpenAs(t testing.TB, role, file string) *pg.DB {
	t.Helper()
	at := URL(t)
	Run(t, at, file)
	db, err := pg.Open(t.Context(), pg.Options{
		URL: As(t, at, role), MaxConns: 8, ConnTimeout: 10 * time.Second, TimeZone: Zone,
	})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return db
}

// Run runs a file of SQL in a database. Roles are the server's, so one test at a time makes
// them.
func Run(t testing.TB, at, file string) {
	t.Helper()
	sql, err := os.ReadFile(file)
	require.NoError(t, err)
	mu.Lock()
	defer mu.Unlock()
	conn, err := pgx.Connect(t.Context(), at)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), string(sql))
	require.NoError(t, err)
}

// As is the address of a database with another user.
func As(t testing.TB, at, role string) string {
	t.Helper()
	u, err := url.Parse(at)
	require.NoError(t, err)
	u.User = url.User(role)
	return u.String()
}

// URL returns the address of a fresh, migrated database.
func URL(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tmpl, err := ready(ctx)
	require.NoError(t, err)
	name := fmt.Sprintf("t_%d_%d", os.Getpid(), serial.Add(1))
	require.NoError(t, maintain(ctx, "CREATE DATABASE "+name+" TEMPLATE "+tmpl+clone))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, maintain(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"))
	})
	return urlOf(name)
}

// ready starts the server and makes the template once per test process.
func ready(ctx context.Context) (string, error) {
	mu.Lock()
	defer mu.Unlock()
	if template != "" {
		return template, nil
	}
	if base = os.Getenv("SPOTKEEPER_TEST_DATABASE_URL"); base == "" { //nolint:forbidigo // tests have no config
		var err error
		if home, err = scratch.InMemory("spotkeeper-pg-", room); err != nil {
			return "", err
		}
		if server, err = pgserver.Start(ctx, home.Path); err != nil {
			return "", err
		}
		base = server.URL("postgres")
	}
	name := fmt.Sprintf("template_%d", os.Getpid())
	if err := maintainLocked(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)",
		"CREATE DATABASE "+name); err != nil {
		return "", err
	}
	db, err := pg.Open(ctx, pg.Options{URL: urlOf(name), MaxConns: 2, TimeZone: Zone})
	if err != nil {
		return "", err
	}
	defer db.Close()
	if _, err := postgres.Migrate(ctx, db); err != nil {
		return "", err
	}
	if clone, err = cheapest(ctx, db); err != nil {
		return "", err
	}
	template = name
	return template, nil
}

// cheapest is how Postgres clones a database with the least work. Since version 15
// it writes a clone to its log page by page unless a copy of files is asked for.
func cheapest(ctx context.Context, db *pg.DB) (option string, err error) {
	var version int
	err = db.Pool.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version)
	if version >= 150_000 {
		option = " STRATEGY FILE_COPY"
	}
	return option, err
}

func maintain(ctx context.Context, statements ...string) error {
	mu.Lock()
	defer mu.Unlock()
	return maintainLocked(ctx, statements...)
}

// maintainLocked runs one statement at a time: cloning needs the template for itself.
func maintainLocked(ctx context.Context, statements ...string) error {
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func urlOf(database string) string {
	at := strings.LastIndexByte(strings.SplitN(base, "?", 2)[0], '/')
	_, query, _ := strings.Cut(base, "?")
	url := base[:at+1] + database
	if query != "" {
		url += "?" + query
	}
	return url
}
