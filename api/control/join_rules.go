package control

import (
	"context"
	"net/http"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/joining"
)

// JoinRuleStore is the part of accounts.Joins that its routes use.
type JoinRuleStore interface {
	Rules(ctx context.Context, clientID string) (joining.Rules, error)
	SetRules(ctx context.Context, clientID string, to joining.Rules, by string) (joining.Rules, error)
}

// JoinRules serve which instances of a client's account may join without a token.
type JoinRules struct{ Store JoinRuleStore }

// Routes lists the endpoints.
func (j *JoinRules) Routes() []web.Route {
	const path = "/api/client/:client_id/join-rules"
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     path,
			ID:       "getJoinRules",
			Summary:  "Show which instances of the client's AWS account may join without a token",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(j.show),
		},
		{
			Method:   http.MethodPut,
			Path:     path,
			ID:       "setJoinRules",
			Summary:  "Change which instances of the client's AWS account may join without a token",
			Auth:     web.Client,
			Scope:    credentials.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(j.change),
		},
	}
}

// joinRules are the rules as callers see them.
type joinRules struct {
	Roles     []string `json:"roles"              binding:"max=50,dive,max=64" doc:"names of IAM roles that EC2 alone can assume: an instance whose profile has one of them may join by aws-iam"`
	Documents web.Bool `json:"identity_documents" doc:"instances may join by aws-iid, within five minutes of their start"`
}

type setJoinRulesRequest struct {
	web.ClientPath
	joinRules
}

func joinRulesOf(r joining.Rules, err error) (*joinRules, error) {
	if err != nil {
		return nil, err
	}
	return &joinRules{r.Roles, web.Bool(r.Documents)}, nil
}

func (j *JoinRules) show(ctx context.Context, in *web.ClientPath) (*joinRules, error) {
	return joinRulesOf(j.Store.Rules(ctx, in.ClientID))
}

func (j *JoinRules) change(ctx context.Context, in *setJoinRulesRequest) (*joinRules, error) {
	return joinRulesOf(j.Store.SetRules(ctx, in.ClientID,
		joining.Rules{Roles: in.Roles, Documents: bool(in.Documents)}, web.ActorName(ctx)))
}
