package control

import (
	"context"
	"net/http"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/accounts"
)

// OperatorSessionStore is the part of accounts.Sessions that its routes use.
type OperatorSessionStore interface {
	Sessions(ctx context.Context, now time.Time, idle time.Duration) ([]accounts.Session, error)
	EndSessionOf(ctx context.Context, id, by string) error
}

// OperatorSessions serves operators the logins of browsers, tenants' as well.
type OperatorSessions struct {
	Store OperatorSessionStore
	Now   func() time.Time
}

// Routes lists the endpoints.
func (s *OperatorSessions) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     "/api/admin/sessions",
			ID:       "listOperatorSessions",
			Summary:  "List the sessions of operators and tenants that are good",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(s.list),
		},
		{
			Method:   http.MethodDelete,
			Path:     "/api/admin/sessions/:session_id",
			ID:       "endOperatorSession",
			Summary:  "End a session in every process",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(s.end),
		},
	}
}

type operatorSessionAnswer struct {
	ID         string   `json:"id"`
	Operator   string   `json:"operator" doc:"empty for a tenant"`
	Role       string   `json:"role" doc:"of an operator at the login: viewer, operator or admin"`
	Via        string   `json:"via" doc:"token or oidc"`
	ClientID   string   `json:"client_id" doc:"of a tenant; empty for an operator"`
	ClientName string   `json:"client_name"`
	Address    string   `json:"address"`
	StartedAt  web.Time `json:"started_at"`
	LastSeenAt web.Time `json:"last_seen_at" doc:"to a minute"`
	ExpiresAt  web.Time `json:"expires_at"`
}

type operatorSessionsAnswer struct {
	Sessions []operatorSessionAnswer `json:"sessions"`
}

func (s *OperatorSessions) list(ctx context.Context, _ *web.None) (*operatorSessionsAnswer, error) {
	found, err := s.Store.Sessions(ctx, s.Now(), web.SessionIdle)
	if err != nil {
		return nil, err
	}
	out := &operatorSessionsAnswer{Sessions: make([]operatorSessionAnswer, len(found))}
	for i, x := range found {
		out.Sessions[i] = operatorSessionAnswer{
			ID:         x.ID,
			Operator:   x.Operator,
			Role:       x.Role,
			Via:        x.Via,
			ClientID:   x.ClientID,
			ClientName: x.ClientName,
			Address:    x.Address,
			StartedAt:  web.TimeOf(x.StartedAt),
			LastSeenAt: web.TimeOf(x.LastSeenAt),
			ExpiresAt:  web.TimeOf(x.ExpiresAt),
		}
	}
	return out, nil
}

type operatorSessionPath struct {
	SessionID string `json:"-" uri:"session_id"`
}

func (s *OperatorSessions) end(ctx context.Context, in *operatorSessionPath) (*web.Success, error) {
	if err := s.Store.EndSessionOf(ctx, in.SessionID, web.ActorName(ctx)); err != nil {
		return nil, err
	}
	return web.Done, nil
}
