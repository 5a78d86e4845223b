package pg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	gormpg "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// DB is the one way to Postgres: a pgx pool for set-based statements, COPY and
// batches, and GORM over the same pool for mapping and plain queries.
type DB struct {
	Pool *pgxpool.Pool
	Gorm *gorm.DB

	SQL *sql.DB // the same pool, for GORM and migrations; it has a goroutine to end

	short *shortages
}

// Options say where the database is and how much of it a process may use.
type Options struct {
	URL         string
	MaxConns    int32         // 0: 16
	ConnTimeout time.Duration // 0: 2 s, so that an absent database is a fast 503
	TimeZone    string        // of the sessions; empty: UTC

	// Pooled is for a pooler that gives a connection to one transaction at a time: there
	// are no sessions, so no settings of them, and no statements that stay prepared.
	Pooled bool
	// StatementTimeout bounds a statement by the server's clock, for a client that has
	// died; 0: none.
	StatementTimeout time.Duration

	Log    *slog.Logger    // slow statements are warnings, all others debug messages; nil: none
	Slow   time.Duration   // from when on a statement is slow; 0: a second
	Tracer pgx.QueryTracer // sees every statement; nil: none

	Now func() time.Time // of CheckShortage; nil: time.Now
}

// idleInTransaction is how long a transaction may wait for its process, whose locks others
// wait for.
const idleInTransaction = time.Minute

// Open connects lazily: an absent database is not an error here but at the first
// statement, so that a process started before its database recovers by itself.
func Open(ctx context.Context, o Options) (*DB, error) {
	cfg, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL is not a Postgres URL: %w", err)
	}
	cfg.MaxConns = 16
	if o.MaxConns > 0 {
		cfg.MaxConns = o.MaxConns
	}
	cfg.ConnConfig.ConnectTimeout = 2 * time.Second
	if o.ConnTimeout > 0 {
		cfg.ConnConfig.ConnectTimeout = o.ConnTimeout
	}
	zone := "UTC"
	if o.TimeZone != "" {
		zone = o.TimeZone
	}
	cfg.ConnConfig.RuntimeParams["timezone"] = zone
	cfg.ConnConfig.RuntimeParams["application_name"] = "spotkeeper"
	// The planner takes every series and list of parameters for a thousand rows and
	// then compiles for seconds what runs for milliseconds. It is not a start-up
	// parameter, which poolers refuse.
	if o.Pooled {
		// One message sequence carries the statement and its parameters, so it does not
		// matter on which connection the types were asked for.
		cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	} else {
		settings := fmt.Sprintf("SET jit = off; SET statement_timeout = %d; SET idle_in_transaction_session_timeout = %d",
			o.StatementTimeout.Milliseconds(), idleInTransaction.Milliseconds())
		cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.PgConn().Exec(ctx, settings).ReadAll()
			return err
		}
	}
	cfg.ConnConfig.Tracer = o.tracer()
	keepWritable(cfg, o.URL, o.Pooled)
	short := &shortages{now: time.Now}
	if o.Now != nil {
		short.now = o.Now
	}
	judge := cfg.ConnConfig.OnPgError
	cfg.ConnConfig.OnPgError = func(c *pgconn.PgConn, e *pgconn.PgError) bool {
		short.note(e)
		return judge(c, e)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	std := stdlib.OpenDBFromPool(pool)
	g, err := gorm.Open(gormpg.New(gormpg.Config{Conn: std}), &gorm.Config{
		Logger:                 logger.Discard, // the pool's tracer logs statements, and errors reach the caller
		SkipDefaultTransaction: true,
		DisableAutomaticPing:   true,
		NowFunc:                func() time.Time { return time.Now().UTC() },
	})
	if err != nil {
		_ = std.Close()
		pool.Close()
		return nil, err
	}
	return &DB{Pool: pool, Gorm: g, SQL: std, short: short}, nil
}

// Close gives the connections back.
func (db *DB) Close() {
	_ = db.SQL.Close() // it owns no connection
	db.Pool.Close()
}

// Ping says whether the database answers.
func (db *DB) Ping(ctx context.Context) error { return Translate(db.Pool.Ping(ctx)) }

// Now reads the database's clock.
func (db *DB) Now(ctx context.Context) (at time.Time, err error) {
	return at, Translate(db.Pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&at))
}

// Connections says how many connections of the pool are free, of how many.
func (db *DB) Connections() (free, size int) {
	s := db.Pool.Stat()
	return int(s.MaxConns() - s.AcquiredConns()), int(s.MaxConns())
}

// InTx runs fn in one transaction and translates what it returns.
func (db *DB) InTx(ctx context.Context, fn func(pgx.Tx) error) error {
	return Translate(pgx.BeginFunc(ctx, db.Pool, fn))
}

// IsNoRows says whether a statement found nothing.
func IsNoRows(err error) bool {
	return errors.Is(err, pgx.ErrNoRows) || errors.Is(err, gorm.ErrRecordNotFound)
}
