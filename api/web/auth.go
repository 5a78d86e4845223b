package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/flight"
)

// Ways to fail to say who is asking. The sentences are those that deployed
// agents and installers know.
var (
	MissingToken   = fault.Define("auth.missing_token", fault.Unauthorized)
	InvalidToken   = fault.Define("auth.invalid_token", fault.Unauthorized)
	Inactive       = fault.Define("auth.client_inactive", fault.Forbidden)
	OperatorsOnly  = fault.Define("auth.operators_only", fault.Forbidden)
	ForeignOrigin  = fault.Define("auth.foreign_origin", fault.Forbidden)
	TooManyGuesses = fault.Define("auth.too_many_attempts", fault.Limited)
)

// Auth is who may call a route.
type Auth int

// Classes. The zero class is the strictest, so that a row that forgets to say is
// closed.
const (
	Admin     Auth = iota // operators
	Client                // the tenant that owns what is asked for, or an operator
	Agent                 // the tenant's own token, in the header or, for POST, in the body
	Anonymous             // everybody
)

// Principal is who asks, resolved once per request.
type Principal struct {
	ClientID string // the tenant; empty for an operator and without a caller
	Name     string
	Operator bool
	Session  bool   // a browser that logged in, and no token
	Launcher string // who launches for the tenant's new agents
}

// Actor names the principal in events and in what workflows keep.
func (p Principal) Actor() string {
	switch {
	case p.Operator:
		return "operator:" + p.Name
	case p.ClientID != "":
		return "client:" + p.Name
	default:
		return "nobody"
	}
}

// Scope is the tenant that reads are limited to; all says that there is no limit.
func (p Principal) Scope() (clientID string, all bool) { return p.ClientID, p.Operator }

type principalKey struct{}

