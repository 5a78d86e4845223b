package pg

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The SQLSTATEs after which a session is of no more use although the server
// leaves it open. After a failover of Postgres, behind an address or a pooler that
// stays the same, a session can be bound to a server that only reads, or to one
// that has none of the session's prepared statements.
const (
	readOnlySession     = "25006" // read_only_sql_transaction
	forgottenStatement  = "26000" // invalid_sql_statement_name
	connectionException = "08"    // the class; poolers report a lost server with it
)

// keepWritable sees to it that a pool recovers by itself from a failover of
// Postgres: a session that cannot write does not enter the pool, and one that
// no longer can leaves it at the first sign. Without it such a session would
// fail every statement until its lifetime ends, which is an hour.
//
// A URL that sets target_session_attrs itself decides which servers are accepted.
// Then a session leaves the pool only when a statement has failed for it.
//
// What a server reports of itself says nothing behind a pooler of transactions: PgBouncer
// greets with the words of a server that it has met before, so a server that was promoted
// would count as a standby for as long as PgBouncer runs. There, asking has to do.
func keepWritable(cfg *pgxpool.Config, url string, pooled bool) {
	conn := cfg.ConnConfig
	keepsOpen := conn.OnPgError // the driver's own: it closes after a FATAL error
	conn.OnPgError = func(c *pgconn.PgConn, e *pgconn.PgError) bool {
		return keepsOpen(c, e) && !endsSession(e.Code) && (pooled || !inRecovery(c))
	}
	if strings.Contains(url, "target_session_attrs") && !strings.Contains(url, "read-write") {
		return
	}
	conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	if pooled {
		return
	}
	// The server reports changes of both settings by itself, so the check asks nothing.
	cfg.PrepareConn = func(_ context.Context, c *pgx.Conn) (bool, error) {
		return !inRecovery(c.PgConn()) && c.PgConn().ParameterStatus("default_transaction_read_only") != "on", nil
	}
}

func endsSession(code string) bool {
	return code == readOnlySession || code == forgottenStatement || strings.HasPrefix(code, connectionException)
}

// inRecovery says whether the server has last reported that it is a standby.
// Servers before version 14 do not report it; there, 25006 has to do.
func inRecovery(c *pgconn.PgConn) bool { return c.ParameterStatus("in_hot_standby") == "on" }

// IsReadOnly says whether a connection or a statement failed because the server only reads.
// The driver has no name for the first of the two errors.
func IsReadOnly(err error) bool {
	if server, ok := errors.AsType[*pgconn.PgError](err); ok && server.Code == readOnlySession {
		return true
	}
	return err != nil && strings.Contains(err.Error(), "ValidateConnect failed: read only connection")
}
