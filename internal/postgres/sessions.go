package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/postgres/pg"
)

// Sessions remembers what operators' browsers did at the door. A session itself
// is a signed cookie; here are those that were ended before their time.
type Sessions struct{ DB *pg.DB }

// SessionBegun keeps a login as an event.
func (s *Sessions) SessionBegun(ctx context.Context, operator, address string) error {
	return pg.Translate(pg.RecordEvent(ctx, s.DB.Pool, pg.EventRecord{Type: "operator_login", Severity: "info", Actor: "operator:" + operator,
		Message: "Operator " + operator + " logged in", Metadata: map[string]any{"address": address}}))
}

// EndSession ends a session in every process. One that has ended is ended again.
func (s *Sessions) EndSession(ctx context.Context, id, operator string, expires time.Time) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO ended_sessions (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`, id, expires)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM ended_sessions WHERE expires_at < now()`); err != nil { // few, and they are not needed any more
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{Type: "operator_logout", Severity: "info", Actor: "operator:" + operator, Message: "Operator " + operator + " logged out"})
	})
}

// SessionEnded says whether a session was ended before its time.
func (s *Sessions) SessionEnded(ctx context.Context, id string) (ended bool, err error) {
	err = s.DB.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM ended_sessions WHERE id = $1)`, id).Scan(&ended)
	return ended, pg.Translate(err)
}
