package control

import (
	"context"
	"net/http"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/postgres/accounts"
)

// CredentialStore is the part of accounts.Credentials that its owner's routes use.
type CredentialStore interface {
	Create(ctx context.Context, n credentials.NewCredential, by string) (*accounts.CredentialView, string, error)
	Credentials(ctx context.Context, clientID string) ([]accounts.CredentialView, error)
	Revoke(ctx context.Context, clientID, id, by string) error
	LegacyMode(ctx context.Context, clientID string) (credentials.LegacyMode, error)
	SetLegacyMode(ctx context.Context, clientID string, mode credentials.LegacyMode, by string) error
}

// Credentials serves a client's tokens: enrolments for its agents, and named tokens with
// a scope for its people and programs.
type Credentials struct{ Store CredentialStore }

// Routes lists the endpoints.
func (k *Credentials) Routes() []web.Route {
	const all, legacy = "/api/client/:client_id/credentials", "/api/client/:client_id/legacy-token"
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     all,
			ID:       "listCredentials",
			Summary:  "List a client's credentials, without their tokens",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(k.list),
		},
		{
			Method:   http.MethodPost,
			Path:     all,
			ID:       "createCredential",
			Summary:  "Make an enrolment or a token with a scope: the answer is the only one that shows it",
			Auth:     web.Client,
			Scope:    credentials.Admin,
			Status:   201,
			Endpoint: web.NewEndpoint(k.create),
		},
		{
			Method:   http.MethodDelete,
			Path:     all + "/:credential_id",
			ID:       "revokeCredential",
			Summary:  "Revoke a credential: it is dead at once",
			Auth:     web.Client,
			Scope:    credentials.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(k.revoke),
		},
		{
			Method:   http.MethodGet,
			Path:     legacy,
			ID:       "getLegacyToken",
			Summary:  "Read what the client's old token may do",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(k.legacy),
		},
		{
			Method:   http.MethodPut,
			Path:     legacy,
			ID:       "setLegacyToken",
			Summary:  "Say what the client's old token may do: all, agent or off",
			Auth:     web.Client,
			Scope:    credentials.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(k.setLegacy),
		},
	}
}

type credentialsPath struct {
	ClientID string `json:"-" uri:"client_id"`
}

type createCredentialRequest struct {
	credentialsPath
	Kind      string `json:"kind"  binding:"required,oneof=enrolment tenant" doc:"enrolment: an agent joins with it; tenant: a person or a program acts with it"`
	Name      string `json:"name"  binding:"max=100" doc:"for people; a tenant's has one"`
	Scope     string `json:"scope" binding:"omitempty,oneof=read operate admin" doc:"of a tenant's"`
	TTL       int    `json:"ttl_seconds" binding:"min=0,max=63072000" doc:"an enrolment: 900 by default; a tenant's: for ever by default"`
	Uses      int    `json:"uses"  binding:"min=0,max=10000" doc:"how many instances may join with an enrolment; 1 by default"`
	LogicalID string `json:"logical_agent_id" binding:"max=255" doc:"the only agent that an enrolment is for; any by default"`
}

type credentialAnswer struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	Name        string    `json:"name"`
	Scope       string    `json:"scope,omitempty"`
	LogicalID   *string   `json:"logical_agent_id,omitempty"`
	AgentID     *string   `json:"agent_id,omitempty"`
	InstanceID  *string   `json:"instance_id,omitempty"`
	Uses        int       `json:"uses,omitempty"`
	Used        int       `json:"used"`
	State       string    `json:"state" doc:"good, expired, revoked or used_up"`
	ExpiresAt   *web.Time `json:"expires_at"`
	LastUsedAt  *web.Time `json:"last_used_at" doc:"to some minutes"`
	LastAddress string    `json:"last_address"`
	RevokedAt   *web.Time `json:"revoked_at"`
	CreatedBy   string    `json:"created_by"`
	CreatedAt   web.Time  `json:"created_at"`
}

