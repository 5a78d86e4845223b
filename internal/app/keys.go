package app

import (
	"context"
	"fmt"

	"spotkeeper/internal/postgres"
)

func (a *App) rekeying() (*postgres.Rekeying, error) {
	keys, err := a.Config.Secrets.SealingKeys()
	if err != nil {
		return nil, err
	}
	return &postgres.Rekeying{DB: a.DB, Keys: keys}, nil
}

// checkKeys refuses to work without a key where rows are sealed with one: every webhook
// would fail. With keys, a row that none of them opens is told and stops no other.
func (a *App) checkKeys(ctx context.Context) error {
	r, err := a.rekeying()
	if err != nil {
		return err
	}
	rows, unreadable, err := r.Unreadable(ctx)
	switch {
	case err != nil:
		return err
	case unreadable > 0 && !a.Config.Secrets.AreGiven():
		return fmt.Errorf(
			"SECRET_KEY is not set, and %d of %d secrets in the database are sealed with one: set SECRET_KEY or SECRET_KEYS",
			unreadable,
			rows,
		)
	case unreadable > 0:
		a.Log.WarnContext(ctx, "secrets in the database cannot be read with the keys there are",
			"unreadable", unreadable, "rows", rows)
	}
	return nil
}

// Rekey seals all secrets with the first key.
func (a *App) Rekey(ctx context.Context) error {
	r, err := a.rekeying()
	if err != nil {
		return err
	}
	done, err := r.Rekey(ctx, "operator:worker rekey")
	if err != nil {
		return err
	}
	a.Log.InfoContext(ctx, "secrets are sealed with the first key", "resealed", done.Resealed,
		"current", done.Current, "changed_meanwhile", done.Changed, "unreadable", done.Unreadable)
	if done.Unreadable > 0 {
		return fmt.Errorf(
			"%d secrets are sealed with a key that is not among SECRET_KEYS and SECRET_KEY: add it, and do this again",
			done.Unreadable,
		)
	}
	return nil
}
