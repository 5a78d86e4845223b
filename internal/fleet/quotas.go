package fleet

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"

	"spotkeeper/internal/domain/preflight"
)

// QuotasAPI lists the calls of Service Quotas in use.
type QuotasAPI interface {
	ListServiceQuotas(
		ctx context.Context,
		in *servicequotas.ListServiceQuotasInput,
		opts ...func(*servicequotas.Options),
	) (*servicequotas.ListServiceQuotasOutput, error)
}

// mostQuotaPages bounds a list: EC2 has some two hundred quotas, a hundred to a page.
const mostQuotaPages = 20

// Quotas lists the limits of an account for EC2 in a region, as they apply now.
func (p *Provider) Quotas(ctx context.Context, a Account, region string) ([]preflight.Quota, error) {
	if err := a.validate(); err != nil {
		return nil, err
	}
	if err := checkRegion(region); err != nil {
		return nil, err
	}
	held, err := p.sessionOf(a)
	if err != nil {
		return nil, err
	}
	var api QuotasAPI = servicequotas.NewFromConfig(p.base, func(o *servicequotas.Options) {
		o.Region = region
		o.BaseEndpoint = nilIfEmptyURL(p.opts.QuotasEndpoint)
		if held != nil {
			o.Credentials, o.APIOptions = held, append(o.APIOptions, held.renew)
		}
	})
	var out []preflight.Quota
	in := &servicequotas.ListServiceQuotasInput{ServiceCode: aws.String("ec2"), MaxResults: aws.Int32(100)}
	for range mostQuotaPages {
		page, err := p.quotaPage(ctx, api, in)
		if err != nil {
			return nil, err
		}
		for _, q := range page.Quotas {
			out = append(out, preflight.Quota{Name: aws.ToString(q.QuotaName), VCPUs: aws.ToFloat64(q.Value)})
		}
		if in.NextToken = page.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	return out, nil
}

func (p *Provider) quotaPage(
	ctx context.Context,
	api QuotasAPI,
	in *servicequotas.ListServiceQuotasInput,
) (*servicequotas.ListServiceQuotasOutput, error) {
	ctx, cancel := p.read(ctx)
	defer cancel()
	out, err := api.ListServiceQuotas(ctx, in)
	return out, classify(ctx, err, "listing the account's quotas")
}

// sessionOf returns the session of a tenant's role, which serves all regions and services;
// nil for an account without a role, which is the control plane's own. Fails with
// launch.misconfigured.
func (p *Provider) sessionOf(a Account) (*session, error) {
	if a.RoleARN == "" {
		return nil, nil
	}
	key := Account{ClientID: a.ClientID, RoleARN: a.RoleARN, ExternalID: a.ExternalID}
	p.sessionMu.Lock()
	defer p.sessionMu.Unlock()
	if s, ok := p.sessions[key]; ok {
		return s, nil
	}
	policy, err := SessionPolicy(partitionOf(a.RoleARN), a.ClientID)
	if err != nil {
		return nil, err
	}
	if len(p.sessions) >= maxClients {
		clear(p.sessions)
	}
	s := p.newSession(a, policy)
	p.sessions[key] = s
	return s, nil
}