type createdCredentialAnswer struct {
	credentialAnswer
	Token string `json:"token" doc:"shown this once"`
}

type credentialsAnswer struct {
	Credentials []credentialAnswer `json:"credentials"`
}

func optionalTime(t *time.Time) *web.Time {
	if t == nil {
		return nil
	}
	return &web.Time{Time: *t}
}

func credentialAnswerOf(v *accounts.CredentialView, now time.Time) credentialAnswer {
	state := "good"
	switch {
	case v.RevokedAt != nil:
		state = "revoked"
	case v.ExpiresAt != nil && !now.Before(*v.ExpiresAt):
		state = "expired"
	case v.Kind == credentials.Enrolment && v.Used >= v.Uses:
		state = "used_up"
	}
	return credentialAnswer{
		ID:          v.ID,
		Kind:        string(v.Kind),
		Name:        v.Name,
		Scope:       string(v.Scope),
		LogicalID:   v.LogicalID,
		AgentID:     v.AgentID,
		InstanceID:  v.InstanceID,
		Uses:        v.Uses,
		Used:        v.Used,
		State:       state,
		ExpiresAt:   optionalTime(v.ExpiresAt),
		LastUsedAt:  optionalTime(v.LastUsedAt),
		LastAddress: v.LastAddress,
		RevokedAt:   optionalTime(v.RevokedAt),
		CreatedBy:   v.CreatedBy,
		CreatedAt:   web.Time{Time: v.CreatedAt},
	}
}

func (k *Credentials) list(ctx context.Context, in *credentialsPath) (*credentialsAnswer, error) {
	found, err := k.Store.Credentials(ctx, in.ClientID)
	if err != nil {
		return nil, err
	}
	out := &credentialsAnswer{Credentials: make([]credentialAnswer, len(found))}
	for i := range found {
		out.Credentials[i] = credentialAnswerOf(&found[i], time.Now())
	}
	return out, nil
}

func (k *Credentials) create(ctx context.Context, in *createCredentialRequest) (*createdCredentialAnswer, error) {
	made, token, err := k.Store.Create(ctx, credentials.NewCredential{
		ClientID: in.ClientID, Kind: credentials.Kind(in.Kind), Name: in.Name, Scope: credentials.Scope(in.Scope),
		TTL: time.Duration(in.TTL) * time.Second, Uses: in.Uses, LogicalID: in.LogicalID,
	}, web.ActorName(ctx))
	if err != nil {
		return nil, err
	}
	return &createdCredentialAnswer{credentialAnswer: credentialAnswerOf(made, time.Now()), Token: token}, nil
}

type credentialPath struct {
	credentialsPath
	CredentialID string `json:"-" uri:"credential_id"`
}

func (k *Credentials) revoke(ctx context.Context, in *credentialPath) (*web.Success, error) {
	if err := k.Store.Revoke(ctx, in.ClientID, in.CredentialID, web.ActorName(ctx)); err != nil {
		return nil, err
	}
	return web.Done, nil
}

type legacyTokenAnswer struct {
	Mode string `json:"legacy_token" doc:"all, agent or off"`
}

func (k *Credentials) legacy(ctx context.Context, in *credentialsPath) (*legacyTokenAnswer, error) {
	mode, err := k.Store.LegacyMode(ctx, in.ClientID)
	if err != nil {
		return nil, err
	}
	return &legacyTokenAnswer{Mode: string(mode)}, nil
}

type setLegacyTokenRequest struct {
	credentialsPath
	Mode string `json:"legacy_token" binding:"required,oneof=all agent off" doc:"all: as before; agent: what the deployed agents do; off: nothing"`
}

func (k *Credentials) setLegacy(ctx context.Context, in *setLegacyTokenRequest) (*legacyTokenAnswer, error) {
	if err := k.Store.SetLegacyMode(ctx, in.ClientID, credentials.LegacyMode(in.Mode), web.ActorName(ctx)); err != nil {
		return nil, err
	}
	return &legacyTokenAnswer{Mode: in.Mode}, nil
}
