package rest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/identity"
	"spotkeeper/internal/sealing"
)

// CallbackPath is where an identity provider sends browsers back to.
const CallbackPath = "/login/oidc/callback"

// providerTimeout is how long a login may wait for the identity provider.
const providerTimeout = 15 * time.Second

// NoProvider means that a login at an identity provider was asked for where there is none.
var NoProvider = fault.Define("auth.no_provider", fault.NotFound)

// NameTaken means that the identity provider gives a person the name of an operator with a
// token. The audit log could not distinguish what the two do.
var NameTaken = fault.Define("auth.name_taken", fault.Forbidden)

// IdentityProvider is the part of identity.Provider that logins use.
type IdentityProvider interface {
	Begin(ctx context.Context, next string) (address string, f *identity.Flow, err error)
	Finish(ctx context.Context, f *identity.Flow, answer url.Values) (*identity.Person, error)
	Fingerprint() string
}

// SignIn is how operators log in at an identity provider. A login that was begun is kept
// in a sealed cookie.
type SignIn struct {
	Provider IdentityProvider
	Box      sealing.Box
}

func (s *SignIn) fingerprint() string {
	if s == nil {
		return ""
	}
	return s.Provider.Fingerprint()
}

// flowCookie is the cookie of a login that was begun. It is sent with the redirect from
// the provider's site, which a Strict cookie is not.
const flowCookie = "spotkeeper_login"

const flowBound = "login"

func setFlow(c *gin.Context, value string, maxAge int) {
	cookie := web.SessionCookie(c.Request, value, time.Time{}) //nolint:gosec // see SessionCookie
	cookie.Name, cookie.SameSite, cookie.MaxAge = web.CookieNameFor(c.Request, flowCookie), http.SameSiteLaxMode, maxAge
	http.SetCookie(c.Writer, cookie) //nolint:gosec // Lax for the redirect; the rest is SessionCookie's
}

func (d Deps) beginLogin(c *gin.Context, in *loginQuery) error {
	if d.SignIn == nil {
		return NoProvider.New("There is no identity provider here: log in with a token.")
	}
	next := safeRedirectPath(in.Next)
	at, flow, err := d.SignIn.Provider.Begin(c.Request.Context(), next)
	if err != nil {
		return d.showRefusal(c, "/login/oidc", next, err)
	}
	text, err := json.Marshal(flow)
	if err != nil {
		return err
	}
	sealed, err := d.SignIn.Box.Seal(string(text), flowBound)
	if err != nil {
		return err
	}
	setFlow(c, base64.RawURLEncoding.EncodeToString(sealed), int(identity.FlowTime.Seconds()))
	c.Header("Cache-Control", "no-store")
	c.Redirect(http.StatusSeeOther, at)
	return nil
}

// callbackQuery documents what the provider sends; a redirect is read by hand.
type callbackQuery struct {
	Code  string `json:"-" form:"code" doc:"of the provider"`
	State string `json:"-" form:"state" doc:"of the login that was begun"`
	Error string `json:"-" form:"error" doc:"why the provider refused"`
}

func (d Deps) finishLogin(c *gin.Context, _ *callbackQuery) error {
	if d.SignIn == nil {
		return NoProvider.New("There is no identity provider here: log in with a token.")
	}
	flow := d.readFlow(c.Request)
	next := ""
	if flow != nil {
		next = safeRedirectPath(flow.Next)
	}
	setFlow(c, "", -1)
	begun, err := d.beginPerson(c, flow)
	if err != nil {
		return d.showRefusal(c, CallbackPath, next, err)
	}
	if err := d.keepSession(c, begun); err != nil {
		return err
	}
	// The session's cookie is not sent along a redirect that began at the provider's
	// site; it is sent to a page that a page of ours leads to.
	d.showLoginAs(c, http.StatusOK, loginView{Continue: d.pageAfter(next)})
	return nil
}

func (d Deps) beginPerson(c *gin.Context, flow *identity.Flow) (*web.BegunSession, error) {
	person, err := d.SignIn.Provider.Finish(c.Request.Context(), flow, c.Request.URL.Query())
	if err != nil {
		return nil, err
	}
	if _, taken := d.Operators[person.Name]; taken || person.Name == "local" {
		return nil, NameTaken.New("An operator with a token is named %s too: rename that one in ADMIN_TOKEN.", person.Name)
	}
	return d.auth.Sessions.BeginPerson(person.Name, person.Role, c.ClientIP())
}

// readFlow is the login that was begun in the browser; nil when there is none.
func (d Deps) readFlow(r *http.Request) *identity.Flow {
	cookie, err := r.Cookie(web.CookieNameFor(r, flowCookie))
	if err != nil {
		return nil
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return nil
	}
	text, err := d.SignIn.Box.Open(sealed, flowBound)
	var flow identity.Flow
	if err != nil || json.Unmarshal([]byte(text), &flow) != nil {
		return nil
	}
	return &flow
}
