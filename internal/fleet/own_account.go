package fleet

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// OwnAccount asks STS for the number of the control plane's own account.
func (p *Provider) OwnAccount(ctx context.Context) (string, error) {
	client := sts.NewFromConfig(p.base, func(s *sts.Options) { s.BaseEndpoint = nilIfEmptyURL(p.opts.STSEndpoint) })
	out, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", fmt.Errorf("ask for our own account: %w", err)
	}
	return aws.ToString(out.Account), nil
}

// Config is the AWS configuration of the control plane's own calls.
func (p *Provider) Config() aws.Config { return p.base.Copy() }
