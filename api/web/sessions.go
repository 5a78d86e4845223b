package web

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/operators"
	"spotkeeper/internal/postgres/accounts"
)

// cookieName is the cookie of a session, before CookieNameFor.
const cookieName = "spotkeeper_session"

// hostPrefix has browsers take a cookie from this host alone, for all of its paths, and over
// TLS. Without it a page of a sibling domain could put a session of its own into a browser
// (RFC 6265bis, section 4.1.3.2).
const hostPrefix = "__Host-"

// CookieNameFor is the name that a cookie has in a request and its answer: with hostPrefix
// where the browser uses TLS, and there under no other name.
func CookieNameFor(r *http.Request, name string) string {
	if usesTLS(r) {
		return hostPrefix + name
	}
	return name
}

// usesTLS says whether the browser uses TLS, to this server or to the proxy before it.
func usesTLS(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// sessionLength is how long a login is good for. It is not prolonged: people log in
// once a working day.
const sessionLength = 12 * time.Hour

// SessionIdle is how long a session may be unused before it ends.
const SessionIdle = 30 * time.Minute

// SessionStore records the logins of operators and tenants, and the sessions that were ended
// before their time.
type SessionStore interface {
	SessionBegun(ctx context.Context, n accounts.Session, actor string) error
	EndSession(ctx context.Context, n accounts.Session, actor string) error
	// UseSession says whether a session is good: it was used within idle, and not ended.
	UseSession(ctx context.Context, id string, now time.Time, idle time.Duration) (bool, error)
}

// SessionTokens finds what the session of a tenant was begun with.
type SessionTokens interface {
	// FindOfSession fails with credentials.not_found.
	FindOfSession(ctx context.Context, clientID, credentialID string) (*credentials.StoredCredential, error)
}

// Sessions are the logins of browsers. A session is a signed cookie, so every process of
// the api accepts it. It ends when it expires, at a logout, and when its basis ends: the
// operator's token, the tenant's credential, or the settings of the identity provider.
type Sessions struct {
	Keys      [][]byte // the deployment's; sessions are signed with one derived from the first
	Store     SessionStore
	Operators map[string]operators.Account // by name
	// Provider names the identity provider and what it is believed for; empty: there is
	// none, and sessions that it began are not good.
	Provider string
	Tokens   SessionTokens
	Now      func() time.Time
}

// Session is the content of the session cookie.
type Session struct {
	ID       string `json:"i"`
	Operator string `json:"o,omitempty"`
	// Role is set for an operator of the identity provider. An operator with a token has the
	// role that is configured now.
	Role         operators.Role `json:"r,omitempty"`
	ClientID     string         `json:"c,omitempty"` // of a tenant
	CredentialID string         `json:"k,omitempty"` // of a tenant; empty: its old token
	Expires      int64          `json:"e"`

	found *credentials.StoredCredential // of a tenant
}

// BegunSession is a session that was begun.
type BegunSession struct {
	Cookie string // its value
	Row    accounts.Session
	Caller Principal
}

// BeginOperator makes the session of an operator with a token.
func (s *Sessions) BeginOperator(name, address string) (*BegunSession, error) {
	return s.begin(Session{Operator: name}, address, "token")
}

// BeginPerson makes the session of an operator of the identity provider.
func (s *Sessions) BeginPerson(name string, role operators.Role, address string) (*BegunSession, error) {
	return s.begin(Session{Operator: name, Role: role}, address, "oidc")
}

// BeginTenant makes the session of a tenant with a credential.
func (s *Sessions) BeginTenant(found *credentials.StoredCredential, address string) (*BegunSession, error) {
	return s.begin(Session{ClientID: found.ClientID, CredentialID: found.ID, found: found}, address, "token")
}

func (s *Sessions) begin(n Session, address, via string) (*BegunSession, error) {
	now := s.Now()
	expires := now.Add(sessionLength)
	n.ID, n.Expires = uuid.NewString(), expires.Unix()
	payload, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	mac, err := s.sign(s.Keys[0], n, payload)
	if err != nil {
		return nil, err
	}
	caller := n.caller(s)
	return &BegunSession{
		Cookie: base64.RawURLEncoding.EncodeToString(payload) + "." + base64.RawURLEncoding.EncodeToString(mac),
		Caller: caller,
		Row: accounts.Session{
			ID:           n.ID,
			Operator:     n.Operator,
			Role:         string(caller.Role),
			Via:          via,
			ClientID:     n.ClientID,
			CredentialID: n.CredentialID,
			Address:      address,
			StartedAt:    now,
			ExpiresAt:    expires,
		},
	}, nil
}

// sign uses a key of the deployment and of what the session was begun with, so that a
// token that is replaced takes its sessions with it.
func (s *Sessions) sign(secret []byte, n Session, payload []byte) ([]byte, error) {
	salt, use := []byte(s.Operators[n.Operator].Token), "operator session"
	switch {
	case n.ClientID != "":
		salt, use = n.found.TokenHash, "tenant session"
	case n.Role != "":
		salt, use = []byte(s.Provider), "provider session"
	}
	key, err := hkdf.Key(sha256.New, secret, salt, use, sha256.Size)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write(payload) // never fails
	return mac.Sum(nil), nil
}

// Read is the session of a request; nil when there is no good one. It fails only
// when it cannot be known whether the session is good.
func (s *Sessions) Read(r *http.Request) (*Session, error) {
	cookie, err := r.Cookie(CookieNameFor(r, cookieName))
	if s == nil || err != nil {
		return nil, nil //nolint:nilerr // no cookie is no session
	}
	encoded, mac, _ := strings.Cut(cookie.Value, ".")
	payload, errPayload := base64.RawURLEncoding.DecodeString(encoded)
	given, errMAC := base64.RawURLEncoding.DecodeString(mac)
	var found Session
	if errPayload != nil || errMAC != nil || json.Unmarshal(payload, &found) != nil {
		return nil, nil //nolint:nilerr // what cannot be read is no session
	}
	if still, err := s.stillKnown(r.Context(), &found); err != nil || !still {
		return nil, err
	}
	signed := false
	for _, key := range s.Keys {
		want, err := s.sign(key, found, payload)
		if err != nil {
			return nil, err
		}
		signed = signed || hmac.Equal(given, want)
	}
	if !signed {
		return nil, nil
	}
	good, err := s.Store.UseSession(r.Context(), found.ID, s.Now(), SessionIdle)
	if err != nil || !good {
		return nil, err
	}
	return &found, nil
}

// stillKnown says whether the time of a session is not over, and what it was begun with
// is still good.
func (s *Sessions) stillKnown(ctx context.Context, n *Session) (bool, error) {
	if s.Now().Unix() >= n.Expires {
		return false, nil
	}
	switch {
	case n.ClientID != "":
		found, err := s.Tokens.FindOfSession(ctx, n.ClientID, n.CredentialID)
		if fault.Is(err, credentials.NotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		n.found = found
		return found.ClientID == n.ClientID && found.Judge(s.Now()) == nil && CanLogIn(found) == nil, nil
	case n.Role != "":
		return s.Provider != "" && n.Role.Known(), nil
	default:
		_, still := s.Operators[n.Operator]
		return still, nil
	}
}

// CanLogIn says whether a credential is for people. Fails with credentials.not_for_this.
func CanLogIn(found *credentials.StoredCredential) error {
	return found.Allows(credentials.RouteUse{Needs: credentials.Read})
}

// caller is who a session stands for, whatever it asks.
func (n Session) caller(s *Sessions) Principal {
	if n.ClientID != "" {
		p := tenantOf(n.found)
		p.Session = true
		return p
	}
	role := n.Role
	if role == "" {
		role = s.Operators[n.Operator].Role
	}
	return Principal{Operator: true, Session: true, Name: n.Operator, Role: role, CredentialID: n.ID}
}

// CallerOf is who a good session stands for.
func (s *Sessions) CallerOf(n *Session) Principal { return n.caller(s) }

// Ended is the record that the store gets when a browser ends its session.
func (n Session) Ended() accounts.Session {
	return accounts.Session{ID: n.ID, Operator: n.Operator, ClientID: n.ClientID, ExpiresAt: time.Unix(n.Expires, 0)}
}

// bySession is the caller whose browser asks; the zero Principal without a session. A
// browser sends its cookie wherever a page sends it, so a write must come from a
// page of ours: it is refused when it says otherwise, and when it does not say.
func (a *Authenticator) bySession(c *gin.Context, r Route) (Principal, error) {
	found, err := a.Sessions.Read(c.Request)
	if err != nil || found == nil {
		return Principal{}, err
	}
	if err := fromOurPage(c.Request); err != nil {
		return Principal{}, err
	}
	p := found.caller(a.Sessions)
	if p.Operator {
		return p, nil
	}
	a.noteUse(c, found.found)
	return p, r.allows(c, p, found.found)
}

func fromOurPage(r *http.Request) error {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return ForeignOrigin.Wrap(err, "A page of another origin may not do this.")
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	if !reads && r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" {
		return ForeignOrigin.New("A session may change things from a page of this origin only: send a token instead.")
	}
	return nil
}

// SessionCookie carries a session, or with an empty value takes it away.
func SessionCookie(r *http.Request, value string, expires time.Time) *http.Cookie {
	c := &http.Cookie{ //nolint:gosec // Secure where there is TLS: on loopback there may be none
		Name: CookieNameFor(r, cookieName), Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Expires: expires, Secure: usesTLS(r),
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}
