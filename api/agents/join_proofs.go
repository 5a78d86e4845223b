package agents

import (
	"context"
	"net/http"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/joining"
	"spotkeeper/internal/domain/trail"
	"spotkeeper/internal/door"
	"spotkeeper/internal/postgres/accounts"
)

// JoinStore is the part of accounts.Joins that agents' own routes use.
type JoinStore interface {
	NewChallenge(ctx context.Context, address string) (challenge string, expires time.Time, err error)
	TakeChallenge(ctx context.Context, challenge string) error
	TakeDocument(ctx context.Context, d joining.Document, clientID, attempt string) error
	Candidates(ctx context.Context, account string) ([]joining.Candidate, error)
	Instance(ctx context.Context, clientID, instanceID string) (accounts.JoiningInstance, error)
}

// CallerIdentity asks STS who has signed a request. It fails with join.refused and
// join.sts_unavailable.
type CallerIdentity interface {
	Caller(ctx context.Context, host string, r joining.SignedRequest) (joining.Caller, error)
}

// InstanceCloud asks EC2, in a client's account, whether an instance runs.
type InstanceCloud interface {
	Running(ctx context.Context, clientID, region, instanceID string) (bool, error)
}

// Joiner admits agents by what AWS says of their instance.
type Joiner struct {
	Store        JoinStore
	STS          CallerIdentity
	Cloud        InstanceCloud
	Certificates joining.Certificates
	Hosts        []string // names of the control plane; none: no signed request can be told from a relayed one
	Gate         *web.Throttle
	Now          func() time.Time
}

func (a *Agents) proofRoutes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodPost,
			Path:     "/api/agents/join/challenge",
			ID:       "challengeAgent",
			Summary:  "Get a challenge that is good once and for a minute, for POST /api/agents/join/aws-iam",
			Auth:     web.Anonymous,
			Status:   201,
			Endpoint: web.NewEndpoint(a.challenge),
		},
		{
			Method:   http.MethodPost,
			Path:     "/api/agents/join/aws-iam",
			ID:       "joinAgentByRole",
			Summary:  "Register an agent by a GetCallerIdentity that its instance's role has signed, and get the agent's own token",
			Auth:     web.Anonymous,
			Status:   201,
			Endpoint: web.NewEndpoint(a.joinByRole),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodPost,
			Path:     "/api/agents/join/aws-iid",
			ID:       "joinAgentByDocument",
			Summary:  "Register an agent by its instance's identity document, and get the agent's own token",
			Auth:     web.Anonymous,
			Status:   201,
			Endpoint: web.NewEndpoint(a.joinByDocument),
			Timeout:  web.GuardianTimeout,
		},
	}
}

type challengeAnswer struct {
	Challenge string   `json:"challenge" doc:"to be signed, followed by @ and the host of the API in lower case, as the header X-Spotkeeper-Challenge"`
	ExpiresAt web.Time `json:"expires_at"`
}

func (a *Agents) challenge(ctx context.Context, _ *struct{}) (*challengeAnswer, error) {
	text, expires, err := a.Joiner.Store.NewChallenge(ctx, door.AddressKey(trail.RequestFrom(ctx).Address))
	if err != nil {
		return nil, err
	}
	return &challengeAnswer{text, web.Time{Time: expires}}, nil
}

// named is the client that the agent is configured for, where several share an account.
type named struct {
	ClientID string `json:"client_id" binding:"max=64" doc:"needed when several clients share the AWS account"`
}

type joinByRoleRequest struct {
	registerRequest
	named
	Challenge string                `json:"challenge" binding:"required,max=64"`
	Request   joining.SignedRequest `json:"request"   binding:"required"`
}

// joinByRole admits an instance by its role. The challenge is used up before STS is asked,
// so that no caller has STS asked more often than it has asked here.
func (a *Agents) joinByRole(ctx context.Context, in *joinByRoleRequest) (*joinAnswer, error) {
	return a.Joiner.guard(ctx, func() (*joinAnswer, error) {
		host, err := in.Request.Judge(in.Challenge, a.Joiner.Hosts)
		if err != nil {
			return nil, err
		}
		if err := a.Joiner.Store.TakeChallenge(ctx, in.Challenge); err != nil {
			return nil, err
		}
		caller, err := a.Joiner.STS.Caller(ctx, host, in.Request)
		if err != nil {
			return nil, err
		}
		role, err := caller.Role(in.InstanceID)
		if err != nil {
			return nil, err
		}
		chosen, _, err := a.Joiner.choose(ctx, caller.Account, in.ClientID, &in.registerRequest,
			func(r joining.Rules) bool { return r.Allows(role) })
		if err != nil {
			return nil, err
		}
		return a.admit(ctx, chosen, &in.registerRequest, "its role "+role)
	})
}

