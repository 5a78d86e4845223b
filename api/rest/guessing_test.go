package rest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
)

// TestGoodCallersAreNeverSlowedDown: an attacker sends 1,000 bad tokens a second, from one
// address, from 1,000, and from all of a /64, for three seconds of the process's clock.
// Callers of every kind with good credentials, from the attacker's address and from one
// that was never seen, are served as before, by a process that has just started too.
func TestGoodCallersAreNeverSlowedDown(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]func(n int) string{
		"one address":     func(int) string { return "192.0.2.7:1" },
		"1,000 addresses": func(n int) string { return fmt.Sprintf("10.1.%d.%d:1", n%1000/250, n%250) },
		"one /64":         func(n int) string { return fmt.Sprintf("[2001:db8:1:2::%x]:1", n) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			cookie, tenant := s.login(t), s.tenantToken("wall", "read")
			var clock atomic.Int64
			clock.Store(time.Now().UnixNano())
			begin := func() { // a process without known callers
				d := s.deps
				d.Now = func() time.Time { return time.Unix(0, clock.Load()) }
				var err error
				s.handler, err = rest.New(d)
				require.NoError(t, err)
			}
			ask := func(from, method, path, token, body string, more ...string) int {
				req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
				req.RemoteAddr = from
				if token != "" {
					req.Header.Set("Authorization", "Bearer "+token)
				}
				for _, cookie := range more {
					req.Header.Set("Cookie", cookie)
				}
				rec := httptest.NewRecorder()
				s.handler.ServeHTTP(rec, req)
				return rec.Code
			}
			served := func(from string) {
				t.Helper()
				const beat = "/api/agents/a1/heartbeat"
				require.Equal(t, 200, ask(from, "POST", beat, s.acme, `{}`), "an agent")
				require.Equal(t, 200, ask(from, "POST", beat, "", `{"client_token":"`+s.acme+`"}`),
					"an agent whose token is in the body")
				require.Equal(t, 200, ask(from, "GET", "/api/agents/b1/config", s.beta, ""), "another tenant's agent")
				require.Equal(t, 200, ask(from, "GET", "/api/client/c1", tenant, ""), "a tenant")
				require.Equal(t, 200, ask(from, "GET", "/api/admin/clients", operatorToken, ""), "an operator")
				require.Equal(t, 200, ask(from, "GET", "/api/session", "", "", cookie), "a browser")
				login := submit(t, s.handler, "/login", url.Values{"token": {operatorToken}},
					func(r *http.Request) { r.RemoteAddr = from })
				require.Equal(t, http.StatusSeeOther, login.Code, "a login")
			}
			begin()
			statuses := map[int]int{}
			paths := []string{"/api/agents/a1/config", "/api/client/c1", "/api/admin/clients"}
			for n := range 3000 {
				clock.Add(int64(time.Millisecond))
				statuses[ask(address(n), "GET", paths[n%3], fmt.Sprintf("token-%d", n), "")]++
				if n%100 == 0 { // wrong logins fill their own gate
					submit(t, s.handler, "/login", url.Values{"token": {"token-wrong"}},
						func(r *http.Request) { r.RemoteAddr = address(n) })
				}
				switch {
				case n%500 == 499:
					served(address(n))
					served(fmt.Sprintf("198.51.100.%d:1", n/500))
				case n == 1750:
					begin()
					served(address(n))
				}
			}
			require.Equal(t, 3000, statuses[401]+statuses[429], "%v", statuses)
			require.Greater(t, statuses[429], 1500, "%v", statuses)
		})
	}
}
