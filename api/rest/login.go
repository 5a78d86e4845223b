package rest

import (
	"crypto/rand"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/fault"
)

//go:embed html/login.html html/answer.html
var files embed.FS

var loginPage = template.Must(template.ParseFS(files, "html/login.html"))

func (d Deps) loginRoutes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     "/login",
			ID:       "showLogin",
			Summary:  "Show the page on which operators and tenants log in",
			Auth:     web.Anonymous,
			Status:   200,
			Timeout:  web.QuickTimeout,
			Endpoint: web.NewStream[loginQuery, web.Page](d.showLogin),
		},
		{
			Method:   http.MethodPost,
			Path:     "/login",
			ID:       "login",
			Summary:  "Begin a session of an operator or a tenant: a cookie, and the way to the page",
			Auth:     web.Anonymous,
			Status:   303,
			Timeout:  web.QuickTimeout,
			Endpoint: web.NewStream[loginForm, web.Page](d.login),
		},
		{
			Method:   http.MethodPost,
			Path:     "/logout",
			ID:       "logout",
			Summary:  "End the session of the cookie",
			Auth:     web.Anonymous,
			Status:   200,
			Timeout:  web.QuickTimeout,
			Endpoint: web.NewStream[logoutForm, web.Success](d.logout),
		},
		{
			Method:   http.MethodGet,
			Path:     "/login/oidc",
			ID:       "beginLogin",
			Summary:  "Send an operator's browser to the identity provider",
			Auth:     web.Anonymous,
			Status:   303,
			Timeout:  providerTimeout,
			Endpoint: web.NewStream[loginQuery, web.Page](d.beginLogin),
		},
		{
			Method:   http.MethodGet,
			Path:     CallbackPath,
			ID:       "finishLogin",
			Summary:  "Begin the session of an operator who comes back from the identity provider",
			Auth:     web.Anonymous,
			Status:   200,
			Timeout:  providerTimeout,
			Endpoint: web.NewStream[callbackQuery, web.Page](d.finishLogin),
		},
	}
}

type loginQuery struct {
	Next string `json:"-" form:"next" doc:"the page to show after the login"`
}

// loginForm documents the form; a form is not JSON and is read by hand.
type loginForm struct {
	web.OptionalBody
	web.FormBody
	Token string `json:"token" doc:"of the operator or the tenant"`
	Next  string `json:"next" doc:"the page to show after the login"`
}

type logoutForm struct{ web.OptionalBody }

type loginView struct {
	Next, Problem, Closed, Nonce string
	Provider                     bool   // there is an identity provider
	Continue                     string // the page to show now; empty: none
}

func (d Deps) showLogin(c *gin.Context, in *loginQuery) error {
	d.showLoginAs(c, http.StatusOK, loginView{Next: safeRedirectPath(in.Next)})
	return nil
}

func (d Deps) showLoginAs(c *gin.Context, status int, v loginView) {
	if d.OpenToOperators {
		v.Closed = "No operators are configured here (ADMIN_TOKEN): on this machine, pages need no login."
	}
	v.Provider = d.SignIn != nil
	v.Nonce = rand.Text()
	h := c.Writer.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-"+v.Nonce+
			"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	c.Status(status)
	if err := loginPage.Execute(c.Writer, v); err != nil {
		web.LoggerOf(c).WarnContext(c.Request.Context(), "the login page was not written", "error", err)
	}
}

// maxLogin is more than any form of ours.
const maxLogin = 8 << 10

func (d Deps) login(c *gin.Context, _ *loginForm) error {
	if err := http.NewCrossOriginProtection().Check(c.Request); err != nil {
		return web.ForeignOrigin.Wrap(err, "A page of another origin may not do this.")
	}
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxLogin)
	if err := c.Request.ParseForm(); err != nil {
		return web.InvalidRequest.Wrap(err, "The form could not be read.")
	}
	next := safeRedirectPath(c.Request.PostForm.Get("next"))
	token := strings.TrimSpace(c.Request.PostForm.Get("token"))
	begun, err := d.begin(c, token)
	if err != nil {
		return d.showRefusal(c, "/login", next, err)
	}
	if err := d.keepSession(c, begun); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, d.pageAfter(next))
	return nil
}

// begin makes the session of an operator or of a tenant with a token. Fails with
// auth.invalid_token, credentials.not_for_this and the codes of credentials.StoredCredential.Judge.
func (d Deps) begin(c *gin.Context, token string) (*web.BegunSession, error) {
	if operator, ok := d.auth.Operator(token); ok {
		return d.auth.Sessions.BeginOperator(operator, c.ClientIP())
	}
	found, err := d.auth.Look(c.Request.Context(), token)
	switch {
	case fault.Is(err, credentials.NotFound):
		return nil, web.InvalidToken.New("This is not an operator's token, and no tenant's.")
	case err != nil:
		return nil, err
	}
	if err := found.Judge(d.Now()); err != nil {
		return nil, err
	}
	if err := web.CanLogIn(found); err != nil {
		return nil, credentials.NotForThis.Wrap(err,
			"This token is for machines: log in with a tenant's token, or an operator's.")
	}
	return d.auth.Sessions.BeginTenant(found, c.ClientIP())
}

