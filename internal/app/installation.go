package app

import (
	"context"

	"spotkeeper/internal/postgres"
	"spotkeeper/internal/temporalx"
)

// tie makes the Temporal namespace the database's. Fails with workflow.other_installation.
func (a *App) tie(ctx context.Context) error {
	id, err := (&postgres.Installation{DB: a.DB}).ID(ctx)
	if err != nil {
		return err
	}
	return temporalx.TieNamespace(ctx, a.Temporal, a.codec.Converter(), a.Namespace, a.Config.Temporal.Queue, id)
}

// checkTie is an api's part: it changes nothing in Temporal, and with either of the two
// away their own probes say so.
func (a *App) checkTie(ctx context.Context) error {
	id, err := (&postgres.Installation{DB: a.DB}).ID(ctx)
	if err != nil {
		return nil //nolint:nilerr // the probe of postgres says it
	}
	if err := temporalx.CheckTie(ctx, a.Temporal, a.codec.Converter(), a.Namespace, id); temporalx.IsOther(err) {
		return err
	}
	return nil
}
