package agents

import (
	"context"
	"net/http"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/postgres/accounts"
)

// CredentialStore is the part of accounts.Credentials that agents' own routes use.
type CredentialStore interface {
	UseEnrolment(ctx context.Context, id, instanceID string) error
	IssueAgent(ctx context.Context, of credentials.AgentOf) (*accounts.AgentToken, error)
	RenewAgent(ctx context.Context, id string) (*accounts.AgentToken, error)
}

func (a *Agents) joinRoutes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodPost,
			Path:     "/api/agents/join",
			ID:       "joinAgent",
			Summary:  "Register an agent with an enrolment token, and get the agent's own token",
			Auth:     web.Joining,
			Status:   201,
			Endpoint: web.NewEndpoint(a.join),
		},
	}
}

type joinRequest struct{ registerRequest }

type joinAnswer struct {
	registerAnswer
	agentToken
}

// agentToken is an agent's new credential. The token is shown this once.
type agentToken struct {
	Token      string   `json:"token" doc:"the agent's own token: send it as Authorization: Bearer"`
	ExpiresAt  web.Time `json:"token_expires_at"`
	RenewAfter web.Time `json:"token_renew_after" doc:"the first heartbeat after it answers a new token"`
}

func agentTokenOf(t *accounts.AgentToken) agentToken {
	return agentToken{Token: t.Token, ExpiresAt: web.Time{Time: t.ExpiresAt}, RenewAfter: web.Time{Time: t.RenewAfter}}
}

// join exchanges an enrolment for an agent's credential. The use is counted before the
// agent is registered; the same instance may repeat its request, and gets another token.
func (a *Agents) join(ctx context.Context, in *joinRequest) (*joinAnswer, error) {
	p := web.PrincipalFrom(ctx)
	if p.LogicalID != "" && p.LogicalID != in.LogicalID {
		return nil, credentials.NotForThis.New("This enrolment is for the agent %q only.", p.LogicalID)
	}
	if err := a.Credentials.UseEnrolment(ctx, p.CredentialID, in.InstanceID); err != nil {
		return nil, err
	}
	registered, err := a.register(ctx, &in.registerRequest)
	if err != nil {
		return nil, err
	}
	token, err := a.Credentials.IssueAgent(ctx, credentials.AgentOf{ClientID: p.ClientID, AgentID: registered.AgentID,
		InstanceID: in.InstanceID, ParentID: p.CredentialID, By: "an enrolment"})
	if err != nil {
		return nil, err
	}
	return &joinAnswer{registerAnswer: *registered, agentToken: agentTokenOf(token)}, nil
}

// heartbeatAnswer confirms that a heartbeat was recorded, and carries a new token when the
// caller's is due for renewal.
type heartbeatAnswer struct {
	Success    bool      `json:"success"`
	Token      string    `json:"token,omitempty" doc:"the caller's next token, once: the present one stays good until it expires"`
	ExpiresAt  *web.Time `json:"token_expires_at,omitempty"`
	RenewAfter *web.Time `json:"token_renew_after,omitempty"`
}

// renewWithin bounds the renewal of a token, which is never a reason to refuse a
// heartbeat: the next one asks again.
const renewWithin = time.Second

// answerHeartbeat adds a new token when the caller's is due.
func (a *Agents) answerHeartbeat(ctx context.Context) *heartbeatAnswer {
	p, out := web.PrincipalFrom(ctx), &heartbeatAnswer{Success: true}
	if !p.TokenDue {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, renewWithin)
	defer cancel()
	token, err := a.Credentials.RenewAgent(ctx, p.CredentialID)
	switch {
	case err != nil:
		web.LoggerFrom(ctx).WarnContext(ctx, "an agent's token was not renewed", "agent_id", p.AgentID, "error", err)
	case token != nil:
		renewed := agentTokenOf(token)
		out.Token, out.ExpiresAt, out.RenewAfter = renewed.Token, &renewed.ExpiresAt, &renewed.RenewAfter
	}
	return out
}
