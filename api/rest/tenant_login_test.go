package rest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
)

// tenantLogin returns the Cookie header of a tenant's browser.
func (s *stack) tenantLogin(t *testing.T, token string) string {
	t.Helper()
	rec := submit(t, s.handler, "/login", url.Values{"token": {token}}, nil)
	require.Equal(t, http.StatusSeeOther, rec.Code, rec.Body)
	cookie, _, _ := strings.Cut(rec.Header().Get("Set-Cookie"), ";")
	return cookie
}

// credential makes a credential of client c1.
func (s *stack) credential(t *testing.T, body string) (id, token string) {
	t.Helper()
	made := s.call(operatorToken, "POST", "/api/client/c1/credentials", body)
	require.Equal(t, 201, made.status, made.raw)
	return made.body["id"].(string), made.body["token"].(string)
}

func TestATenantLogsIn(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	id, token := s.credential(t, `{"kind":"tenant","name":"desk","scope":"operate"}`)
	cookie := s.tenantLogin(t, token)
	csrf := func(r *http.Request) { r.Header.Set("X-Spotkeeper-CSRF", "1"); r.Body = http.NoBody }
	get := func(path string) int { return browse(t, s.handler, http.MethodGet, path, cookie, nil).Code }

	require.Equal(t, 200, get("/api/client/c1"))
	require.Equal(t, 200, get("/api/fleet"))
	require.NotContains(t, browse(t, s.handler, http.MethodGet, "/api/fleet", cookie, nil).Body.String(), `"b1"`)
	require.Equal(t, 404, get("/api/client/c2"), "another tenant's")
	require.Equal(t, 404, get("/api/client/agents/b1/explain"))
	require.Equal(t, 403, get("/api/admin/clients"), "operators' own")
	require.Equal(t, 401, browse(t, s.handler, http.MethodPost, "/api/agents/a1/heartbeat", cookie, nil).Code,
		"a browser is no agent")

	const pause = "/api/client/agents/a1/pause"
	require.Equal(t, 200, browse(t, s.handler, http.MethodPost, pause, cookie, csrf).Code)
	require.Equal(t, 403, browse(t, s.handler, http.MethodPost, pause, cookie, nil).Code, "without the header of our pages")
	require.Equal(t, 403, browse(t, s.handler, http.MethodPost, "/api/client/agents/a1/toggle-enabled", cookie,
		func(r *http.Request) { r.Header.Set("Origin", "https://elsewhere.example") }).Code)
	require.Equal(t, 403, browse(t, s.handler, http.MethodPost, "/api/client/c1/credentials", cookie, csrf).Code,
		"the scope of its token is that of the session")
	require.Equal(t, "client:Acme/desk", s.value(`SELECT actor FROM events WHERE type = 'tenant_login'`))
	require.Equal(t, "client "+id, s.value(
		`SELECT actor_kind || ' ' || token_id FROM events WHERE type = 'tenant_login'`))
	listed := s.call(guestToken, "GET", "/api/admin/sessions", "").body["sessions"].([]any)
	require.Equal(t, "Acme", listed[0].(map[string]any)["client_name"])

	require.Equal(t, 200, browse(t, s.handler, http.MethodPost, "/logout", cookie, nil).Code)
	require.Equal(t, 401, browse(t, s.another(t, nil), http.MethodGet, "/api/client/c1", cookie, nil).Code, "everywhere")
	require.Equal(t, "client:Acme/desk", s.value(`SELECT actor FROM events WHERE type = 'tenant_logout'`))
}

// TestATenantsSessionEnds with what it was begun with, and by an operator.
func TestATenantsSessionEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *stack, id string){
		"the credential is revoked": func(s *stack, id string) {
			s.call(operatorToken, "DELETE", "/api/client/c1/credentials/"+id, "").holds(s.t.(*testing.T), 200, `{}`)
		},
		"the credential expires":    func(s *stack, id string) { s.exec(`UPDATE credentials SET expires_at = now()`) },
		"the client is deactivated": func(s *stack, id string) { s.exec(`UPDATE clients SET status = 'inactive'`) },
		"the credential is gone":    func(s *stack, id string) { s.exec(`DELETE FROM credentials`) },
		"an operator ends it": func(s *stack, id string) {
			session := s.value(`SELECT id FROM operator_sessions WHERE client_id = 'c1'`)
			s.call(operatorToken, "DELETE", "/api/admin/sessions/"+session, "").holds(s.t.(*testing.T), 200, `{}`)
			require.Equal(s.t, "c1", s.value(`SELECT client_id FROM events WHERE type = 'tenant_session_ended'`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			id, token := s.credential(t, `{"kind":"tenant","name":"desk","scope":"read"}`)
			cookie := s.tenantLogin(t, token)
			ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
			defer stop()
			req := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/client/c1/events", nil)
			req.Header.Set("Cookie", cookie)
			ended := make(chan int, 1)
			rec := httptest.NewRecorder()
			go func() {
				s.handler.ServeHTTP(rec, req)
				ended <- rec.Code
			}()
			require.Equal(t, 200, browse(t, s.handler, http.MethodGet, "/api/client/c1", cookie, nil).Code)
			end(s, id)
			require.Equal(t, 401, browse(t, s.handler, http.MethodGet, "/api/client/c1", cookie, nil).Code)
			<-ended
			require.NoError(t, ctx.Err(), "its stream ends with it")
		})
	}
}

// TestTheOldTokenLogsInWhereItMayDoAll: a session is worth what its token is.
func TestTheOldTokenLogsInWhereItMayDoAll(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	cookie := s.tenantLogin(t, s.acme)
	get := func(cookie string) int {
		return browse(t, s.handler, http.MethodGet, "/api/client/c1", cookie, nil).Code
	}
	require.Equal(t, 200, get(cookie))
	s.exec(`UPDATE clients SET legacy_token = 'agent' WHERE id = 'c1'`)
	require.Equal(t, 401, get(cookie))
	require.Equal(t, 403, submit(t, s.handler, "/login", url.Values{"token": {s.acme}}, nil).Code)
	s.exec(`UPDATE clients SET legacy_token = 'all' WHERE id = 'c1'`)
	require.Equal(t, 200, get(cookie))
	s.call(operatorToken, "POST", "/api/admin/clients/c1/regenerate-token", "").holds(t, 200, `{}`)
	require.Equal(t, 401, get(cookie), "another token is in its place")
}

// TestMachinesDoNotLogIn: their tokens say what they are for.
func TestMachinesDoNotLogIn(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	_, enrolment := s.credential(t, `{"kind":"enrolment"}`)
	rec := submit(t, s.handler, "/login", url.Values{"token": {enrolment}}, nil)
	require.Equal(t, 403, rec.Code)
	require.Contains(t, rec.Body.String(), "for machines")
	require.Empty(t, rec.Header().Get("Set-Cookie"))

	// A cookie that names another client is refused, and an api without operators has tenants too.
	_, token := s.credential(t, `{"kind":"tenant","name":"desk","scope":"read"}`)
	open := s.another(t, func(d *rest.Deps) { d.Operators, d.OpenToOperators = nil, true })
	cookie := s.tenantLogin(t, token)
	require.Equal(t, 403, browse(t, open, http.MethodGet, "/api/admin/clients", cookie, nil).Code)
	require.Equal(t, 200, browse(t, open, http.MethodGet, "/api/client/c1", cookie, nil).Code)
}
