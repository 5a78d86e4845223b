package pg

import (
	"context"
	"encoding/json"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"spotkeeper/internal/domain/trail"
	"spotkeeper/internal/postgres/entity"
)

// Tenant limits a query to the rows of a client. An empty id does not limit it.
func Tenant(clientID string) func(*gorm.Statement) { return Matching("client_id", clientID) }

// Matching limits a query to the rows whose column has the value. An empty value does
// not limit it.
func Matching(column, value string) func(*gorm.Statement) {
	return func(s *gorm.Statement) {
		if value != "" {
			s.AddClause(clause.Where{Exprs: []clause.Expression{clause.Eq{Column: column, Value: value}}})
		}
	}
}

// NewestFirst orders a list by a column of times, newest first, and then by id, and
// takes the page of it.
func NewestFirst(p Page, column string) func(*gorm.Statement) {
	return func(s *gorm.Statement) {
		if p.After.ID != "" {
			s.AddClause(clause.Where{Exprs: []clause.Expression{
				clause.Lte{Column: column, Value: p.After.At}, // one range of the index
				clause.Or(clause.Lt{Column: column, Value: p.After.At}, clause.Gt{Column: "id", Value: p.After.ID}),
			}})
		}
		s.AddClause(clause.OrderBy{Columns: []clause.OrderByColumn{
			{Column: clause.Column{Name: column}, Desc: true},
			{Column: clause.Column{Name: "id"}},
		}})
		if n := p.UpTo(); n != nil {
			s.AddClause(clause.Limit{Limit: n})
		}
	}
}

// finder is the end of a query of entities.
type finder interface {
	Scan(ctx context.Context, result any) error
}

// Find reads the rows of a query as values of V: the columns that V names, unless the
// query selects its own. The list is never nil. Fails with postgres.unavailable.
func Find[V any](ctx context.Context, q finder) ([]V, error) {
	out := []V{}
	if err := q.Scan(ctx, &out); err != nil {
		return nil, Translate(err)
	}
	return out, nil
}

// InEntityTx runs fn in one transaction of GORM and translates what it returns.
func (db *DB) InEntityTx(ctx context.Context, fn func(tx *gorm.DB) error) error {
	return Translate(db.Gorm.WithContext(ctx).Transaction(fn))
}

// RecordEntityEvent writes an event as RecordEvent does, in a transaction of GORM.
func RecordEntityEvent(ctx context.Context, tx *gorm.DB, r EventRecord) error {
	by := trail.RequestFrom(ctx)
	e := entity.Event{
		ClientID: NullIfEmpty(r.ClientID), AgentID: NullIfEmpty(r.AgentID), Type: r.Type, Severity: r.Severity,
		Actor: r.Actor, Message: r.Message, Metadata: json.RawMessage("{}"), DedupKey: NullIfEmpty(r.Key),
		ActorKind: by.ActorKind, ActorID: by.ActorID, ActorRole: by.ActorRole, TokenID: by.TokenID,
		Address: by.Address, RequestID: by.RequestID,
	}
	if e.Actor == "" {
		e.Actor = "system"
	}
	if len(r.Metadata) > 0 {
		var err error
		if e.Metadata, err = json.Marshal(r.Metadata); err != nil {
			return err
		}
	}
	once := clause.OnConflict{Columns: []clause.Column{{Name: "dedup_key"}}, DoNothing: true}
	if err := gorm.G[entity.Event](tx, once).Create(ctx, &e); err != nil || !r.Notify {
		return err
	}
	return gorm.G[entity.Notification](tx, once).Create(ctx, &entity.Notification{
		ClientID: e.ClientID, Message: r.Message, Severity: r.Severity, DedupKey: e.DedupKey,
	})
}

// NullIfEmpty is a pointer to the text; null when it is empty.
func NullIfEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
