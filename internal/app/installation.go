package app

import (
	"context"

	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/temporalx"
)

// tie makes the Temporal namespace the database's. Fails with workflow.other_installation.
func (a *App) tie(ctx context.Context) error {
	id, err := (&housekeeping.Installation{DB: a.DB}).ID(ctx)
	if err != nil {
		return err
	}
	return temporalx.TieNamespace(ctx, a.Temporal, a.codec.Converter(), a.Namespace, a.Config.Temporal.Queue, id)
}

// checkTie is an api's part: it changes nothing in Temporal, and with either of the two
// away their own probes say so. Fails with workflow.other_installation.
func (a *App) checkTie(ctx context.Context) error {
	_, err := a.tieOf(ctx)
	return err
}

// tieOf fails with workflow.other_installation. It is known when both have answered.
func (a *App) tieOf(ctx context.Context) (known bool, err error) {
	id, err := (&housekeeping.Installation{DB: a.DB}).ID(ctx)
	if err != nil {
		return false, nil //nolint:nilerr // the probe of postgres says it
	}
	err = temporalx.CheckTie(ctx, a.Temporal, a.codec.Converter(), a.Namespace, id)
	if temporalx.IsOther(err) {
		return false, err
	}
	return err == nil, nil
}
