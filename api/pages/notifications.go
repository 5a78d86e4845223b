package pages

import (
	"context"
	"net/http"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/postgres/notifications"
	"spotkeeper/internal/postgres/pg"
)

// NotificationStore is the part of notifications.Notifications that its routes use.
type NotificationStore interface {
	Newest(ctx context.Context, clientID string, p pg.Page) ([]notifications.NotificationView, error)
	MarkRead(ctx context.Context, clientID, id, by string) error
	MarkAllRead(ctx context.Context, clientID, by string) (int64, error)
}

// Notifications serves notifications. A tenant sees its own; an operator sees those of
// all clients, or of the client that is named.
type Notifications struct{ Store NotificationStore }

// Routes lists the endpoints.
func (n *Notifications) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     "/api/notifications",
			ID:       "listNotifications",
			Summary:  "List notifications, newest first",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(n.list),
		},
		{
			Method:   http.MethodPost,
			Path:     "/api/notifications/:notification_id/mark-read",
			ID:       "markRead",
			Summary:  "Mark a notification as read",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(n.markRead),
		},
		{
			Method:   http.MethodPost,
			Path:     "/api/notifications/mark-all-read",
			ID:       "markAllRead",
			Summary:  "Mark a client's notifications as read, or as an operator those of all clients",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(n.markAllRead),
		},
	}
}

type notificationsRequest struct {
	web.Paging
	ClientID string `json:"-" form:"client_id"`
	Limit    *int   `json:"-" form:"limit" binding:"omitempty,min=0,max=1000" doc:"10 by default"`
}

type notificationAnswer struct {
	ID       string   `json:"id"`
	Message  string   `json:"message"`
	Severity string   `json:"severity"`
	IsRead   bool     `json:"isRead"`
	Time     web.Time `json:"time"`

	Occurrences int      `json:"occurrences" doc:"how often its cause came; it is sent to sinks once"`
	LastAt      web.Time `json:"lastAt"`
}

func (n *Notifications) list(ctx context.Context, in *notificationsRequest) (*[]notificationAnswer, error) {
	clientID, err := narrowed(ctx, in.ClientID)
	if err != nil {
		return nil, err
	}
	page := in.PageOf(web.ValueOr(in.Limit, 10))
	if page.Limit == 0 { // none is what was asked for
		return &[]notificationAnswer{}, nil
	}
	found, err := n.Store.Newest(ctx, clientID, page)
	found, err = web.FinishPage(&in.Paging, found, err, func(x notifications.NotificationView) pg.Cursor {
		return pg.Cursor{At: x.CreatedAt, ID: x.ID}
	})
	return web.MapRows(found, err, func(x notifications.NotificationView) notificationAnswer {
		return notificationAnswer{
			ID:       x.ID,
			Message:  x.Message,
			Severity: x.Severity,
			IsRead:   x.IsRead,
			Time:     web.TimeOf(x.CreatedAt),

			Occurrences: x.Occurrences,
			LastAt:      web.TimeOf(x.LastAt),
		}
	})
}

type markReadRequest struct {
	web.OptionalBody
	ID string `json:"-" uri:"notification_id"`
}

func (n *Notifications) markRead(ctx context.Context, in *markReadRequest) (*web.Success, error) {
	return web.Done, n.Store.MarkRead(ctx, web.TenantScope(ctx), in.ID, web.ActorName(ctx))
}

type markAllReadRequest struct {
	web.OptionalBody
	ClientID *string `json:"client_id" doc:"whose; as an operator, those of all clients when absent"`
}

func (n *Notifications) markAllRead(ctx context.Context, in *markAllReadRequest) (*web.Success, error) {
	clientID, err := narrowed(ctx, web.Deref(in.ClientID))
	if err != nil {
		return nil, err
	}
	_, err = n.Store.MarkAllRead(ctx, clientID, web.ActorName(ctx))
	return web.Done, err
}

// narrowed is whom a request is about: the tenant itself, or the client that an
// operator names; empty for all. Fails with clients.not_found when a tenant names
// another.
func narrowed(ctx context.Context, asked string) (string, error) {
	scope := web.TenantScope(ctx)
	if scope != "" && asked != "" && asked != scope {
		return "", clients.NotFound.New("Client not found")
	}
	if scope != "" {
		return scope, nil
	}
	return asked, nil
}
