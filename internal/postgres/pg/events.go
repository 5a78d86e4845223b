package pg

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"spotkeeper/internal/domain/trail"
)

// EventRecord is an event and, with Notify, a notification to the client. It is written in
// the transaction of the change that it reports, so that both are stored or neither.
// A Key makes a repeated event one row.
type EventRecord struct {
	ClientID string
	AgentID  string
	Type     string
	Severity string
	Actor    string // empty: system
	Message  string
	Metadata map[string]any
	Notify   bool
	Key      string
}

// execer is a pool or a transaction.
type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

var _ execer = pgx.Tx(nil)

// RecordEvent writes an event, and its notification when it has one.
func RecordEvent(ctx context.Context, tx execer, t EventRecord) error {
	meta := []byte("{}")
	if len(t.Metadata) > 0 {
		var err error
		if meta, err = json.Marshal(t.Metadata); err != nil {
			return err
		}
	}
	r := trail.RequestFrom(ctx)
	_, err := tx.Exec(ctx, `
		WITH event AS (
			INSERT INTO events (client_id, agent_id, type, severity, actor, message, metadata, dedup_key, actor_kind,
				actor_id, actor_role, token_id, address, request_id)
			VALUES (nullif($1, ''), nullif($2, ''), $3, $4, coalesce(nullif($5, ''), 'system'), $6, $7, nullif($9, ''),
				$10, $11, $12, $13, $14, $15)
			ON CONFLICT (dedup_key) DO NOTHING)
		INSERT INTO notifications (client_id, message, severity, dedup_key)
		SELECT nullif($1, ''), $6, $4, nullif($9, '') WHERE $8
		ON CONFLICT (dedup_key) DO NOTHING`,
		t.ClientID, t.AgentID, t.Type, t.Severity, t.Actor, t.Message, meta, t.Notify, t.Key,
		r.ActorKind, r.ActorID, r.ActorRole, r.TokenID, r.Address, r.RequestID)
	return err
}
