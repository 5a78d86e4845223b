package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"spotkeeper/internal/domain/operators"
	"spotkeeper/internal/domain/plaintext"
)

// OIDC is the identity provider of a deployment's operators.
type OIDC struct {
	Issuer         string   `env:"OIDC_ISSUER" doc:"address of the identity provider (OpenID Connect) at which operators log in, beside those of ADMIN_TOKEN; empty: none"`
	ClientID       string   `env:"OIDC_CLIENT_ID" doc:"this deployment's name at the provider"`
	ClientSecret   Secret   `env:"OIDC_CLIENT_SECRET" doc:"its secret there; empty for a public client, which PKCE protects alone"`
	RedirectURL    string   `env:"OIDC_REDIRECT_URL" doc:"where the provider sends browsers back to, as https://console.example.com/login/oidc/callback"`
	Scopes         []string `env:"OIDC_SCOPES" envDefault:"openid,profile,email,groups" doc:"what is asked of the provider, separated by commas; a provider without the scope groups wants it left out"`
	NameClaim      string   `env:"OIDC_NAME_CLAIM" envDefault:"email" doc:"the claim that names an operator on the trail; email counts when email_verified is true, and a provider without that wants another claim, such as preferred_username"`
	GroupsClaim    string   `env:"OIDC_GROUPS_CLAIM" envDefault:"groups" doc:"the claim that lists an operator's groups"`
	ViewerGroups   []string `env:"OIDC_VIEWER_GROUPS" doc:"groups that read everything but secrets, separated by commas"`
	OperatorGroups []string `env:"OIDC_OPERATOR_GROUPS" doc:"groups that also move, pause, configure and run jobs"`
	AdminGroups    []string `env:"OIDC_ADMIN_GROUPS" doc:"groups that may do everything; who is in no group of the three may not log in"`
}

// callbackPath is that of the api's route.
const callbackPath = "/login/oidc/callback"

// IsConfigured says whether there is an identity provider.
func (o OIDC) IsConfigured() bool { return o.Issuer != "" }

// Roles are the roles of groups. A group that is named twice has its greatest.
func (o OIDC) Roles() map[string]operators.Role {
	out := map[string]operators.Role{}
	for _, list := range []struct {
		groups []string
		role   operators.Role
	}{
		{o.ViewerGroups, operators.Viewer},
		{o.OperatorGroups, operators.Operator},
		{o.AdminGroups, operators.Admin},
	} {
		for _, group := range list.groups {
			if group = strings.TrimSpace(group); group != "" {
				out[group] = list.role
			}
		}
	}
	return out
}

// problems are what is wrong with the settings of the provider, all of them together.
func (o OIDC) problems() (problems []error) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if !o.IsConfigured() {
		if o.ClientID != "" || o.ClientSecret != "" || o.RedirectURL != "" || len(o.Roles()) > 0 {
			wrong("OIDC_ISSUER is needed when other OIDC_ settings are given")
		}
		return problems
	}
	if !isSafeAddress(o.Issuer) {
		wrong("OIDC_ISSUER must be an https address, not %q: the server there says who is an operator", o.Issuer)
	}
	if o.ClientID == "" {
		wrong("OIDC_CLIENT_ID is needed with OIDC_ISSUER")
	}
	back, err := url.Parse(o.RedirectURL)
	switch {
	case err != nil || !isSafeAddress(o.RedirectURL):
		wrong("OIDC_REDIRECT_URL must be the https address of this deployment with the path %s, not %q", callbackPath,
			o.RedirectURL)
	case back.Path != callbackPath || back.RawQuery != "" || back.Fragment != "":
		wrong("OIDC_REDIRECT_URL must have the path %s and nothing after it, not %q", callbackPath, o.RedirectURL)
	}
	if !slices.Contains(o.Scopes, "openid") {
		wrong("OIDC_SCOPES must contain openid")
	}
	if o.NameClaim == "" || o.GroupsClaim == "" {
		wrong("OIDC_NAME_CLAIM and OIDC_GROUPS_CLAIM must name claims")
	}
	if len(o.Roles()) == 0 {
		wrong("OIDC_ISSUER needs a group in OIDC_ADMIN_GROUPS, OIDC_OPERATOR_GROUPS or OIDC_VIEWER_GROUPS: " +
			"without one, no login succeeds")
	}
	return problems
}

// isSafeAddress says whether a browser or we reach an address by TLS, or on this machine.
func isSafeAddress(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())
}

func isLoopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// minToken is the least length of an operator's token in characters.
const minToken = 16

// Operators returns the operators of ADMIN_TOKEN by name.
func (a API) Operators() (map[string]operators.Account, error) {
	ops := map[string]operators.Account{}
	for part := range strings.SplitSeq(a.AdminTokens.Reveal(), ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, token, named := strings.Cut(part, "=")
		if !named {
			name, token = "operator", part
		}
		role := operators.Admin
		if before, text, said := strings.Cut(name, ":"); said {
			if name, role = before, operators.Role(text); !role.Known() {
				return nil, fmt.Errorf("ADMIN_TOKEN: the role of %q is viewer, operator or admin, not %q", name, text)
			}
		}
		if name == "" {
			return nil, errors.New("ADMIN_TOKEN: an operator has no name: write name=token or name:role=token")
		}
		if strings.ContainsFunc(name, plaintext.IsHidden) {
			return nil, fmt.Errorf("ADMIN_TOKEN: the name %q contains a character that is not shown", name)
		}
		if len(token) < minToken {
			return nil, fmt.Errorf("ADMIN_TOKEN: the token of %q is shorter than %d characters", name, minToken)
		}
		if _, twice := ops[name]; twice {
			return nil, fmt.Errorf("ADMIN_TOKEN: %q is named twice", name)
		}
		for other, account := range ops {
			if account.Token == token {
				return nil, fmt.Errorf("ADMIN_TOKEN: %q and %q have the same token", other, name)
			}
		}
		ops[name] = operators.Account{Token: token, Role: role}
	}
	return ops, nil
}

// CheckSafety refuses a deployment that every caller could operate or read.
func (c Config) CheckSafety() error {
	var problems []error
	if c.OIDC.IsConfigured() && !c.Secrets.AreGiven() {
		problems = append(problems, errors.New(
			"OIDC_ISSUER needs SECRET_KEY or SECRET_KEYS: sessions are signed with it, and the key of development is known"))
	}
	if c.API.Loopback() {
		return errors.Join(problems...)
	}
	if c.API.AdminTokens == "" && !c.OIDC.IsConfigured() {
		problems = append(problems, fmt.Errorf(
			"without ADMIN_TOKEN or OIDC_ISSUER the api listens on loopback addresses only, not on %s", c.API.Listen))
	}
	if !c.Secrets.AreGiven() {
		problems = append(problems, fmt.Errorf("SECRET_KEY is needed when the api listens on %s", c.API.Listen))
	}
	return errors.Join(problems...)
}
