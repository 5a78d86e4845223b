package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.temporal.io/api/serviceerror"
)

// SQLSTATEs of connections that will not succeed by waiting.
// Source: PostgreSQL documentation, appendix A.
const (
	noSuchDatabase  = "3D000"
	wrongPassword   = "28P01"
	refusedIdentity = "28000"
)

// judgeStart returns what to do about a dependency that answers and will never serve
// what is configured, or nil when waiting may help.
func (a *App) judgeStart(err error) error {
	var database *pgconn.PgError
	if errors.As(err, &database) {
		switch database.Code {
		case noSuchDatabase:
			return fmt.Errorf("the server of DATABASE_URL has no such database: create it, or correct the name: %w", database)
		case wrongPassword, refusedIdentity:
			return fmt.Errorf("the database refuses the user or the password of DATABASE_URL: correct them: %w", database)
		}
	}
	var namespace *serviceerror.NamespaceNotFound
	if errors.As(err, &namespace) {
		return fmt.Errorf("the namespace %s is not at Temporal: create it, or correct TEMPORAL_NAMESPACE: %w",
			a.Namespace, namespace)
	}
	return nil
}

// probeWithin bounds the one look at each dependency at the start of an api.
const probeWithin = 5 * time.Second

// refuseHopeless looks once at both dependencies. One that is away is no error, because
// an api starts before its dependencies; one that will never serve ends the process.
func (a *App) refuseHopeless(ctx context.Context) error {
	for _, dependency := range []struct {
		name string
		ask  func(context.Context) error
	}{{"postgres", a.DB.Ping}, {"temporal", a.Workflows.Ping}} {
		probe, cancel := context.WithTimeout(ctx, probeWithin)
		err := dependency.ask(probe)
		cancel()
		if err == nil || ctx.Err() != nil {
			continue
		}
		if hopeless := a.judgeStart(err); hopeless != nil {
			return hopeless
		}
		a.Log.WarnContext(ctx, "a dependency is away: what needs it answers 503 until it is there",
			"dependency", dependency.name, "error", err)
	}
	return nil
}