type joinByDocumentRequest struct {
	registerRequest
	named
	Signature string `json:"signature" binding:"required,max=16384" text:"lines" doc:"what the metadata service answers at dynamic/instance-identity/rsa2048"`
	Attempt   string `json:"attempt"   binding:"required,min=32,max=64" doc:"random text: the same attempt may be repeated"`
}

// joinByDocument admits an instance by its identity document. An instance that we have
// launched or have been shown is believed; of another one EC2 is asked.
func (a *Agents) joinByDocument(ctx context.Context, in *joinByDocumentRequest) (*joinAnswer, error) {
	return a.Joiner.guard(ctx, func() (*joinAnswer, error) {
		document, err := a.Joiner.Certificates.Open(in.Signature)
		if err != nil {
			return nil, err
		}
		if err := document.Judge(in.InstanceID, a.Joiner.Now()); err != nil {
			return nil, err
		}
		chosen, known, err := a.Joiner.choose(ctx, document.AccountID, in.ClientID, &in.registerRequest,
			func(r joining.Rules) bool { return r.Documents })
		if err != nil {
			return nil, err
		}
		if known.LaunchedFor == "" && !known.Proven {
			if err := a.Joiner.runs(ctx, chosen.ClientID, document); err != nil {
				return nil, err
			}
		}
		if err := a.Joiner.Store.TakeDocument(ctx, document, chosen.ClientID, in.Attempt); err != nil {
			return nil, err
		}
		return a.admit(ctx, chosen, &in.registerRequest, "its identity document")
	})
}

// guard counts refusals by address, as those of tokens are.
func (j *Joiner) guard(ctx context.Context, do func() (*joinAnswer, error)) (*joinAnswer, error) {
	out, err := do()
	switch fault.KindOf(err) {
	case fault.Unauthorized, fault.Forbidden:
		web.LoggerFrom(ctx).WarnContext(ctx, "an agent was not admitted", "error", err)
		if !j.Gate.Fail(trail.RequestFrom(ctx).Address) {
			return nil, web.TooManyGuesses.New("Too many attempts of this address were refused: wait a minute.")
		}
	}
	return out, err
}

// choose finds the client of an account that lets the instance join, and what is known of
// the instance there. Fails with join.not_listed, join.ambiguous and join.refused.
func (j *Joiner) choose(
	ctx context.Context,
	account, clientID string,
	in *registerRequest,
	allows func(joining.Rules) bool,
) (joining.Candidate, accounts.JoiningInstance, error) {
	candidates, err := j.Store.Candidates(ctx, account)
	if err != nil {
		return joining.Candidate{}, accounts.JoiningInstance{}, err
	}
	chosen, err := joining.Choose(candidates, clientID, allows)
	if err != nil {
		return chosen, accounts.JoiningInstance{}, err
	}
	known, err := j.Store.Instance(ctx, chosen.ClientID, in.InstanceID)
	switch {
	case err != nil:
	case known.Foreign:
		err = joining.Refused.New("The instance is another client's.")
	case known.Ended:
		err = joining.Refused.New("The instance has been retired: nothing joins from it any more.")
	case known.Revoked:
		err = joining.Refused.New("The token of this instance was revoked: it joins again with a one-time token alone.")
	case known.LaunchedFor != "" && known.LaunchedFor != in.LogicalID:
		err = joining.Refused.New("The instance was launched for the agent %q, not for %q.", known.LaunchedFor, in.LogicalID)
	}
	return chosen, known, err
}

func (j *Joiner) runs(ctx context.Context, clientID string, d joining.Document) error {
	running, err := j.Cloud.Running(ctx, clientID, d.Region, d.InstanceID)
	if err == nil && !running {
		return joining.Refused.New("EC2 does not show %s as running in the client's account.", d.InstanceID)
	}
	return err
}

// admit registers the agent and gives it a token of its own.
func (a *Agents) admit(ctx context.Context, c joining.Candidate, in *registerRequest, by string) (*joinAnswer, error) {
	registered, err := a.registerFor(ctx, c.ClientID, agent.Launcher(c.Launcher), in)
	if err != nil {
		return nil, err
	}
	token, err := a.Credentials.IssueAgent(ctx, credentials.AgentOf{
		ClientID: c.ClientID, AgentID: registered.AgentID, InstanceID: in.InstanceID, By: by})
	if err != nil {
		return nil, err
	}
	return &joinAnswer{registerAnswer: *registered, agentToken: agentTokenOf(token)}, nil
}
