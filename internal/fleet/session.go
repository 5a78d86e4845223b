package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/smithy-go/middleware"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

const (
	// refusedPause is how long a role that STS refuses is not asked for again: a trust
	// policy that was mended counts soon, and one that was not costs few calls.
	refusedPause = 15 * time.Second
	// renewPause is how old a session is at least before a refusal has it replaced. A
	// permission that is missing for good then costs one AssumeRole a minute.
	renewPause = time.Minute
)

// revoked are the codes with which EC2 answers a session that was revoked, has expired, or
// whose policy denies what was issued before a moment. A session that is assumed anew may
// be permitted what this one is not.
var revoked = []string{"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId",
	"AuthFailure", "UnauthorizedOperation", "AccessDenied", "UnrecognizedClientException"}

// session is a tenant's assumed role. It is safe for concurrent use.
type session struct {
	account Account
	cache   *aws.CredentialsCache
	now     func() time.Time
	watch   func(ctx context.Context, a Account, refusal error)

	mu        sync.Mutex
	renewed   time.Time // when it was replaced last
	refused   time.Time // when STS refused the role last
	refusal   error     // with which; nil since a session was had
	heardOnce bool      // STS has answered since the process began
}

// newSession assumes the tenant's role when it is needed and keeps the session until
// shortly before it ends. The policy narrows it to the tenant's own.
func (p *Provider) newSession(a Account, policy string) *session {
	role := stscreds.NewAssumeRoleProvider(p.roles, a.RoleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = sessionName(a.ClientID)
		o.ExternalID = aws.String(a.ExternalID)
		o.Policy = aws.String(policy)
		o.Duration = p.opts.SessionDuration
	})
	return &session{
		account: a,
		cache: aws.NewCredentialsCache(role, func(o *aws.CredentialsCacheOptions) {
			o.ExpiryWindow = time.Minute
		}),
		now:   p.opts.Now,
		watch: p.opts.WatchRole,
	}
}

// Retrieve returns the session's keys. A role that STS has refused is asked for again after
// refusedPause; until then the refusal is repeated.
func (s *session) Retrieve(ctx context.Context) (aws.Credentials, error) {
	s.mu.Lock()
	known := s.refusal
	if s.now().Sub(s.refused) >= refusedPause {
		known = nil
	}
	s.mu.Unlock()
	if known != nil {
		return aws.Credentials{}, known
	}
	keys, err := s.cache.Retrieve(ctx)
	if s.note(ctx, err) && s.watch != nil {
		s.watch(ctx, s.account, err)
	}
	return keys, err
}

// note records STS's answer and says whether to report it. Refusals are reported, and the
// first session after one. The first session of the process is reported too, because
// another process or an earlier run may have reported a refusal.
func (s *session) note(ctx context.Context, err error) (tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		tell = s.refusal != nil || !s.heardOnce
		s.refusal, s.heardOnce = nil, true
	case fault.CodeOf(classify(ctx, err, "")) == replica.Refused:
		tell = true
		s.refusal, s.refused = err, s.now()
	}
	return tell
}

// drop has the next call assume the role anew when a refusal may be the session's fault,
// and says whether it did.
func (s *session) drop(err error) bool {
	if !hasErrorCode(err, revoked...) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusal != nil || s.now().Sub(s.renewed) < renewPause {
		return false
	}
	s.renewed = s.now()
	s.cache.Invalidate()
	return true
}

// renew repeats a call once, with a session that is assumed anew, when its own may have been
// revoked. A call that was refused has changed nothing, so a launch may be repeated too.
func (s *session) renew(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("RenewRevokedSession",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
			middleware.InitializeOutput, middleware.Metadata, error,
		) {
			out, meta, err := next.HandleInitialize(ctx, in)
			if err == nil || !s.drop(err) {
				return out, meta, err
			}
			return next.HandleInitialize(ctx, in)
		}), middleware.Before)
}

// RoleRefusal says in words that STS refuses a role, and what to mend.
func RoleRefusal(a Account) string {
	return "the role " + a.RoleARN + " cannot be assumed: it must exist, and its trust policy must name" +
		" Spotkeeper's principal and the external id that the client's account page shows"
}
