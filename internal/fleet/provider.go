package fleet

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"golang.org/x/sync/singleflight"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
)

// Provider is the way to EC2 for all clients. It is safe for concurrent use and
// holds no goroutine.
type Provider struct {
	opts   Options
	base   aws.Config
	roles  RoleAPI
	prices PriceListAPI

	mu      sync.Mutex
	clients map[clientKey]EC2API
	looking map[clientKey]*looks
	buckets buckets

	sessionMu sync.Mutex
	sessions  map[Account]*session

	ownMu sync.Mutex
	own   string

	priceMu   sync.Mutex
	listed    map[listKey]listPrice
	priceCall singleflight.Group
}

type clientKey struct {
	account Account
	region  string
}

// maxClients bounds the cache of clients. Beyond it the cache starts anew, which
// costs each account one AssumeRole.
const maxClients = 10_000

// New returns a Provider. It makes no call yet: a wrong address or missing
// credentials show at the first call.
func New(ctx context.Context, o Options) (*Provider, error) {
	o = o.withDefaults()
	load := []func(*config.LoadOptions) error{config.WithRegion(o.Region), config.WithRetryer(readRetryer)}
	if o.Credentials != nil {
		load = append(load, config.WithCredentialsProvider(o.Credentials))
	}
	base, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	if base.HTTPClient == nil { // set only where AWS_CA_BUNDLE is
		base.HTTPClient = awshttp.NewBuildableClient()
	}
	base.HTTPClient = SafeBodies(base.HTTPClient)
	base.APIOptions = append(base.APIOptions, o.Middleware...)
	return &Provider{
		opts: o, base: base,
		roles: sts.NewFromConfig(base, func(s *sts.Options) { s.BaseEndpoint = nilIfEmptyURL(o.STSEndpoint) }),
		prices: pricing.NewFromConfig(
			base, func(s *pricing.Options) {
				s.BaseEndpoint, s.Region = nilIfEmptyURL(
					o.PricingEndpoint), priceListRegion(o.Region)
			}),
		clients:  map[clientKey]EC2API{},
		looking:  map[clientKey]*looks{},
		sessions: map[Account]*session{},
		listed:   map[listKey]listPrice{},
	}, nil
}

// readRetryer tries a read three times within its deadline: a lost connection or
// a full bucket is no reason to fail a whole activity.
func readRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 3, 2*time.Second })
}

// disableRetries sends a call a single time. The SDK would repeat a capacity error for
// seconds without notifying its caller; the workflow tries another pool instead.
func disableRetries(o *ec2.Options) {
	o.RetryMaxAttempts = 1
	o.Retryer = aws.NopRetryer{}
}

func nilIfEmptyURL(url string) *string {
	if url == "" {
		return nil
	}
	return &url
}

// client returns the EC2 client of an account in a region. Fails with
// launch.misconfigured when the account cannot be acted in.
func (p *Provider) client(a Account, region string) (EC2API, error) {
	if err := a.validate(); err != nil {
		return nil, err
	}
	if err := checkRegion(region); err != nil {
		return nil, err
	}
	key := keyOf(a, region)
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.clients[key]; ok {
		return c, nil
	}
	if len(p.clients) >= maxClients {
		clear(p.clients)
	}
	c, err := p.connect(a, region)
	if err != nil {
		return nil, err
	}
	p.clients[key] = c
	return c, nil
}

// checkRegion fails with launch.misconfigured. Agents name regions, and a region becomes a
// part of the host that is asked.
func checkRegion(region string) error {
	switch {
	case region == "":
		return replica.Misconfigured.New("no region was named")
	case !agent.IsRegion(region):
		return replica.Misconfigured.New("%.40q is not the name of an AWS region", region)
	}
	return nil
}

func keyOf(a Account, region string) clientKey {
	return clientKey{Account{ClientID: a.ClientID, RoleARN: a.RoleARN, ExternalID: a.ExternalID}, region}
}

func (p *Provider) connect(a Account, region string) (EC2API, error) {
	held, err := p.sessionOf(a)
	if err != nil {
		return nil, err
	}
	return ec2.NewFromConfig(p.base, func(o *ec2.Options) {
		o.Region = region
		o.BaseEndpoint = nilIfEmptyURL(p.opts.Endpoint)
		o.APIOptions = append(o.APIOptions, p.buckets.pace(a, region))
		if held != nil {
			o.Credentials, o.APIOptions = held, append(o.APIOptions, held.renew)
		}
	}), nil
}

var notInSessionName = regexp.MustCompile(`[^\w+=,.@-]`)

// sessionName is what the tenant reads in CloudTrail: at most 64 characters.
func sessionName(clientID string) string {
	name := strings.TrimSuffix("spotkeeper-"+notInSessionName.ReplaceAllString(clientID, "-"), "-")
	return name[:min(len(name), 64)]
}

// read bounds one call that reads.
func (p *Provider) read(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.opts.CallTimeout)
}

// write bounds one call that launches or terminates.
func (p *Provider) write(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.opts.LaunchTimeout)
}
