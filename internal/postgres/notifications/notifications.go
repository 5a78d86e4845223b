package notifications

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"spotkeeper/internal/domain/trail"
	"spotkeeper/internal/postgres/entity"
	"spotkeeper/internal/postgres/pg"
)

// Notifications stores notifications, and whether they were read.
type Notifications struct{ DB *pg.DB }

// NotificationView is one notification.
type NotificationView struct {
	ID        string
	ClientID  *string
	Message   string
	Severity  string
	IsRead    bool
	CreatedAt time.Time

	Occurrences int // how often its cause came
	LastAt      time.Time
}

// Newest lists the notifications of a client, or with an empty clientID all of them,
// newest first.
func (n *Notifications) Newest(ctx context.Context, clientID string, p pg.Page) ([]NotificationView, error) {
	return pg.Find[NotificationView](ctx, gorm.G[entity.Notification](n.DB.Gorm).
		Scopes(pg.Tenant(clientID), pg.NewestFirst(p, "created_at")))
}

// MarkRead marks one notification, of the client if one is named, and records an event.
// One that is read, or does not exist, is not an error: the answer is the same. It is one
// statement, so that the mark and its event are stored in one round trip.
func (n *Notifications) MarkRead(ctx context.Context, clientID, id, by string) error {
	r := trail.RequestFrom(ctx)
	_, err := n.DB.Pool.Exec(ctx, `
		WITH marked AS (
			UPDATE notifications
			SET is_read = true
			WHERE id = $1
				AND ($2 = '' OR client_id = $2)
				AND NOT is_read
			RETURNING id, client_id)
		INSERT INTO events (client_id, type, actor, actor_kind, actor_id, actor_role, token_id, address, request_id,
			message, metadata)
		SELECT client_id, 'notification_read', $3, $4, $5, $6, $7, $8, $9, 'A notification was read', jsonb_build_object(
			'notification_id', id,
			'before', '{"is_read": false}'::jsonb,
			'after', '{"is_read": true}'::jsonb)
		FROM marked`, id, clientID, by, r.ActorKind, r.ActorID, r.ActorRole, r.TokenID, r.Address, r.RequestID)
	return pg.Translate(err)
}

// MarkAllRead marks the notifications of a client, or with an empty clientID all of
// them, records an event if any were unread, and returns how many.
func (n *Notifications) MarkAllRead(ctx context.Context, clientID, by string) (changed int64, err error) {
	err = n.DB.InEntityTx(ctx, func(tx *gorm.DB) error {
		marked, err := gorm.G[entity.Notification](tx).Scopes(pg.Tenant(clientID)).Where("NOT is_read").Update(ctx,
			"is_read", true)
		if changed = int64(marked); err != nil || changed == 0 {
			return err
		}
		return pg.RecordEntityEvent(ctx, tx, pg.EventRecord{
			ClientID: clientID,
			Type:     "notifications_read",
			Severity: "info",
			Actor:    by,
			Message:  fmt.Sprintf("%d notifications were read", changed),
			Metadata: map[string]any{
				"before": map[string]int64{"unread": changed},
				"after":  map[string]int64{"unread": 0},
			},
		})
	})
	return changed, err
}
