// Package identity lets users of an OpenID Connect provider log in, by the authorization
// code flow with PKCE (RFC 7636), with a state and a nonce.
package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/operators"
	"spotkeeper/internal/domain/plaintext"
)

// Ways to fail to log in.
var (
	Unavailable = fault.Define("auth.provider_unavailable", fault.Unavailable)
	Refused     = fault.Define("auth.login_refused", fault.Unauthorized)
	Stale       = fault.Define("auth.login_stale", fault.Unauthorized)
	NoName      = fault.Define("auth.no_name", fault.Forbidden)
)

// Options are a deployment's settings of its provider.
type Options struct {
	Issuer       string // its address, https
	ClientID     string
	ClientSecret string // empty: a public client
	RedirectURL  string // of this deployment, where browsers come back to
	Scopes       []string
	NameClaim    string // whose value names a person
	GroupsClaim  string // whose value is the groups of a person
	Roles        map[string]operators.Role
}

// Person is who logged in.
type Person struct {
	Name string
	Role operators.Role
}

// Flow is a login that was begun and has not come back. Its owner keeps it where only the
// same browser can show it again.
type Flow struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`
	Next     string    `json:"p,omitempty"` // the page to show after the login
	Expires  time.Time `json:"e"`
}

// FlowTime is how long a person may take at the provider.
const FlowTime = 10 * time.Minute

const (
	callTimeout = 10 * time.Second
	// askAgain is how long a provider that did not answer is left alone.
	askAgain = 3 * time.Second
	// exchangesAtOnce bounds what strangers can have asked of the provider.
	exchangesAtOnce = 8
)

// Provider is the identity provider of a deployment. Its discovery document is read at the
// first login, so that a process starts without it.
type Provider struct {
	options Options
	client  *http.Client
	now     func() time.Time
	slots   chan struct{}

	mu     sync.Mutex
	found  *oidc.Provider
	failed time.Time
}

// New makes a provider. A nil client is one that gives up after ten seconds.
func New(o Options, client *http.Client, now func() time.Time) *Provider {
	if client == nil {
		client = &http.Client{Timeout: callTimeout}
	}
	if now == nil {
		now = time.Now
	}
	return &Provider{options: o, client: client, now: now, slots: make(chan struct{}, exchangesAtOnce)}
}

// Fingerprint changes with everything that decides who may log in as what.
func (p *Provider) Fingerprint() string {
	parts := []string{p.options.Issuer, p.options.ClientID, p.options.NameClaim, p.options.GroupsClaim}
	groups := make([]string, 0, len(p.options.Roles))
	for group, role := range p.options.Roles {
		groups = append(groups, fmt.Sprintf("%q=%s", group, role))
	}
	slices.Sort(groups)
	return fmt.Sprintf("%q %q", parts, groups)
}

// Begin is the address at the provider to send a browser to. Fails with
// auth.provider_unavailable.
func (p *Provider) Begin(ctx context.Context, next string) (string, *Flow, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return "", nil, err
	}
	flow := &Flow{
		State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Next: next,
		Expires: p.now().Add(FlowTime),
	}
	at := p.oauth(found).AuthCodeURL(flow.State, oidc.Nonce(flow.Nonce), oauth2.S256ChallengeOption(flow.Verifier))
	return at, flow, nil
}

// Finish is who came back with the parameters of a redirect, to a flow that was begun in
// the same browser; nil when there is none. Fails with auth.login_stale,
// auth.login_refused, auth.provider_unavailable, auth.no_name and auth.no_role.
func (p *Provider) Finish(ctx context.Context, flow *Flow, answer url.Values) (*Person, error) {
	if flow == nil || flow.State == "" || p.now().After(flow.Expires) ||
		subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(flow.State)) != 1 {
		return nil, Stale.New("This login was not begun in this browser, or it took too long: log in again.")
	}
	if err := p.checkIssuer(ctx, answer.Get("iss")); err != nil {
		return nil, err
	}
	if reason := answer.Get("error"); reason != "" || answer.Get("code") == "" {
		return nil, Refused.New("The identity provider did not let you in (%.60s).", reason)
	}
	claims, err := p.exchange(ctx, flow, answer.Get("code"))
	if err != nil {
		return nil, err
	}
	return p.personOf(claims)
}

// checkIssuer requires that a redirect names our provider, if it names one, and that it names
// one when the provider's discovery document says that it always does (RFC 9207). Fails with
// auth.login_refused and auth.provider_unavailable.
func (p *Provider) checkIssuer(ctx context.Context, named string) error {
	if named == "" {
		found, err := p.discover(ctx)
		if err != nil {
			return err
		}
		var document struct {
			NamesItself bool `json:"authorization_response_iss_parameter_supported"`
		}
		if err := found.Claims(&document); err != nil {
			return Refused.Wrap(err, unreadable)
		}
		if !document.NamesItself {
			return nil
		}
	}
	if named != p.options.Issuer {
		return Refused.New("The answer is from another identity provider.")
	}
	return nil
}

// exchange turns a code into the claims of its owner.
func (p *Provider) exchange(ctx context.Context, flow *Flow, code string) (map[string]any, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, Unavailable.Wrap(ctx.Err(), "Too many people log in at once: try again.")
	}
	found, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	tokens, err := p.oauth(found).Exchange(ctx, code, oauth2.VerifierOption(flow.Verifier))
	if refusal, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refusal.Response.StatusCode < 500 {
		return nil, Refused.Wrap(err, "The identity provider does not take this login: log in again.")
	}
	if err != nil {
		return nil, Unavailable.Wrap(err, "The identity provider does not answer: try again, or use a token.")
	}
	raw, _ := tokens.Extra("id_token").(string)
	verifier := found.Verifier(&oidc.Config{ClientID: p.options.ClientID, Now: p.now})
	token, err := verifier.Verify(ctx, raw)
	if err != nil {
		return nil, Refused.Wrap(err, "The identity provider's answer is not for this deployment.")
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(flow.Nonce)) != 1 {
		return nil, Refused.New("The identity provider's answer is for another login.")
	}
	claims, err := p.claimsOf(ctx, found, token, tokens)
	if by, named := claims["azp"]; err == nil && named && by != p.options.ClientID {
		return nil, Refused.New("The identity provider's answer was made for another deployment.")
	}
	return claims, err
}

// claimsOf are the claims of a token. When the token lacks one that we need, they are those
// of the provider's userinfo endpoint.
func (p *Provider) claimsOf(
	ctx context.Context,
	found *oidc.Provider,
	token *oidc.IDToken,
	tokens *oauth2.Token,
) (map[string]any, error) {
	claims := map[string]any{}
	if err := token.Claims(&claims); err != nil {
		return nil, Refused.Wrap(err, unreadable)
	}
	if claims[p.options.NameClaim] != nil && claims[p.options.GroupsClaim] != nil || found.UserInfoEndpoint() == "" {
		return claims, nil
	}
	info, err := found.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return nil, Unavailable.Wrap(err, "The identity provider does not say who you are: try again, or use a token.")
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil || info.Subject != token.Subject {
		return nil, Refused.Wrap(err, unreadable)
	}
	maps.Copy(more, claims) // what is signed counts
	return more, nil
}

const unreadable = "The identity provider's answer could not be read."

// personOf reads the name and the role of a person.
func (p *Provider) personOf(claims map[string]any) (*Person, error) {
	name, _ := claims[p.options.NameClaim].(string)
	name = strings.TrimSpace(name)
	// A provider that says nothing has not verified it; some write a text.
	if verified := claims["email_verified"]; p.options.NameClaim == "email" && verified != true && verified != "true" {
		return nil, NoName.New("The identity provider does not say that your e-mail address is verified (the claim email_verified).")
	}
	if !usableName(name) {
		return nil, NoName.New("The identity provider does not say your name (the claim %s).", p.options.NameClaim)
	}
	role := operators.Greatest(groupsOf(claims[p.options.GroupsClaim]), p.options.Roles)
	if role == "" {
		return nil, operators.NoRole.New(
			"You are logged in as %s, and none of your groups has a role here: ask an admin of this deployment.", name)
	}
	return &Person{Name: name, Role: role}, nil
}

const maxName = 200

func usableName(name string) bool {
	return name != "" && len(name) <= maxName && !strings.ContainsFunc(name, func(r rune) bool {
		return r == utf8.RuneError || plaintext.IsHidden(r)
	})
}

// groupsOf reads a claim that is a list of texts, or one text.
func groupsOf(claim any) (groups []string) {
	switch x := claim.(type) {
	case string:
		groups = append(groups, x)
	case []any:
		for _, item := range x {
			if text, ok := item.(string); ok {
				groups = append(groups, text)
			}
		}
	}
	return groups
}

func (p *Provider) oauth(found *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     p.options.ClientID,
		ClientSecret: p.options.ClientSecret,
		Endpoint:     found.Endpoint(),
		RedirectURL:  p.options.RedirectURL,
		Scopes:       p.options.Scopes,
	}
}

// discover reads the provider's discovery document once. A provider that does not answer
// is tried again by a later login, but not by each.
func (p *Provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	const away = "The identity provider does not answer: try again, or use a token."
	if since := p.now().Sub(p.failed); since < askAgain {
		return nil, Unavailable.New(away)
	}
	// The keys of the provider are read later with the values of this context.
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.options.Issuer)
	if err != nil {
		if ctx.Err() == nil {
			p.failed = p.now()
		}
		return nil, Unavailable.Wrap(err, away)
	}
	p.found = found
	return found, nil
}
