package postgres

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"spotkeeper/internal/postgres/entity"
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
	return s.DB.InEntityTx(ctx, func(tx *gorm.DB) error {
		created := gorm.WithResult()
		err := gorm.G[entity.EndedSession](tx, clause.OnConflict{DoNothing: true}, created).
			Create(ctx, &entity.EndedSession{ID: id, ExpiresAt: expires})
		if err != nil || created.RowsAffected == 0 {
			return err
		}
		// The rows of expired sessions are few, and they are not needed any more.
		if _, err := gorm.G[entity.EndedSession](tx).Where("expires_at < now()").Delete(ctx); err != nil {
			return err
		}
		return pg.RecordEntityEvent(ctx, tx, pg.EventRecord{Type: "operator_logout", Severity: "info", Actor: "operator:" + operator, Message: "Operator " + operator + " logged out"})
	})
}

// SessionEnded says whether a session was ended before its time.
func (s *Sessions) SessionEnded(ctx context.Context, id string) (ended bool, err error) {
	found, err := gorm.G[entity.EndedSession](s.DB.Gorm).Where("id = ?", id).Count(ctx, "id")
	return found > 0, pg.Translate(err)
}
