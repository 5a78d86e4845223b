package control

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"spotkeeper/api/web"
	"spotkeeper/deploy/cloudformation"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/accounts"
)

// InstancesNotSeen means that the account a client is to move to does not show its
// living instances, so that nothing could be done for them afterwards.
var InstancesNotSeen = fault.Define("clients.instances_not_seen", fault.Conflict)

// OwnAccountUnknown means that AWS did not say which account is the control plane's own.
var OwnAccountUnknown = fault.Define("clients.own_account_unknown", fault.Unavailable)

// ClientAccountStore is the part of accounts.ClientAccounts that its routes use.
type ClientAccountStore interface {
	Account(ctx context.Context, clientID string) (*accounts.ClientAccount, error)
	SetAccount(ctx context.Context, clientID string, to clients.Account, by string) (*accounts.ClientAccount, error)
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
	// OwnAccount is the number of the control plane's own account.
	OwnAccount(ctx context.Context) (string, error)
}

// ClientAccounts serves where a client's instances live, to operators, and what a client
// needs to let us look after them, to the client.
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
		{
			Method:   http.MethodGet,
			Path:     "/api/client/:client_id/account",
			ID:       "getAccountSetup",
			Summary:  "Show the client's AWS account, its external id, and the CloudFormation template of the role it gives us",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(a.setup),
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

type accountSetupAnswer struct {
	clientAccountAnswer
	ControlPlaneAccount string          `json:"control_plane_account" doc:"the AWS account that the role trusts"`
	Template            json.RawMessage `json:"template" doc:"CloudFormation template of the role, with this client's parameters as defaults; its output RoleArn is role_arn"`
}

// setup gives a client what it needs before it has a role.
func (a *ClientAccounts) setup(ctx context.Context, in *web.ClientPath) (*accountSetupAnswer, error) {
	account, err := newAccountAnswer(a.Store.Account(ctx, in.ClientID))
	if err != nil {
		return nil, err
	}
	own, err := a.Cloud.OwnAccount(ctx)
	if err != nil {
		return nil, OwnAccountUnknown.Wrap(err, "AWS did not say which account the control plane is in: "+
			"try again, and if it lasts, check the AWS credentials of the api")
	}
	template, err := cloudformation.TenantRole(own, account.ExternalID, account.ClientID)
	if err != nil {
		return nil, err
	}
	return &accountSetupAnswer{clientAccountAnswer: *account, ControlPlaneAccount: own, Template: template}, nil
}

func newAccountAnswer(a *accounts.ClientAccount, err error) (*clientAccountAnswer, error) {
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