// PrincipalFrom returns who asks.
func PrincipalFrom(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

func withPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// TokenStore finds the client of a token.
type TokenStore interface {
	// ClientByToken fails with clients.not_found.
	ClientByToken(ctx context.Context, hash []byte) (*clients.Client, error)
	// RecordAuthFailure keeps a refused attempt as an event.
	RecordAuthFailure(ctx context.Context, path, address, why string) error
}

// Authenticator resolves principals. There is no cache of tokens: a regenerated
// token kills the old one at once, in every process.
type Authenticator struct {
	Tokens    TokenStore
	Operators map[string]string // token by name
	// Open lets callers without a token act as operators. Only for a server on
	// loopback without configured operators.
	Open    bool
	Origins []string // browsers' origins that may act in the open mode
	// Sessions are what operators' browsers hold after a login.
	Sessions *Sessions

	// Audit records what operators and tenants did, where no store records it.
	Audit AuditStore

	Gate *Throttle
	// lookups are shared by the requests of one tenant that come together.
	lookups flight.Group[string, *clients.Client]
}

// authenticate resolves who calls a route of the class, and refuses who may not.
func (a *Authenticator) authenticate(c *gin.Context, class Auth, body []byte) (Principal, error) {
	if class == Anonymous {
		return Principal{}, nil
	}
	token := headerToken(c.Request)
	if token == "" && class == Agent {
		token = bodyToken(body)
	}
	if token == "" {
		return a.withoutToken(c, class)
	}
	hash := clients.Hash(token)
	if err := a.CheckThrottle(c, hash); err != nil {
		return Principal{}, err
	}
	if class != Agent {
		if name, ok := a.Operator(token); ok {
			a.Gate.recordSuccess(hash)
			return Principal{Operator: true, Name: name}, nil
		}
	}
	client, err := a.Client(c, hash)
	if a.Open && class != Agent && fault.CodeOf(err) == InvalidToken {
		return a.withoutToken(c, class) // an unknown token is treated here like none
	}
	if err != nil {
		return Principal{}, err
	}
	p := Principal{ClientID: client.ID, Name: client.Name, Launcher: string(client.Launcher)}
	if class == Admin {
		return p, OperatorsOnly.New("This is for operators only.")
	}
	if owner, named := c.Params.Get("client_id"); named && owner != client.ID {
		return p, clients.NotFound.New("Client not found")
	}
	return p, nil
}

// withoutToken is a browser with a session, or anybody where everything is open.
func (a *Authenticator) withoutToken(c *gin.Context, class Auth) (Principal, error) {
	if class != Agent {
		if p, err := a.Sessions.principal(c.Request); err != nil || p.Operator {
			return p, err
		}
	}
	if class == Agent || !a.Open {
		sentence := "Missing client token"
		if class == Admin {
			sentence = "Missing operator token"
		}
		return Principal{}, MissingToken.New("%s", sentence)
	}
	// Anybody on this machine is an operator, but not every page that a browser
	// on this machine happens to show.
	if err := a.sameOrigin(c.Request); err != nil {
		return Principal{}, err
	}
	return Principal{Operator: true, Name: "local"}, nil
}

func (a *Authenticator) sameOrigin(r *http.Request) error {
	if slices.Contains(a.Origins, "*") || slices.Contains(a.Origins, r.Header.Get("Origin")) {
		return nil
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return ForeignOrigin.Wrap(err, "A page of another origin may not do this.")
	}
	return nil
}

// CheckThrottle refuses an address that has failed too often. Where everything is open
// there is nothing to guess.
func (a *Authenticator) CheckThrottle(c *gin.Context, hash []byte) error {
	if !a.Open && a.Gate.IsClosed(c.ClientIP(), hash) {
		return TooManyGuesses.New("Too many failed attempts: slow down.")
	}
	return nil
}

// Client finds who a token belongs to. Guessing is slowed down by address; a
// token that was good lately is looked up all the same, so that one broken agent
// does not lock out other callers behind the same address.
func (a *Authenticator) Client(c *gin.Context, hash []byte) (*clients.Client, error) {
	ctx, address := c.Request.Context(), c.ClientIP()
	client, err := a.lookups.Do(ctx, string(hash), func(ctx context.Context) (*clients.Client, error) { return a.Tokens.ClientByToken(ctx, hash) })
	switch {
	case fault.Is(err, clients.NotFound), err == nil && subtle.ConstantTimeCompare(hash, client.TokenHash) != 1:
		a.refused(c, address, "unknown token")
		return nil, InvalidToken.New("Invalid client token")
	case err != nil:
		return nil, err
	case client.Status != clients.Active:
		a.refused(c, address, "inactive client")
		return nil, Inactive.New("Client account is not active")
	}
	a.Gate.recordSuccess(hash)
	return client, nil
}

func (a *Authenticator) refused(c *gin.Context, address, why string) {
	a.Gate.RecordFailure(address)
	if err := a.Tokens.RecordAuthFailure(c.Request.Context(), c.Request.URL.Path, address, why); err != nil {
		LoggerOf(c).WarnContext(c.Request.Context(), "a refused attempt was not recorded", "error", err)
	}
}

// Operator finds the operator of a token; each comparison takes the same time.
func (a *Authenticator) Operator(token string) (string, bool) {
	given, who := sha256.Sum256([]byte(token)), ""
	for name, secret := range a.Operators {
		want := sha256.Sum256([]byte(secret))
		if subtle.ConstantTimeCompare(given[:], want[:]) == 1 {
			who = name
		}
	}
	return who, who != ""
}

// headerToken takes the token from the Authorization header, with or without its
// scheme.
func headerToken(r *http.Request) string {
	return strings.TrimSpace(strings.ReplaceAll(r.Header.Get("Authorization")+" ", "Bearer ", ""))
}

// bodyToken takes the token from the body, which may be anything.
func bodyToken(body []byte) string {
	var in map[string]json.RawMessage
	var token string
	if json.Unmarshal(body, &in) != nil || json.Unmarshal(in["client_token"], &token) != nil {
		return ""
	}
	return strings.TrimSpace(token)
}
