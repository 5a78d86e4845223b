package postgres

import (
	"context"
	"time"
)

// Notifications are what people are told, and whether they have read it.
type Notifications struct{ DB *DB }

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
func (n *Notifications) Newest(ctx context.Context, clientID string, p Page) ([]NotificationView, error) {
	const columns = `SELECT id, client_id, message, severity, is_read, created_at FROM notifications
		WHERE created_at <= $1 AND (created_at < $1 OR id > $2)`
	at, id := p.from()
	if clientID == "" {
		return rows[NotificationView](ctx, n.DB, columns+` ORDER BY created_at DESC, id LIMIT $3`, at, id, p.upTo())
	}
	return rows[NotificationView](ctx, n.DB, columns+` AND client_id = $4 ORDER BY created_at DESC, id LIMIT $3`, at, id, p.upTo(), clientID)
}

// MarkRead marks one notification, of the client if one is named. One that is
// read, or not there, is not an error: the answer is the same.
func (n *Notifications) MarkRead(ctx context.Context, clientID, id string) error {
	_, err := n.DB.Pool.Exec(ctx, `UPDATE notifications SET is_read = true WHERE id = $1 AND ($2 = '' OR client_id = $2) AND NOT is_read`, id, clientID)
	return translate(err)
}

// MarkAllRead marks a client's notifications, or with an empty clientID
// everybody's, and says how many it changed.
func (n *Notifications) MarkAllRead(ctx context.Context, clientID string) (int64, error) {
	tag, err := n.DB.Pool.Exec(ctx, `UPDATE notifications SET is_read = true WHERE NOT is_read AND ($1 = '' OR client_id = $1)`, clientID)
	return tag.RowsAffected(), translate(err)
}
