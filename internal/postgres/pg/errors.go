package pg

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"spotkeeper/internal/domain/fault"
)

// Unavailable means that Postgres did not answer, or not in time.
var Unavailable = fault.Define("postgres.unavailable", fault.Unavailable)

// Translate turns what a driver says into what a caller can act on. A fault
// passes as it is; a lost or missing connection is Unavailable; a constraint
// that was registered becomes that fault; the rest stays internal.
func Translate(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	// First, because it wraps what the server said: a wrong password and a database
	// that does not exist are the installation's trouble, not the caller's.
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return Unavailable.Wrap(err, "the database is not available")
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		if as, known := byConstraint[pg.ConstraintName]; known {
			return as(err)
		}
		if isPassing(pg) {
			return Unavailable.Wrap(err, "the database is not available")
		}
		return err
	}
	if _, ok := errors.AsType[net.Error](err); ok || pgconn.Timeout(err) || errors.Is(err, net.ErrClosed) {
		return Unavailable.Wrap(err, "the database is not available")
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) { // the server died in the middle of an answer
		return Unavailable.Wrap(err, "the database is not available")
	}
	if pgconn.SafeToRetry(err) && !errors.Is(err, context.Canceled) || isNoSession(err) {
		return Unavailable.Wrap(err, "the database is not available")
	}
	return err
}

// isNoSession says whether the pool has given up because none of its sessions could be used.
// The driver has no name for that error.
func isNoSession(err error) bool {
	return strings.Contains(err.Error(), "pgxpool: too many failed attempts acquiring connection")
}

// isPassing says whether the same statement may succeed on another session, or
// later on this one.
func isPassing(pg *pgconn.PgError) bool {
	if strings.EqualFold(pg.SeverityUnlocalized, "FATAL") || strings.EqualFold(pg.Severity, "FATAL") {
		return true // the session has ended, whatever the reason
	}
	switch pg.Code {
	case readOnlySession, forgottenStatement,
		"25P03", "25P04", // the session was idle in its transaction, or in one, for too long
		"55P03": // a lock was not there within the server's lock_timeout
		return true
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case connectionException,
		"40",
		"53",
		"57",
		"58": // deadlock, resources, operator intervention (also: starting up), the server's disk
		return true
	}
	return false
}

// byConstraint gives the broken constraints that callers can act on their
// meaning. Add a row beside the constraint's first use.
var byConstraint = map[string]func(error) error{}

// RegisterConstraint registers what a broken constraint says to the caller. Call it while
// the package initializes.
func RegisterConstraint(
	constraint string,
	code fault.Code,
	sentence string,
) struct{} { //nolint:unparam // the result lets a declaration call it
	byConstraint[constraint] = func(err error) error { return code.Wrap(err, "%s", sentence) }
	return struct{}{}
}

// Deadlocked says whether a transaction was given up for another one.
func Deadlocked(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "40P01"
}

// IsConstraint says whether err is a violation of the named constraint.
func IsConstraint(err error, name string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.ConstraintName == name
}
