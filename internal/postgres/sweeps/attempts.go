package sweeps

import (
	"context"

	"spotkeeper/internal/postgres/pg"
)

// recordAttempt stamps a subject of a sweep as tried now. It sets a level, so a second run changes nothing.
func recordAttempt(ctx context.Context, db *pg.DB, sweep, subject string) error {
	_, err := db.Pool.Exec(ctx, `
		INSERT INTO sweep_attempts AS t (sweep, subject) VALUES ($1, $2)
		ON CONFLICT ON CONSTRAINT sweep_attempts_once DO UPDATE SET tried_at = clock_timestamp()`, sweep, subject)
	return pg.Translate(err)
}
