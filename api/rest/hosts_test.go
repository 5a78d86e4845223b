package rest_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
)

// TestOnlyOurHostsAreAnswered: a page of another site whose name was made to resolve to
// this machine gets nothing, not even where operators need no token.
func TestOnlyOurHostsAreAnswered(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	h := s.another(t, func(d *rest.Deps) {
		d.Operators, d.OpenToOperators, d.Hosts = nil, true, []string{"localhost", "127.0.0.1", "::1"}
	})
	ask := func(host, path string) int {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		req.Host = host
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		return rec.Code
	}
	for _, host := range []string{"localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "[::1]",
		"LOCALHOST:5000"} {
		require.Equal(t, 200, ask(host, "/api/admin/clients"), host)
	}
	for _, host := range []string{"evil.example", "evil.example:5000", "localhost.evil.example",
		"127.0.0.1.evil.example", "", "10.0.0.1:5000"} {
		require.Equal(t, 421, ask(host, "/api/admin/clients"), host)
		require.Equal(t, 421, ask(host, "/openapi.json"), host)
		require.Equal(t, 200, ask(host, "/health"), "a balancer asks by address: %s", host)
	}
}

// TestForwardedHeadersOfStrangersAreWarnedAbout once, and count for nothing.
func TestForwardedHeadersOfStrangersAreWarnedAbout(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	var log bytes.Buffer
	h := s.another(t, func(d *rest.Deps) {
		d.Log, d.TrustedProxies = slog.New(slog.NewTextHandler(&log, nil)), []string{"198.51.100.0/24"}
	})
	ask := func(from string) {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/health", http.NoBody)
		req.RemoteAddr = from
		req.Header.Set("X-Forwarded-For", "203.0.113.9")
		h.ServeHTTP(httptest.NewRecorder(), req)
	}
	ask("198.51.100.7:1")
	require.NotContains(t, log.String(), "TRUSTED_PROXIES", "this one is trusted")
	ask("192.0.2.1:1")
	ask("192.0.2.2:1")
	require.Equal(t, 1, strings.Count(log.String(), "TRUSTED_PROXIES"), log.String())
}

// TestStreamsEndWithTheirCredentials: streams end when their token is replaced, their
// client is deactivated or their operator logs out.
func TestStreamsEndWithTheirCredentials(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		token func(s *stack) (header, value string)
		ends  func(t *testing.T, s *stack, value string)
	}{
		"a regenerated token": {
			func(s *stack) (string, string) { return "Authorization", "Bearer " + s.acme },
			func(t *testing.T, s *stack, _ string) {
				require.Equal(t, 200, s.call(operatorToken, "POST", "/api/admin/clients/c1/regenerate-token", "").
					status)
			},
		},
		"a deactivated client": {
			func(s *stack) (string, string) { return "Authorization", "Bearer " + s.acme },
			func(_ *testing.T, s *stack, _ string) {
				s.exec(`UPDATE clients SET status = 'inactive' WHERE id = 'c1'`)
			},
		},
		"a revoked credential": {
			func(s *stack) (string, string) { return "Authorization", "Bearer " + s.tenantToken("wall", "read") },
			func(_ *testing.T, s *stack, _ string) { s.exec(`UPDATE credentials SET revoked_at = now()`) },
		},
		"a logout": {
			func(s *stack) (string, string) { return "Cookie", s.login(t) },
			func(t *testing.T, s *stack, cookie string) {
				require.Equal(t, 200, submit(t, s.handler, "/logout",
					url.Values{}, func(r *http.Request) { r.Header.Set("Cookie", cookie) }).Code)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			server := httptest.NewServer(s.handler)
			t.Cleanup(server.Close)
			header, value := tc.token(s)
			ctx, cancel := context.WithCancel(t.Context())
			t.Cleanup(cancel)
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/client/c1/events", http.NoBody)
			require.NoError(t, err)
			req.Header.Set(header, value)
			res, err := server.Client().Do(req)
			require.NoError(t, err)
			t.Cleanup(func() { _ = res.Body.Close() })
			require.Equal(t, 200, res.StatusCode)
			buf := make([]byte, 64)
			_, err = io.ReadAtLeast(res.Body, buf, len("retry: 2000\n\n: beat\n\n"))
			require.NoError(t, err, "it goes on while its credentials are good")
			tc.ends(t, s, value)
			_, err = io.Copy(io.Discard, res.Body)
			require.NoError(t, err, "the server ended it")
		})
	}
}
