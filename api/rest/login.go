package rest

import (
	"crypto/rand"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"spotkeeper/api/web"
)

//go:embed html/login.html
var files embed.FS

var loginPage = template.Must(template.ParseFS(files, "html/login.html"))

func (d Deps) loginRoutes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     "/login",
			ID:       "showLogin",
			Summary:  "Show the page on which operators log in",
			Auth:     web.Anonymous,
			Status:   200,
			Timeout:  web.QuickTimeout,
			Endpoint: web.NewStream[loginQuery, web.Page](d.showLogin),
		},
		{
			Method:   http.MethodPost,
			Path:     "/login",
			ID:       "login",
			Summary:  "Begin an operator's session: a cookie, and the way to the page",
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
	}
}

type loginQuery struct {
	Next string `json:"-" form:"next" doc:"the page to show after the login"`
}

// loginForm documents the form; a form is not JSON and is read by hand.
type loginForm struct {
	web.OptionalBody
	web.FormBody
	Token string `json:"token" doc:"the operator's token"`
	Next  string `json:"next" doc:"the page to show after the login"`
}

type logoutForm struct{ web.OptionalBody }

type loginView struct{ Next, Problem, Closed, Nonce string }

func (d Deps) showLogin(c *gin.Context, in *loginQuery) error {
	d.showLoginAs(c, http.StatusOK, loginView{Next: safeRedirectPath(in.Next)})
	return nil
}

func (d Deps) showLoginAs(c *gin.Context, status int, v loginView) {
	if len(d.Operators) == 0 {
		v.Closed = "No operators are configured here (ADMIN_TOKEN): on this machine, pages need no login."
	}
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
	ctx, address := c.Request.Context(), c.ClientIP()
	if err := http.NewCrossOriginProtection().Check(c.Request); err != nil {
		return web.ForeignOrigin.Wrap(err, "A page of another origin may not do this.")
	}
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxLogin)
	if err := c.Request.ParseForm(); err != nil {
		return web.InvalidRequest.Wrap(err, "The form could not be read.")
	}
	next := safeRedirectPath(c.Request.PostForm.Get("next"))
	operator, ok := d.auth.Operator(strings.TrimSpace(c.Request.PostForm.Get("token")))
	if !ok {
		if !d.loginGate.Fail(address) {
			c.Header("Retry-After", "60")
			c.Set(web.CodeKey, string(web.TooManyGuesses))
			d.showLoginAs(c, http.StatusTooManyRequests, loginView{
				Next:    next,
				Problem: "Too many failed attempts: wait a minute.",
			})
			return nil
		}
		if err := d.Tokens.RecordAuthFailure(ctx, "/login", address, "unknown operator token"); err != nil {
			web.LoggerOf(c).WarnContext(ctx, "a refused attempt was not recorded", "error", err)
		}
		c.Set(web.CodeKey, string(web.InvalidToken))
		d.showLoginAs(c, http.StatusUnauthorized, loginView{Next: next, Problem: "This is not an operator's token."})
		return nil
	}
	cookie, begun, err := d.auth.Sessions.NewCookie(operator, address)
	if err != nil {
		return err
	}
	if err := d.auth.Sessions.Store.SessionBegun(ctx, begun); err != nil {
		return err
	}
	http.SetCookie(c.Writer, web.SessionCookie(c.Request, cookie, begun.ExpiresAt))
	if next == "" {
		if next = "/docs"; d.Web != nil {
			next = "/"
		}
	}
	c.Redirect(http.StatusSeeOther, next)
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
		if err := d.auth.Sessions.Store.EndSession(c.Request.Context(), found.ID, found.Operator,
			time.Unix(found.Expires, 0)); err != nil {
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

// safeRedirectPath is a path of this server, or nothing: a login does not send anybody
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
	if wantsPage && len(d.Operators) > 0 {
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
