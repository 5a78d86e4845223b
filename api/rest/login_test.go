package rest_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/internal/domain/operators"
)

// submit sends the form of the login page as a browser does.
func submit(
	t *testing.T,
	h http.Handler,
	path string,
	form url.Values,
	dress func(*http.Request),
) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "http://example.com")
	if dress != nil {
		dress(req)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

// login returns the Cookie header of an operator's browser.
func (s *stack) login(t *testing.T) string {
	t.Helper()
	rec := submit(t, s.handler, "/login", url.Values{"token": {operatorToken}}, nil)
	require.Equal(t, http.StatusSeeOther, rec.Code, rec.Body)
	cookie, _, _ := strings.Cut(rec.Header().Get("Set-Cookie"), ";")
	require.NotEmpty(t, cookie)
	return cookie
}

// another is the API with other settings, over the same database: another process.
func (s *stack) another(t *testing.T, change func(*rest.Deps)) http.Handler {
	t.Helper()
	d := s.deps
	d.Metrics = nil
	if change != nil {
		change(&d)
	}
	h, err := rest.New(d)
	require.NoError(t, err)
	return h
}

func browse(
	t *testing.T,
	h http.Handler,
	method, path, cookie string,
	dress func(*http.Request),
) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(`{"enabled":false}`))
	req.Header.Set("Cookie", cookie)
	req.Header.Set("Origin", "http://example.com")
	if dress != nil {
		dress(req)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

func TestOperatorsLogIn(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const admin = "/api/admin/clients"

	page := browse(t, s.handler, http.MethodGet, "/login?next=/pages/1", "", nil)
	require.Equal(t, 200, page.Code)
	require.Contains(t, page.Body.String(), `value="/pages/1"`)
	require.Contains(t, page.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'")

	rec := submit(t, s.handler, "/login", url.Values{"token": {operatorToken}, "next": {"/pages/1"}}, nil)
	require.Equal(t, "/pages/1", rec.Header().Get("Location"))
	set := rec.Header().Get("Set-Cookie")
	for _, attribute := range []string{"HttpOnly", "SameSite=Strict", "Path=/", "Expires="} {
		require.Contains(t, set, attribute)
	}
	require.NotContains(t, set, "Secure", "plain http on this machine")
	forwarded := submit(t, s.handler, "/login",
		url.Values{"token": {operatorToken}}, func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https") })
	require.Contains(t, forwarded.Header().Get("Set-Cookie"), "; Secure")
	overTLS := submit(t, s.handler, "/login",
		url.Values{"token": {operatorToken}}, func(r *http.Request) { r.TLS = &tls.ConnectionState{} })
	require.Contains(t, overTLS.Header().Get("Set-Cookie"), "; Secure")
	require.Equal(t, "operator:ops", s.value(`SELECT actor FROM events WHERE type = 'operator_login' LIMIT 1`))

	cookie, _, _ := strings.Cut(set, ";")
	other := s.another(t, nil)
	require.Equal(t, 200, browse(t, s.handler, http.MethodGet, admin, cookie, nil).Code)
	require.Equal(t, 200, browse(t, other, http.MethodGet, admin, cookie, nil).Code, "every process knows it")
	require.Equal(t, 200, browse(t, other, http.MethodPost, "/api/client/agents/a1/toggle-enabled", cookie, nil).Code)
	require.Equal(t, "operator:ops", s.value(`SELECT actor FROM events WHERE type = 'agent_toggled'`))

	// A logout ends it everywhere, not in this browser alone.
	require.Equal(t, 403, browse(t, s.handler, http.MethodPost, "/logout",
		cookie, func(r *http.Request) { r.Header.Set("Origin", "https://elsewhere.example") }).Code)
	out := browse(t, s.handler, http.MethodPost, "/logout", cookie, nil)
	require.Equal(t, 200, out.Code)
	require.Contains(t, out.Header().Get("Set-Cookie"), "Max-Age=0")
	require.Equal(t, 401, browse(t, other, http.MethodGet, admin, cookie, nil).Code)
	require.Equal(t, "1", s.value(`SELECT count(*)::text FROM events WHERE type = 'operator_logout'`))
	require.Equal(t, 200, browse(t, other, http.MethodPost, "/logout", cookie, nil).Code, "and again")
}

// TestOverTLSASessionIsOfThisHost: where the browser uses TLS the cookie has the prefix that
// keeps pages of sibling domains from setting it, and under another name it is no session.
func TestOverTLSASessionIsOfThisHost(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	overTLS := func(r *http.Request) {
		r.Header.Set("X-Forwarded-Proto", "https")
		r.Header.Set("Origin", "https://example.com")
	}
	rec := submit(t, s.handler, "/login", url.Values{"token": {operatorToken}}, overTLS)
	require.Equal(t, http.StatusSeeOther, rec.Code, rec.Body)
	set, err := http.ParseSetCookie(rec.Header().Get("Set-Cookie"))
	require.NoError(t, err)
	require.Equal(t, "__Host-spotkeeper_session", set.Name)
	require.True(t, set.Secure && set.HttpOnly && set.Path == "/" && set.Domain == "", set)
	for _, c := range []struct {
		cookie string
		want   int
	}{
		{set.Name + "=" + set.Value, 200},
		{"spotkeeper_session=" + set.Value, 401},
		{"spotkeeper_session=" + set.Value + "; __Host-spotkeeper_session=x", 401},
	} {
		got := browse(t, s.handler, "GET", "/api/admin/clients", c.cookie, overTLS)
		require.Equal(t, c.want, got.Code, c.cookie)
	}
}

func TestSessionsEndByThemselves(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const admin = "/api/admin/clients"
	cookie := s.login(t)

	for name, change := range map[string]func(*rest.Deps){
		"its time is over": func(d *rest.Deps) {
			d.Now = func() time.Time {
				return time.Now().
					Add(13 * time.Hour)
			}
		},
		"the operator has a new one": func(d *rest.Deps) {
			d.Operators = map[string]operators.Account{"ops": {Token: "another-token-0123456789", Role: operators.Admin}}
		},
		"the operator is gone": func(d *rest.Deps) {
			d.Operators = map[string]operators.Account{"else": {Token: operatorToken, Role: operators.Admin}}
		},
		"another deployment": func(d *rest.Deps) {
			d.SessionKeys = [][]byte{
				[]byte("another key another key another!")}
		},
	} {
		require.Equal(t, 401, browse(t, s.another(t, change), http.MethodGet, admin, cookie, nil).Code, name)
	}
	for _, broken := range []string{cookie + "x", cookie[:len(cookie)-4], "spotkeeper_session=",
		"spotkeeper_session=.", "spotkeeper_session=bnVsbA.AA"} {
		require.Equal(t, 401, browse(t, s.handler, http.MethodGet, admin, broken, nil).Code, broken)
	}
	require.Equal(t, 200, browse(t, s.handler, http.MethodGet, admin, cookie, nil).Code)
}

// TestSessionsEndWhenTheyAreIdle, are listed, and are ended by another operator.
func TestSessionsEndWhenTheyAreIdle(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	now := time.Now()
	h := s.another(t, func(d *rest.Deps) { d.Now = func() time.Time { return now } })
	cookie, other := s.login(t), s.login(t)
	asks := func(cookie string) int { return browse(t, h, http.MethodGet, "/api/admin/clients", cookie, nil).Code }

	for range 3 {
		now = now.Add(29 * time.Minute)
		require.Equal(t, 200, asks(cookie), "it is used again and again")
	}
	require.Equal(t, 401, asks(other), "this one was not")
	now = now.Add(31 * time.Minute)
	require.Equal(t, 401, asks(cookie))

	third := s.login(t)
	listed := s.call(operatorToken, "GET", "/api/admin/sessions", "")
	require.Equal(t, 200, listed.status)
	id := listed.body["sessions"].([]any)[0].(map[string]any)["id"].(string)
	require.Equal(t, 200, browse(t, s.handler, http.MethodGet, "/api/admin/clients", third, nil).Code)
	s.call(operatorToken, "DELETE", "/api/admin/sessions/"+id, "").holds(t, 200, `{"success":true}`)
	require.Equal(t, 401, browse(t, s.handler, http.MethodGet, "/api/admin/clients", third, nil).Code)
	s.call(operatorToken, "DELETE", "/api/admin/sessions/none", "").holds(t, 404, `{"code":"sessions.not_found"}`)
}

func TestLoginsAreLimited(t *testing.T) {
	t.Parallel()
	s := newStack(t)

	wrong := submit(t, s.handler, "/login", url.Values{"token": {"operator-token-of-nobody"}}, nil)
	require.Equal(t, 401, wrong.Code)
	require.Contains(t, wrong.Body.String(), "not an operator")
	require.Empty(t, wrong.Header().Get("Set-Cookie"))
	require.Equal(t, 401, submit(t, s.handler, "/login", url.Values{}, nil).Code)
	require.Equal(t, "auth_failed", s.value(`SELECT type FROM events WHERE message LIKE '%/login%'`))
	for range 10 {
		submit(t, s.handler, "/login", url.Values{"token": {"wrong"}}, nil)
	}
	limited := submit(t, s.handler, "/login", url.Values{"token": {"wrong"}}, nil)
	require.Equal(t, 429, limited.Code)
	require.NotEmpty(t, limited.Header().Get("Retry-After"))
	require.Equal(t, 303, submit(t, s.handler, "/login", url.Values{"token": {operatorToken}}, nil).Code,
		"the right one does not wait for the wrong ones")
	elsewhere := submit(t, s.handler, "/login",
		url.Values{"token": {operatorToken}}, func(r *http.Request) { r.RemoteAddr = "198.51.100.7:1" })
	require.Equal(t, 303, elsewhere.Code)
	require.Equal(t, 403, submit(t, s.handler, "/login",
		url.Values{"token": {operatorToken}}, func(r *http.Request) {
			r.Header.Set("Origin",
				"https://elsewhere.example")
		}).Code)

	for _, next := range []string{"https://elsewhere.example/", "//elsewhere.example", `/\elsewhere.example`,
		"elsewhere"} {
		rec := submit(t, s.handler, "/login",
			url.Values{"token": {operatorToken}, "next": {
				next}}, func(r *http.Request) { r.RemoteAddr = "198.51.100.7:1" })
		require.Equal(t, "/docs", rec.Header().Get("Location"), next)
	}
}

// TestThePageWantsALogin serves a page whose own code sends no credentials.
func TestThePageWantsALogin(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	web := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(
			[]byte("page " + r.URL.Path))
	})
	withPage := s.another(t, func(d *rest.Deps) { d.Web = web })
	html := func(r *http.Request) { r.Header.Set("Accept", "text/html,*/*") }
	cookie := s.login(t)

	sent := browse(t, withPage, http.MethodGet, "/clients/7?tab=2", "", html)
	require.Equal(t, 303, sent.Code)
	require.Equal(t, "/login?next=%2Fclients%2F7%3Ftab%3D2", sent.Header().Get("Location"))
	require.Equal(t, "page /clients/7",
		browse(t, withPage, http.MethodGet, "/clients/7?tab=2", cookie, html).Body.String())
	require.Equal(t, "page /assets/a.js", browse(t, withPage, http.MethodGet, "/assets/a.js", "", nil).Body.String(),
		"its files are no secret")
	require.Equal(t, "/", submit(t, withPage, "/login", url.Values{"token": {operatorToken}}, nil).Header().
		Get("Location"))
	for _, path := range []string{"/api", "/api/", "/api/nothing", "/api/clients/index.html"} {
		rec := browse(t, withPage, http.MethodGet, path, cookie, html)
		require.Equal(t, 404, rec.Code, path)
		require.Contains(t, rec.Body.String(), `"request.no_such_route"`, path)
	}
	open := s.another(t, func(d *rest.Deps) { d.Web, d.Operators, d.OpenToOperators = web, nil, true })
	require.Equal(t, "page /", browse(t, open, http.MethodGet, "/", "", html).Body.String(),
		"on this machine nobody logs in")
	require.Contains(t, browse(t, open, http.MethodGet, "/login", "", html).Body.String(), "need no login")
}

func TestDocsAreServedFromHere(t *testing.T) {
	t.Parallel()
	s := newStack(t)

	page := browse(t, s.handler, http.MethodGet, "/docs", "", nil)
	require.Equal(t, 200, page.Code)
	require.Contains(t, page.Body.String(), "/openapi.json")
	require.NotRegexp(t, `(src|href)="(https?:)?//`, page.Body.String(), "nothing is loaded from elsewhere")
	require.Contains(t, page.Header().Get("Content-Security-Policy"), "default-src 'self'")
	for file, kind := range map[string]string{
		"swagger-ui.css":                  "text/css",
		"swagger-ui-bundle.js":            "javascript",
		"swagger-ui-standalone-preset.js": "javascript",
		"favicon-32x32.png":               "image/png",
	} {
		got := browse(t, s.handler, http.MethodGet, "/docs/"+file, "", nil)
		require.Equal(t, 200, got.Code, file)
		require.Contains(t, got.Header().Get("Content-Type"), kind, file)
		require.NotZero(t, got.Body.Len(), file)
		require.Contains(t, page.Body.String(), "/docs/"+file)
	}
	require.Equal(t, 404, browse(t, s.handler, http.MethodGet, "/docs/nothing.js", "", nil).Code)
}
