package control

import (
	"context"
	"net/http"
	"strings"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres"
)

// InstancesNotSeen means that the account a client is to move to does not show its
// living instances: nothing could be done for them any more.
var InstancesNotSeen = fault.Define("clients.instances_not_seen", fault.Conflict)

// ClientAccountStore is the part of postgres.ClientAccounts that its routes use.
type ClientAccountStore interface {
	Account(ctx context.Context, clientID string) (*postgres.ClientAccount, error)
	SetAccount(ctx context.Context, clientID string, to clients.Account, by string) (*postgres.ClientAccount, error)
}

// AccountCloud asks EC2 through a client's account which of the instances it does not
// show. It fails with launch.refused when the role cannot be assumed or may not look.
type AccountCloud interface {
	Missing(
		ctx context.Context,
		clientID, externalID string,
		in clients.Account,
		region string,
		ids []string,
	) ([]string, error)
}

// ClientAccounts serves where a client's instances live, to operators.
type ClientAccounts struct {
	Store ClientAccountStore
	Cloud AccountCloud
}

// Routes lists the endpoints.
func (a *ClientAccounts) Routes() []web.Route {
	const path = "/api/admin/clients/:client_id/account"
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     path,
			ID:       "showClientAccount",
			Summary:  "Show the AWS account of a client, and the external id that its role must require",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(a.show),
		},
		{
			Method:   http.MethodPut,
			Path:     path,
			ID:       "changeClientAccount",
			Summary:  "Change the AWS account of a client, once it shows the client's living instances",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(a.change),
			Timeout:  web.GuardianTimeout,
		},
	}
}

// accountWish is where a client's instances are to live.
type accountWish struct {
	AccountID string   `json:"account_id" binding:"max=12" doc:"twelve digits; that of the role when absent"`
	RoleARN   string   `json:"role_arn" binding:"max=2048" doc:"the role to assume in the client's account"`
	Own       web.Bool `json:"own_account" doc:"the client lives in the account of the control plane, where each instance must be tagged spotkeeper:client"`
}

func (w accountWish) account() clients.Account {
	return clients.Account{ID: w.AccountID, RoleARN: w.RoleARN, Own: bool(w.Own)}
}

type changeAccountRequest struct {
	web.ClientPath
	accountWish
}

type clientAccountAnswer struct {
	ClientID   string `json:"client_id"`
	AccountID  string `json:"account_id"`
	RoleARN    string `json:"role_arn"`
	Own        bool   `json:"own_account"`
	ExternalID string `json:"external_id"`
	Unproven   int    `json:"unproven" doc:"instances that play a part on an agent's word alone"`
}

func newAccountAnswer(a *postgres.ClientAccount, err error) (*clientAccountAnswer, error) {
	if err != nil {
		return nil, err
	}
	return &clientAccountAnswer{
		ClientID:   a.ClientID,
		AccountID:  a.ID,
		RoleARN:    a.RoleARN,
		Own:        a.Own,
		ExternalID: a.ExternalID,
		Unproven:   a.Unproven,
	}, nil
}

func (a *ClientAccounts) show(ctx context.Context, in *web.ClientPath) (*clientAccountAnswer, error) {
	return newAccountAnswer(a.Store.Account(ctx, in.ClientID))
}

// change moves a client to another account or role. The new one must show every living
// instance that we launched or adopted for it: those would be lost to us otherwise.
func (a *ClientAccounts) change(ctx context.Context, in *changeAccountRequest) (*clientAccountAnswer, error) {
	to := in.account()
	if err := to.Normalize(); err != nil {
		return nil, err
	}
	now, err := a.Store.Account(ctx, in.ClientID)
	if err != nil {
		return nil, err
	}
	for region, ids := range now.Living {
		missing := ids
		if to.RoleARN != "" || to.Own {
			if missing, err = a.Cloud.Missing(ctx, now.ClientID, now.ExternalID, to, region, ids); err != nil {
				return nil, err
			}
		}
		if len(missing) > 0 {
			return nil, InstancesNotSeen.New(
				"The new account does not show %d living instances of the client in %s: %s", len(missing), region,
				strings.Join(missing[:min(len(missing), 5)], ", ")).With("instance_ids", missing)
		}
	}
	return newAccountAnswer(a.Store.SetAccount(ctx, in.ClientID, to, web.ActorName(ctx)))
}
