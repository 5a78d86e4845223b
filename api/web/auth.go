package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/operators"
	"spotkeeper/internal/flight"
)

// Faults of authentication. The sentences are those that deployed agents and installers
// expect.
var (
	MissingToken   = fault.Define("auth.missing_token", fault.Unauthorized)
	InvalidToken   = fault.Define("auth.invalid_token", fault.Unauthorized)
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
	Anonymous             // every caller
	Joining               // an enrolment token in the header
)

// Principal is who asks, resolved once per request.
type Principal struct {
	ClientID string // the tenant; empty for an operator and without a caller
	Name     string
	Operator bool
	Role     operators.Role // of an operator
	Session  bool           // a browser that logged in, and no token
	Launcher string         // who launches for the tenant's new agents

	Kind           credentials.Kind // empty for an operator
	CredentialID   string           // empty for an operator and for a legacy token
	CredentialName string
	Allowed        credentials.Scope // of a tenant's credential
	AgentID        string            // that an agent's credential is bound to
	LogicalID      string            // of that agent, or of the one that an enrolment is for
	InstanceID     string            // that an agent's credential is bound to
	TokenDue       bool              // an agent's credential is due for renewal
}

// Actor names the principal in events and in what workflows keep.
func (p Principal) Actor() string {
	switch {
	case p.Operator:
		return "operator:" + p.Name
	case p.Kind == credentials.Agent:
		return "agent:" + p.AgentID
	case p.CredentialName != "":
		return "client:" + p.Name + "/" + p.CredentialName
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

// Authenticator resolves principals. There is no cache of tokens: a regenerated
// token kills the old one at once, in every process.
type Authenticator struct {
	Tokens    TokenStore
	Operators map[string]operators.Account // by name
	// Open lets callers without a token act as operators. Only for a server on
	// loopback without configured operators.
	Open    bool
	Origins []string // browsers' origins that may act in the open mode
	// Guests are further origins by the path that they may call.
	Guests map[string][]string
	// Sessions are what browsers hold after a login.
	Sessions *Sessions
	// Routes is the whole surface, of which a page asks what its user may do.
	Routes []Route

	// Audit records what operators and tenants did, where no store records it.
	Audit AuditStore

	Gate *Throttle
	// Limits bounds what a client asks for; nil: nothing.
	Limits *Limits
	Now    func() time.Time // nil: time.Now
	// lookups are shared by concurrent requests with one token.
	lookups flight.Group[string, *credentials.StoredCredential]
}

// authenticate resolves who calls a route, and refuses who may not. It is the one place
// where the roles of operators count.
func (a *Authenticator) authenticate(c *gin.Context, r Route, body []byte) (Principal, error) {
	p, err := a.identify(c, r, body)
	if err == nil && p.Operator {
		err = operators.Check(p.Name, p.Role, r.LeastRole())
	}
	return p, err
}

func (a *Authenticator) identify(c *gin.Context, r Route, body []byte) (Principal, error) {
	if r.Auth == Anonymous {
		return Principal{}, nil
	}
	token := headerToken(c.Request)
	if token == "" && r.Auth == Agent {
		token = bodyToken(body)
	}
	if token == "" {
		return a.withoutToken(c, r)
	}
	if r.Auth == Admin || r.Auth == Client {
		if name, ok := a.Operator(token); ok {
			return Principal{Operator: true, Name: name, Role: a.Operators[name].Role}, nil
		}
	}
	return a.principalOf(c, r, token)
}

// withoutToken is a browser with a session, or any caller where everything is open.
func (a *Authenticator) withoutToken(c *gin.Context, r Route) (Principal, error) {
	class := r.Auth
	if class == Admin || class == Client {
		if p, err := a.bySession(c, r); err != nil || p.Session {
			return p, err
		}
	}
	if class == Agent || class == Joining || !a.Open {
		sentence := "Missing client token"
		switch class {
		case Admin:
			sentence = "Missing operator token"
		case Joining:
			sentence = "Missing enrolment token"
		case Client, Agent, Anonymous:
		}
		return Principal{}, MissingToken.New("%s", sentence)
	}
	// Any caller on this machine is an operator, but not every page that a browser
	// on this machine happens to show.
	if err := a.sameOrigin(c.Request); err != nil {
		return Principal{}, err
	}
	return Principal{Operator: true, Name: "local", Role: operators.Admin}, nil
}

func (a *Authenticator) sameOrigin(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if slices.Contains(a.Origins, origin) || slices.Contains(a.Guests[r.URL.Path], origin) {
		return nil
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return ForeignOrigin.Wrap(err, "A page of another origin may not do this.")
	}
	return nil
}

// StillAllowed says whether the caller of a stream may go on: its token or session, its
// client and its operator are still good. It is true when that cannot be known.
func StillAllowed(c *gin.Context) bool {
	recheck, ok := c.Value(recheckKey).(func() error)
	if !ok {
		return true
	}
	switch fault.KindOf(recheck()) {
	case fault.Unauthorized, fault.Forbidden, fault.NotFound, fault.Limited:
		return false
	default:
		return true
	}
}

// Operator finds the operator of a token; each comparison takes the same time.
func (a *Authenticator) Operator(token string) (string, bool) {
	given, who := sha256.Sum256([]byte(token)), ""
	for name, account := range a.Operators {
		want := sha256.Sum256([]byte(account.Token))
		if subtle.ConstantTimeCompare(given[:], want[:]) == 1 {
			who = name
		}
	}
	return who, who != ""
}

// headerToken takes the token from the Authorization header, with or without its
// scheme.
func headerToken(r *http.Request) string {
	return strings.TrimSpace(strings.ReplaceAll(Authorization(r)+" ", "Bearer ", ""))
}

// Authorization is the Authorization header. Two of them make a list, which is no token
// that is known: a proxy may have checked either one.
func Authorization(r *http.Request) string {
	return strings.Join(r.Header.Values("Authorization"), ", ")
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
