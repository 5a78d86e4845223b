package postgres

import "context"

// recordAttempt stamps a subject of a sweep as tried now. It sets a level, so twice is once.
func (db *DB) recordAttempt(ctx context.Context, sweep, subject string) error {
	_, err := db.Pool.Exec(ctx, `
		INSERT INTO sweep_attempts AS t (sweep, subject) VALUES ($1, $2)
		ON CONFLICT ON CONSTRAINT sweep_attempts_once DO UPDATE SET tried_at = clock_timestamp()`, sweep, subject)
	return translate(err)
}
