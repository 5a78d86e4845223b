package control

import (
	"context"
	"net/http"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/clients"
)

// QuotaStore is the part of accounts.Quotas that its routes use.
type QuotaStore interface {
	Quota(ctx context.Context, clientID string) (clients.Limits, clients.Usage, error)
	SetLimits(ctx context.Context, clientID string, l clients.Limits, by string) error
}

// Limits serves what a client may have, and what it has of it.
type Limits struct{ Store QuotaStore }

// Routes lists the endpoints.
func (l *Limits) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     "/api/client/:client_id/limits",
			ID:       "getLimits",
			Summary:  "Read what a client may have, and what it has",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(l.get),
		},
		{
			Method:   http.MethodPut,
			Path:     "/api/admin/clients/:client_id/limits",
			ID:       "setLimits",
			Summary:  "Change what a client may have",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(l.set),
		},
	}
}

type limitAnswer struct {
	Limit int `json:"limit"`
	Used  int `json:"used"`
}

type limitsAnswer struct {
	Agents       limitAnswer `json:"agents"`
	OpenReplicas limitAnswer `json:"open_replicas"`
	Launches     limitAnswer `json:"launches_per_hour"`
}

func (l *Limits) get(ctx context.Context, in *credentialsPath) (*limitsAnswer, error) {
	may, has, err := l.Store.Quota(ctx, in.ClientID)
	if err != nil {
		return nil, err
	}
	return &limitsAnswer{
		Agents: limitAnswer{may.Agents, has.Agents}, OpenReplicas: limitAnswer{may.OpenReplicas, has.OpenReplicas},
		Launches: limitAnswer{may.LaunchesPerHour, has.LaunchesThisHour},
	}, nil
}

type setLimitsRequest struct {
	credentialsPath
	Agents       *int `json:"agents" binding:"required"`
	OpenReplicas *int `json:"open_replicas" binding:"required"`
	Launches     *int `json:"launches_per_hour" binding:"required"`
}

func (l *Limits) set(ctx context.Context, in *setLimitsRequest) (*limitsAnswer, error) {
	wanted := clients.Limits{Agents: *in.Agents, OpenReplicas: *in.OpenReplicas, LaunchesPerHour: *in.Launches}
	if err := l.Store.SetLimits(ctx, in.ClientID, wanted, web.ActorName(ctx)); err != nil {
		return nil, err
	}
	return l.get(ctx, &in.credentialsPath)
}
