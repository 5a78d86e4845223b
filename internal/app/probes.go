package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"spotkeeper/api/rest"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/postgres/pg"
)

// probes are what /ready of an api and of a worker asks.
func (a *App) probes() []rest.Probe {
	return []rest.Probe{
		{Name: "postgres", Check: a.DB.Ping, Says: sayPostgres},
		{Name: "postgres_room", Check: a.DB.CheckShortage, Degrades: true},
		{Name: "schema", Check: a.checkSchema, Says: sayPostgres},
		{Name: "schema_ahead", Check: a.checkSchemaAhead, Degrades: true},
		{Name: "temporal", Check: a.Workflows.Ping, Says: sayTemporal},
		{Name: "installation", Check: a.checkTie, Says: error.Error},
		{Name: "search_attributes", Check: a.attributes.Check, Degrades: true},
		{Name: "engine", Check: a.engines.serving.Check, Degrades: true},
		{Name: "secrets", Check: a.checkSecrets, Degrades: true},
		{Name: "clock", Check: a.checkClock, Degrades: true},
		{Name: "certificates", Check: a.certificates.check, Degrades: true},
	}
}

// workerProbes are what /ready of a worker asks.
func (a *App) workerProbes() []rest.Probe {
	return append(a.probes(),
		rest.Probe{Name: "polling", Check: a.checkPolling, Says: error.Error},
		rest.Probe{Name: "sandbox", Check: a.checkPython, Degrades: true},
		rest.Probe{Name: "events", Check: a.checkEvents, Degrades: true})
}

// errNotPolling is the answer of a worker that has not begun.
//
//nolint:staticcheck // a sentence of a page
var errNotPolling = errors.New("The worker has not begun to poll: it waits for Postgres, the schema or Temporal.")

// checkPolling fails until the worker polls its task queues.
func (a *App) checkPolling(context.Context) error {
	if !a.polls.Load() {
		return errNotPolling
	}
	return nil
}

// checkEvents fails when an events queue cannot be read, or is behind. Which queues there are
// is known from the moment at which the worker polls.
func (a *App) checkEvents(ctx context.Context) error {
	if !a.polls.Load() {
		return nil
	}
	var all []error
	for _, one := range a.intakes {
		all = append(all, one.Check(ctx))
	}
	return errors.Join(all...)
}

// checkSchema fails when the schema is older than this program. While Postgres is
// unavailable, the probe of postgres fails instead.
func (a *App) checkSchema(ctx context.Context) error {
	err := postgres.CheckVersion(ctx, a.DB)
	if fault.Is(err, pg.Unavailable) {
		return nil
	}
	return err
}

// checkSchemaAhead fails when the schema is newer than this program: normal during an
// upgrade, and a sign of a forgotten process afterwards.
func (a *App) checkSchemaAhead(ctx context.Context) error {
	ahead, err := postgres.SchemaAhead(ctx, a.DB)
	if err != nil || ahead == 0 {
		return nil //nolint:nilerr // the probes of postgres and schema fail instead
	}
	return fmt.Errorf("The database schema is %d migrations newer than this program. During an upgrade this is normal; "+ //nolint:staticcheck // a sentence of a page
		"afterwards, replace this process by one of the new version.", ahead)
}

// mostSkew is how far the clocks of this process and of the database may differ: deadlines,
// signatures of AWS and tokens of identity providers depend on the former, and everything that is
// decided in statements on the latter.
const mostSkew = 10 * time.Second

// checkClock fails when the clock of this process differs from the database's.
func (a *App) checkClock(ctx context.Context) error {
	before := a.now().Round(0) // without the monotonic reading, which does not jump
	there, err := housekeeping.Clock(ctx, a.DB)
	if err != nil {
		return nil //nolint:nilerr // the probe of postgres says it
	}
	after := a.now().Round(0)
	switch {
	case there.Sub(after) > mostSkew:
		return fmt.Errorf("The clock of this process is %s behind the database's: synchronise both machines with NTP.", //nolint:staticcheck // a sentence of a page
			there.Sub(after).Round(time.Second))
	case before.Sub(there) > mostSkew:
		return fmt.Errorf("The clock of this process is %s ahead of the database's: synchronise both machines with NTP.", //nolint:staticcheck // a sentence of a page
			before.Sub(there).Round(time.Second))
	}
	return nil
}

// noAnswer is the sentence for an error that has no better one.
const noAnswer = "It does not answer."

// SQLSTATEs that name a setting of ours or a state of the server.
// Source: PostgreSQL documentation, appendix A.
const (
	noPrivilege = "42501"
	noTable     = "42P01"
)

// sayPostgres is a failure of the database in a sentence for operators: what the server or
// the network answered, and which setting it concerns.
func sayPostgres(err error) string {
	if pg.IsReadOnly(err) {
		return "The server of DATABASE_URL only reads: it is a standby, or read-only by a setting. Correct the address, or wait for the failover to end."
	}
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch server.Code {
		case noSuchDatabase:
			return "The server of DATABASE_URL has no such database: create it, or correct the name."
		case wrongPassword, refusedIdentity:
			return "Postgres refuses the user or the password of DATABASE_URL, or the password has expired: correct them, or renew it by ALTER ROLE … VALID UNTIL."
		case noPrivilege:
			return "The user of DATABASE_URL lacks a privilege (" + server.Message +
				"): make the roles with deploy/postgres/roles.sql, or correct the user."
		case noTable:
			return "The database has no tables of Spotkeeper: run `spotkeeper-worker migrate`, or correct the name in DATABASE_URL."
		}
		return fmt.Sprintf("Postgres answers: %s (SQLSTATE %s).", server.Message, server.Code)
	}
	if said := sayNetwork(err); said != "" {
		return said
	}
	if pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded) {
		return "It does not answer in time, or all connections of this process are in use (DATABASE_MAX_CONNS)."
	}
	if errors.Is(err, postgres.ErrSchemaOld) {
		return "The database schema is older than this program: run `spotkeeper-worker migrate`."
	}
	return noAnswer
}

// sayNetwork is a failure on the way to a server, or "" when err is none.
func sayNetwork(err error) string {
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "The server's certificate is not accepted: " + bad.Err.Error() + "."
	}
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("The name %s has no address: %s.", name.Name, name.Err)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Addr != nil {
		return fmt.Sprintf("Nothing answers at %s: %v.", op.Addr, op.Err)
	}
	return ""
}

// sayTemporal is a failure of Temporal in a sentence for operators. The way to it answers
// with texts only.
func sayTemporal(err error) string {
	said := strings.TrimSuffix(err.Error(), ".") + "."
	if slices.ContainsFunc(ofCertificates, func(part string) bool { return strings.Contains(said, part) }) {
		_, cause, _ := strings.Cut(said, ": ")
		return "Temporal's certificate, or ours, is not accepted: " + cause
	}
	return strings.ToUpper(said[:1]) + said[1:]
}

// ofCertificates are parts of what crypto/tls says of certificates.
var ofCertificates = []string{"x509:", "tls: "}
