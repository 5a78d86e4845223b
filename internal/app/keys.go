package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/accounts"
)

// Unreadable means that secrets in the database are sealed with a key that this process
// does not have.
var Unreadable = fault.Define("secrets.unreadable", fault.Unavailable)

// secretsEvery is how often the secrets in the database are looked through.
const secretsEvery = 10 * time.Minute

// secretsCheck keeps the result of the check of all secrets.
type secretsCheck struct {
	mu    sync.Mutex
	at    time.Time
	found error
}

// checkSecrets fails with secrets.unreadable when a key is missing: tokens, webhooks and
// payloads at Temporal that it has sealed cannot be read, and the rest works.
func (a *App) checkSecrets(ctx context.Context) error {
	a.secrets.mu.Lock()
	defer a.secrets.mu.Unlock()
	if time.Since(a.secrets.at) < secretsEvery {
		return a.secrets.found
	}
	r, err := a.rekeying()
	if err != nil {
		return err
	}
	rows, unreadable, err := r.Unreadable(ctx)
	if err != nil {
		return nil //nolint:nilerr // the probe of postgres says it
	}
	a.secrets.at, a.secrets.found = time.Now(), nil
	if unreadable > 0 {
		a.secrets.found = Unreadable.New("%d of %d secrets in the database are sealed with a key that is not among "+
			"SECRET_KEYS and SECRET_KEY. Add it to them, or put back the settings of before.", unreadable, rows)
	}
	return a.secrets.found
}

func (a *App) rekeying() (*accounts.Rekeying, error) {
	keys, err := a.Config.Secrets.SealingKeys()
	if err != nil {
		return nil, err
	}
	return &accounts.Rekeying{DB: a.DB, Keys: keys}, nil
}

// checkKeys refuses to work without a key where rows are sealed with one: every webhook
// would fail. With keys, a row that no key opens is logged and stops no other.
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
