package app

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"spotkeeper/api/agents"
	"spotkeeper/api/web"
	"spotkeeper/internal/callerid"
	"spotkeeper/internal/domain/joining"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/postgres/accounts"
)

// joiner admits agents by what AWS says of their instance.
func (a *App) joiner() (*agents.Joiner, error) {
	certificates, err := joining.EmbeddedCertificates()
	if err != nil {
		return nil, err
	}
	if dir := a.Config.API.Certificates; dir != "" {
		if _, err := os.ReadDir(dir); err != nil {
			return nil, fmt.Errorf("JOIN_CERTIFICATES: %w", err)
		}
		others, err := joining.ReadCertificates(os.DirFS(dir))
		if err != nil {
			return nil, fmt.Errorf("JOIN_CERTIFICATES: %w", err)
		}
		certificates = certificates.With(others)
	}
	a.certificates.addJoin(certificates)
	endpoint := a.Config.AWS.STSEndpoint
	if a.Config.AWS.Simulated {
		endpoint = cmp.Or(endpoint, a.Config.AWS.EC2Endpoint)
	}
	return &agents.Joiner{
		Store:        &accounts.Joins{DB: a.DB},
		STS:          callerid.New(endpoint),
		Cloud:        instanceCloud{a.ec2Fleet(), &accounts.ClientAccounts{DB: a.DB}},
		Certificates: certificates,
		Hosts:        a.Config.API.OwnHosts(),
		Gate:         web.NewThrottle(time.Now),
		Now:          time.Now,
	}, nil
}

// instanceCloud asks EC2 through the role of a client's account.
type instanceCloud struct {
	fleet    ec2Fleet
	accounts *accounts.ClientAccounts
}

// Running implements agents.InstanceCloud.
func (c instanceCloud) Running(ctx context.Context, clientID, region, instanceID string) (bool, error) {
	of, err := c.accounts.Account(ctx, clientID)
	if err != nil || of.RoleARN == "" && !of.Own {
		return false, err
	}
	found, err := c.fleet.Describe(ctx, fleet.Account{
		ClientID:   clientID,
		RoleARN:    of.RoleARN,
		ExternalID: of.ExternalID,
		Own:        of.Own,
	}, region, []string{instanceID})
	return found[instanceID].State == "running", err
}
