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
	// askAgainFor is how long a refusal of a role that gave sessions before is not believed: STS
	// refuses for a moment while a policy is exchanged or a key spreads. A failover then waits
	// in its place, and is not ended by it.
	askAgainFor = 45 * time.Second
	// askAgainPause is how long such a role is not asked for again.
	askAgainPause = time.Second
	// renewPause is how old a session is at least before a refusal has it replaced. A
	// permission that is missing for good then costs one AssumeRole a minute.
	renewPause = time.Minute
)

// firstPauses are the pauses between the questions for a role that has given no session since
// the process began. One refusal does not decide about it either.
var firstPauses = []time.Duration{300 * time.Millisecond, 700 * time.Millisecond}

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
	works     bool      // STS gave a session when it was asked last
	heardOnce bool      // STS has answered since the process began
	doubted   time.Time // when STS began to refuse a role that worked; zero while it does not
	refused   time.Time // when STS refused the role last
	refusal   error     // what its refusal is answered with; nil since a session was had
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

// Retrieve returns the session's keys. A refusal is repeated without another question for a
// pause: askAgainPause while it is in doubt, refusedPause after that.
// Fails with ec2.unavailable while a refusal is in doubt, and with STS's own error after that.
func (s *session) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if known := s.knownRefusal(); known != nil {
		return aws.Credentials{}, known
	}
	keys, err := s.ask(ctx)
	report, answer := s.note(ctx, err)
	if report && s.watch != nil {
		s.watch(ctx, s.account, err)
	}
	return keys, answer
}

// knownRefusal returns the last refusal while it is too new for another question.
func (s *session) knownRefusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	pause := refusedPause
	if s.works {
		pause = askAgainPause
	}
	if s.now().Sub(s.refused) >= pause {
		return nil
	}
	return s.refusal
}

// ask returns the kept session, or asks STS for one. A role that has given none yet is asked
// for again after each of firstPauses.
func (s *session) ask(ctx context.Context) (aws.Credentials, error) {
	keys, err := s.cache.Retrieve(ctx)
	for _, pause := range firstPauses {
		if !isRoleRefused(ctx, err) || !s.isUntried() {
			break
		}
		if !waitFor(ctx, pause) {
			break
		}
		keys, err = s.cache.Retrieve(ctx)
	}
	return keys, err
}

// isUntried says that STS has answered nothing about the role since the process began.
func (s *session) isUntried() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.heardOnce
}

// inDoubt says that STS refuses a role that worked, and has done so for less than askAgainFor.
func (s *session) inDoubt() bool {
	return !s.doubted.IsZero() && s.now().Sub(s.doubted) < askAgainFor
}

// note records STS's answer, and returns whether to report it and what the caller gets.
// Refusals that are not in doubt are reported, and the first session after one. The first
// session of the process is reported too, because another process or an earlier run may have
// reported a refusal.
func (s *session) note(ctx context.Context, err error) (report bool, answer error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		report = !s.works
		s.refusal, s.doubted, s.works, s.heardOnce = nil, time.Time{}, true, true
		return report, nil
	case !isRoleRefused(ctx, err):
		return false, err
	}
	if s.works && (s.doubted.IsZero() || s.now().Sub(s.refused) >= askAgainFor) {
		s.doubted = s.now()
	}
	s.refusal, s.refused, s.heardOnce = err, s.now(), true
	if s.inDoubt() {
		s.refusal = Unavailable.Wrap(err, "STS refuses a role that it gave a session for before: it is asked again").
			With(replica.DetailWhy, sentences[Unavailable])
		return false, s.refusal
	}
	s.works = false
	return true, err
}

// isRoleRefused says that STS answered that the role may not be assumed.
func isRoleRefused(ctx context.Context, err error) bool {
	return err != nil && fault.CodeOf(classify(ctx, err, "")) == replica.Refused
}

// waitFor waits, and says whether the context let it.
func waitFor(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
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
