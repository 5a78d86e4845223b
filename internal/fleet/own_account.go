package fleet

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// OwnAccount is the number of the control plane's own account. STS is asked for it once; a
// question that failed is asked again.
func (p *Provider) OwnAccount(ctx context.Context) (string, error) {
	p.ownMu.Lock()
	defer p.ownMu.Unlock()
	if p.own != "" {
		return p.own, nil
	}
	ctx, cancel := p.read(ctx)
	defer cancel()
	client := sts.NewFromConfig(p.base, func(s *sts.Options) { s.BaseEndpoint = nilIfEmptyURL(p.opts.STSEndpoint) })
	out, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", fmt.Errorf("ask for our own account: %w", err)
	}
	p.own = aws.ToString(out.Account)
	return p.own, nil
}

// Config is the AWS configuration of the control plane's own calls.
func (p *Provider) Config() aws.Config { return p.base.Copy() }