// keepSession gives the browser its session.
func (d Deps) keepSession(c *gin.Context, begun *web.BegunSession) error {
	ctx := web.AsCaller(c, begun.Caller)
	if err := d.auth.Sessions.Store.SessionBegun(ctx, begun.Row, begun.Caller.Actor()); err != nil {
		return err
	}
	http.SetCookie(c.Writer, web.SessionCookie(c.Request, begun.Cookie, begun.Row.ExpiresAt))
	return nil
}

// pageAfter is the page to show after a login.
func (d Deps) pageAfter(next string) string {
	switch {
	case next != "":
		return next
	case d.Web != nil:
		return "/"
	default:
		return "/docs"
	}
}

// showRefusal shows the login page with what went wrong. Failed attempts are counted: who
// fails too often is refused until a minute is over, and a good login never is.
func (d Deps) showRefusal(c *gin.Context, route, next string, reason error) error {
	ctx, address := c.Request.Context(), c.ClientIP()
	problem, refused := errors.AsType[*fault.Error](reason)
	if !refused {
		return reason
	}
	status := http.StatusUnauthorized
	switch fault.KindOf(reason) {
	case fault.Unauthorized:
	case fault.Forbidden:
		status = http.StatusForbidden
	default: // no attempt failed: we or the provider did
		c.Set(web.CodeKey, string(problem.Code))
		d.showLoginAs(c, http.StatusServiceUnavailable, loginView{Next: next, Problem: problem.Message})
		return nil
	}
	if !d.loginGate.Fail(address) {
		c.Header("Retry-After", "60")
		c.Set(web.CodeKey, string(web.TooManyGuesses))
		d.showLoginAs(c, http.StatusTooManyRequests, loginView{
			Next:    next,
			Problem: "Too many failed attempts: wait a minute.",
		})
		return nil
	}
	if err := d.Tokens.RecordAuthFailure(ctx, route, address, string(problem.Code)); err != nil {
		web.LoggerOf(c).WarnContext(ctx, "a refused attempt was not recorded", "error", err)
	}
	web.LoggerOf(c).InfoContext(ctx, "a login was refused", "code", problem.Code, "cause", errors.Unwrap(problem))
	c.Set(web.CodeKey, string(problem.Code))
	d.showLoginAs(c, status, loginView{Next: next, Problem: problem.Message})
	return nil
}

func (d Deps) logout(c *gin.Context, _ *logoutForm) error {
	if err := http.NewCrossOriginProtection().Check(c.Request); err != nil {
		return web.ForeignOrigin.Wrap(err, "A page of another origin may not do this.")
	}
	found, err := d.auth.Sessions.Read(c.Request)
	if err != nil {
		return err
	}
	if found != nil {
		caller := d.auth.Sessions.CallerOf(found)
		ctx := web.AsCaller(c, caller)
		if err := d.auth.Sessions.Store.EndSession(ctx, found.Ended(), caller.Actor()); err != nil {
			return err
		}
	}
	http.SetCookie(c.Writer, web.SessionCookie(c.Request, "", time.Unix(1, 0)))
	if strings.Contains(c.GetHeader("Accept"), "text/html") {
		c.Redirect(http.StatusSeeOther, "/login")
		return nil
	}
	web.WriteJSON(c, http.StatusOK, web.Done)
	return nil
}

// safeRedirectPath is a path of this server, or nothing: a login does not send a browser
// elsewhere.
func safeRedirectPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsAny(next, "\\\r\n\t") {
		return ""
	}
	return next
}

// servePage serves the built page. Where operators are configured, its browser is
// sent to log in first: the page itself has no way to.
func (d Deps) servePage(c *gin.Context) error {
	wantsPage := c.Request.Method == http.MethodGet && strings.Contains(c.GetHeader("Accept"), "text/html")
	if wantsPage && !d.OpenToOperators {
		found, err := d.auth.Sessions.Read(c.Request)
		if err != nil {
			return err
		}
		if found == nil {
			c.Header("Cache-Control", "no-store")
			c.Redirect(http.StatusSeeOther, "/login?next="+url.QueryEscape(c.Request.URL.RequestURI()))
			return nil
		}
	}
	d.Web.ServeHTTP(c.Writer, c.Request)
	return nil
}
