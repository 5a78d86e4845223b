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

	"github.com/google/uuid"

	"spotkeeper/internal/postgres"
)

// cookieName is the cookie of an operator's session.
const cookieName = "spotkeeper_session"

// sessionLength is how long a login is good for. It is not prolonged: an operator
// logs in once a working day.
const sessionLength = 12 * time.Hour

// SessionIdle is how long a session may be unused before it ends.
const SessionIdle = 30 * time.Minute

// SessionStore remembers the sessions that were ended before their time, and what
// operators did at the door.
type SessionStore interface {
	SessionBegun(ctx context.Context, n postgres.OperatorSession) error
	EndSession(ctx context.Context, id, operator string, expires time.Time) error
	// UseSession says whether a session is good: it was used within idle, and not ended.
	UseSession(ctx context.Context, id string, now time.Time, idle time.Duration) (bool, error)
}

// Sessions are the logins of operators' browsers. A session is a signed cookie,
// so every process of the api knows it; it ends with its time, with a logout, and
// with the operator's token.
type Sessions struct {
	Keys      [][]byte // the deployment's; sessions are signed with one derived from the first
	Store     SessionStore
	Operators map[string]string // token by name
	Now       func() time.Time
}

// Session is what the cookie says.
type Session struct {
	ID       string `json:"i"`
	Operator string `json:"o"`
	Expires  int64  `json:"e"`
}

// NewCookie makes the value of a cookie.
func (s *Sessions) NewCookie(operator, address string) (string, postgres.OperatorSession, error) {
	now := s.Now()
	made := postgres.OperatorSession{
		ID:        uuid.NewString(),
		Operator:  operator,
		Address:   address,
		StartedAt: now,
		ExpiresAt: now.Add(sessionLength),
	}
	payload, err := json.Marshal(Session{ID: made.ID, Operator: operator, Expires: made.ExpiresAt.Unix()})
	if err != nil {
		return "", made, err
	}
	mac, err := sign(s.Keys[0], s.Operators[operator], payload)
	if err != nil {
		return "", made, err
	}
	return base64.RawURLEncoding.EncodeToString(payload) + "." + base64.RawURLEncoding.EncodeToString(mac), made, nil
}

// sign uses a key of the deployment and of the operator's token, so that a token
// that is replaced takes its sessions with it.
func sign(secret []byte, token string, payload []byte) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, secret, []byte(token), "operator session", sha256.Size)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write(payload) // never fails
	return mac.Sum(nil), nil
}

// Read is the session of a request; nil when there is no good one. It fails only
// when it cannot be known whether the session was ended.
func (s *Sessions) Read(r *http.Request) (*Session, error) {
	cookie, err := r.Cookie(cookieName)
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
	if _, still := s.Operators[found.Operator]; !still || s.Now().Unix() >= found.Expires {
		return nil, nil
	}
	signed := false
	for _, key := range s.Keys {
		want, err := sign(key, s.Operators[found.Operator], payload)
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

// principal is the operator whose browser asks; the zero Principal without a session. A
// browser sends its cookie wherever a page sends it, so a write must come from a
// page of ours: it is refused when it says otherwise, and when it does not say.
func (s *Sessions) principal(r *http.Request) (Principal, error) {
	found, err := s.Read(r)
	if err != nil || found == nil {
		return Principal{}, err
	}
	if err := fromOurPage(r); err != nil {
		return Principal{}, err
	}
	return Principal{Operator: true, Session: true, Name: found.Operator, CredentialID: found.ID}, nil
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

// SessionCookie carries a session, or with an empty value takes it away. Secure is set
// when the browser speaks TLS, with us or with the proxy before us.
func SessionCookie(r *http.Request, value string, expires time.Time) *http.Cookie {
	c := &http.Cookie{
		Name: cookieName, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Expires: expires,
		Secure: r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https"),
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}
