package box

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"

	"spotkeeper/internal/box/controlplane"
	"spotkeeper/internal/box/settings"
)

// introduce registers, or joins where the agent has no token of its own yet.
func (a *Agent) introduce(ctx context.Context, r controlplane.Registration) (controlplane.Registered, error) {
	if a.s.Join.Method.GivesToken() && !a.hasToken() {
		got, err := a.join(ctx, r)
		if err == nil {
			a.useToken(got.Token)
		}
		return got.Registered, err
	}
	got, err := a.plane.Register(ctx, r)
	if controlplane.IsStatus(err, http.StatusUnauthorized) {
		a.dropToken()
	}
	return got, err
}

func (a *Agent) join(ctx context.Context, r controlplane.Registration) (controlplane.Joined, error) {
	switch a.s.Join.Method {
	case settings.ByRole:
		role, err := a.imds.RoleCredentials(ctx)
		if err != nil {
			return controlplane.Joined{}, err
		}
		return a.plane.JoinByRole(ctx, r, a.s.Join.ClientID, controlplane.Signer{
			AccessKeyID: role.AccessKeyID, Secret: role.Secret, Token: role.Token,
			Region: r.Region, Domain: a.imds.Domain(ctx), Now: role.Now,
		})
	case settings.ByDocument:
		signature, err := a.imds.IdentityDocument(ctx)
		if err != nil {
			return controlplane.Joined{}, err
		}
		return a.plane.JoinByDocument(ctx, r, a.s.Join.ClientID, signature, a.attempt())
	case settings.OneTime, settings.ClientToken:
	}
	return a.plane.Join(ctx, r)
}

// attempt is random text that is on disk before it is sent: after a crash the agent is the
// one that may repeat its attempt to join.
func (a *Agent) attempt() string {
	a.mu.Lock()
	made := a.state.Attempt == ""
	if made {
		a.state.Attempt = rand.Text() + rand.Text()
	}
	out := a.state.Attempt
	a.mu.Unlock()
	if made {
		a.saveState()
	}
	return out
}

func (a *Agent) hasToken() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state.Token.Token != ""
}

// credential is the token of a request: the agent's own, or the client's token throughout
// where that is the method. To join there is the enrolment token, or none.
func (a *Agent) credential(path string) (string, error) {
	switch {
	case path == controlplane.JoinPath || !a.s.Join.Method.GivesToken():
		return a.s.Credential()
	case strings.HasPrefix(path, controlplane.JoinPath+"/"):
		return "", nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state.Token.Token == "" {
		return "", errNotRegistered
	}
	return a.state.Token.Token, nil
}

// useToken makes a new token durable before it is used.
func (a *Agent) useToken(token controlplane.Token) {
	if token.Token == "" {
		return
	}
	a.mu.Lock()
	a.state.Token = token
	a.mu.Unlock()
	a.saveState()
	a.log.Info("the agent has a new token", "expires_at", token.ExpiresAt)
}

// dropToken forgets a token that is refused: the agent joins again.
func (a *Agent) dropToken() {
	if !a.s.Join.Method.GivesToken() {
		return
	}
	a.mu.Lock()
	a.state.Token = controlplane.Token{}
	a.mu.Unlock()
	a.askToRegister()
}
