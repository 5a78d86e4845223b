package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/postgres/pg"
)

// Notifications are what people are told, and whether they have read it.
type Notifications struct{ DB *pg.DB }

// NotificationView is one notification.
type NotificationView struct {
	ID        string
	ClientID  *string
	Message   string
	Severity  string
	IsRead    bool
	CreatedAt time.Time
}

// Newest lists a client's notifications, or with an empty clientID everybody's.
func (n *Notifications) Newest(ctx context.Context, clientID string, p pg.Page) ([]NotificationView, error) {
	const columns = `SELECT id, client_id, message, severity, is_read, created_at FROM notifications
		WHERE created_at <= $1 AND (created_at < $1 OR id > $2)`
	at, id := p.From()
	if clientID == "" {
		return pg.QueryRows[NotificationView](ctx, n.DB, columns+` ORDER BY created_at DESC, id LIMIT $3`, at, id, p.UpTo())
	}
	return pg.QueryRows[NotificationView](ctx, n.DB, columns+` AND client_id = $4 ORDER BY created_at DESC, id LIMIT $3`, at, id, p.UpTo(), clientID)
}

// MarkRead marks one notification, of the client if one is named, and tells it.
// One that is read, or not there, is not an error: the answer is the same.
func (n *Notifications) MarkRead(ctx context.Context, clientID, id, by string) error {
	_, err := n.DB.Pool.Exec(ctx, `
		WITH read AS (UPDATE notifications SET is_read = true WHERE id = $1 AND ($2 = '' OR client_id = $2) AND NOT is_read RETURNING id, client_id)
		INSERT INTO events (client_id, type, actor, message, metadata)
		SELECT client_id, 'notification_read', $3, 'A notification was read', jsonb_build_object('notification_id', id, 'before', '{"is_read": false}'::jsonb, 'after', '{"is_read": true}'::jsonb)
		FROM read`, id, clientID, by)
	return pg.Translate(err)
}

// MarkAllRead marks a client's notifications, or with an empty clientID
// everybody's, tells it if any were unread, and says how many.
func (n *Notifications) MarkAllRead(ctx context.Context, clientID, by string) (changed int64, err error) {
	err = n.DB.InTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE notifications SET is_read = true WHERE NOT is_read AND ($1 = '' OR client_id = $1)`, clientID)
		if changed = tag.RowsAffected(); err != nil || changed == 0 {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{ClientID: clientID, Type: "notifications_read", Severity: "info", Actor: by, Message: fmt.Sprintf("%d notifications were read", changed),
			Metadata: map[string]any{"before": map[string]int64{"unread": changed}, "after": map[string]int64{"unread": 0}}})
	})
	return changed, err
}
