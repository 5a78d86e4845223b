package fleet

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/time/rate"

	"spotkeeper/internal/domain/replica"
)

// bucketSize is the size of a token bucket and its refill per second.
type bucketSize struct {
	most   int
	refill rate.Limit
}

// Sizes of the request token buckets that EC2 keeps for each account, region and API, as
// "Request throttling for the Amazon EC2 API" lists them:
// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
var (
	readBucket     = bucketSize{100, 20} // Describe*, Get* and List*, filtered or paginated
	mutatingBucket = bucketSize{50, 5}   // everything else
	ownBuckets     = map[string]bucketSize{
		"CreateTags":         {100, 10},
		"RunInstances":       {5, 2},
		"TerminateInstances": {100, 5},
	}
)

func bucketOf(api string) bucketSize {
	if own, has := ownBuckets[api]; has {
		return own
	}
	for _, prefix := range []string{"Describe", "Get", "List"} {
		if strings.HasPrefix(api, prefix) {
			return readBucket
		}
	}
	return mutatingBucket
}

// urgentAPIs are the calls that cannot wait: launches, and ends of instances that cost money.
// They do not wait for a token until EC2 has refused one: an account's buckets can be larger
// than those that are listed. Then they are in line for a while, so that the many of one
// tenant do not take every token that EC2 has from another.
var urgentAPIs = map[string]bool{"RunInstances": true, "TerminateInstances": true}

const (
	// queueFor is how long after a refusal urgent calls are in line.
	queueFor = 30 * time.Second
	// urgentWait is how long an urgent call is in line. Then its workflow slows down, as after
	// a refusal, and no worker is full of calls that wait.
	urgentWait = 5 * time.Second
)

type bucketKey struct{ account, region, api string }

// buckets spend the tokens of each account, region and API as EC2 counts them. A call that
// finds none waits within its own deadline, so that a burst of ours does not have EC2 refuse
// the account's other tools. Accounts have nothing in common, so none delays another. Of
// tenants that share an account one call each is in the line of an API, so they take turns.
// It is safe for concurrent use.
type buckets struct {
	mu      sync.Mutex
	of      map[bucketKey]*rate.Limiter
	lines   map[tenantKey]chan struct{}
	refused map[bucketKey]time.Time // when EC2 last did
}

type tenantKey struct {
	bucketKey
	client string
}

// mostBuckets bounds the memory. Beyond it all buckets start full again.
const mostBuckets = 50_000

func (b *buckets) find(key tenantKey) (*rate.Limiter, chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of == nil || len(b.of)+len(b.lines) > mostBuckets {
		b.of, b.lines = map[bucketKey]*rate.Limiter{}, map[tenantKey]chan struct{}{}
		b.refused = map[bucketKey]time.Time{}
	}
	l, known := b.of[key.bucketKey]
	if !known {
		size := bucketOf(key.api)
		l = rate.NewLimiter(size.refill, size.most)
		b.of[key.bucketKey] = l
	}
	line, known := b.lines[key]
	if !known {
		line = make(chan struct{}, 1)
		b.lines[key] = line
	}
	return l, line
}

// take takes a token, and waits for one when there is none. Fails with launch.throttled when
// none comes within the deadline.
func (b *buckets) take(ctx context.Context, key tenantKey) error {
	tokens, line := b.find(key)
	within := ctx
	if urgentAPIs[key.api] {
		if !b.queues(key.bucketKey) {
			tokens.Allow()
			return nil
		}
		limited, cancel := context.WithTimeout(ctx, urgentWait)
		defer cancel()
		within = limited
	}
	err := wait(within, tokens, line)
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return replica.Throttled.Wrap(err, "%s is called as often as EC2 permits for the account in %s already",
		key.api, key.region)
}

func wait(ctx context.Context, tokens *rate.Limiter, line chan struct{}) error {
	select {
	case line <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-line }()
	return tokens.Wait(ctx)
}

// queues says whether EC2 has refused a call not long ago because there were too many.
func (b *buckets) queues(key bucketKey) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, ever := b.refused[key]
	return ever && time.Since(at) < queueFor
}

// answered notes how EC2 has answered a call.
func (b *buckets) answered(key bucketKey, err error) {
	var said smithy.APIError
	if !errors.As(err, &said) || said.ErrorCode() != "RequestLimitExceeded" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refused != nil {
		b.refused[key] = time.Now()
	}
}

// pace has each attempt of a call take its token.
func (b *buckets) pace(a Account, region string) func(*middleware.Stack) error {
	tenant := tenantKey{bucketKey{account: accountNumber(a), region: region}, a.ClientID}
	return func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("TakeToken",
			func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
				middleware.FinalizeOutput, middleware.Metadata, error,
			) {
				key := tenant
				key.api = awsmiddleware.GetOperationName(ctx)
				if err := b.take(ctx, key); err != nil {
					return middleware.FinalizeOutput{}, middleware.Metadata{}, err
				}
				out, meta, err := next.HandleFinalize(ctx, in)
				b.answered(key.bucketKey, err)
				return out, meta, err
			}), "Retry", middleware.After)
	}
}

// accountNumber is the AWS account that an Account acts in, "" for our own.
func accountNumber(a Account) string {
	role, err := arn.Parse(a.RoleARN)
	if err != nil {
		return a.RoleARN
	}
	return role.AccountID
}
