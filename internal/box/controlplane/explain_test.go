package controlplane_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/box/controlplane"
)

// serve starts a server that logs nothing: failed handshakes are the point.
func serve(t *testing.T, tls bool, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if tls {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// TestExplain: what a person meets who has written the address wrong, or whose network is in
// the way, is named with what to do.
func TestExplain(t *testing.T) {
	t.Parallel()
	well := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"status":"ok"}`)) }
	answers := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		}
	}
	secure, plain := serve(t, true, well), serve(t, false, well)
	closed, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for name, c := range map[string]struct {
		base  string
		found string
		mend  string
	}{
		"unknown authority": {secure.URL, "signed by an authority", "ca_file"},
		"TLS to HTTP":       {strings.Replace(plain.URL, "http", "https", 1), "does not speak TLS", "http://"},
		"HTTP to TLS":       {strings.Replace(secure.URL, "https", "http", 1), "400", "https://"},
		"wrong port":        {"http://" + closed.Addr().String(), "nothing listens", "port"},
		"wrong name":        {"http://no-such-host.invalid", "is not known here", "name service"},
		"a page": {
			serve(t, false, answers(200, "<html>welcome</html>")).URL, "not as a control plane", "without a path",
		},
		"a page of no use": {serve(t, false, answers(404, "<html>no</html>")).URL, "answers 404", "without a path"},
		"redirect": {serve(t, false, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.test/", http.StatusMovedPermanently)
		}).URL, "https://elsewhere.test/", "address that serves the api"},
		"no targets": {serve(t, false, answers(503, "<html>unavailable</html>")).URL, "503", "targets"},
		"refused": {
			serve(t, false, answers(401, `{"error":"Invalid token.","code":"auth.invalid_token"}`)).URL,
			"401 auth.invalid_token: Invalid token", "enrol",
		},
		"not for this": {
			serve(t, false, answers(403, `{"error":"No.","code":"credentials.not_for_this"}`)).URL, "403", "for this agent_id",
		},
		"join rules": {
			serve(t, false, answers(401, `{"error":"The role is not on the list.","code":"join.refused"}`)).URL,
			"role is not on the list", "join-rules",
		},
		"in trouble": {
			serve(t, false, answers(503, `{"error":"Later.","code":"postgres.unavailable"}`)).URL, "503", "/ready",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := client(t, controlplane.Options{Base: c.base}).Health(t.Context())
			require.Error(t, err)
			got := controlplane.Explain(c.base, err)
			require.Contains(t, got.Found, c.found)
			require.Contains(t, got.Mend, c.mend)
			require.ErrorIs(t, got, err)
			require.NotContains(t, got.Error(), `Get "`, "no Go error text")
		})
	}

	// With the authority's certificate, and by its name, the same server is reached.
	authority := filepath.Join(t.TempDir(), "ca.pem")
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	require.NoError(t, os.WriteFile(authority, content, 0o600))
	require.NoError(t, client(t, controlplane.Options{Base: secure.URL, CAFile: authority}).Health(t.Context()))
	other := strings.Replace(secure.URL, "127.0.0.1", "localhost", 1)
	err = client(t, controlplane.Options{Base: other, CAFile: authority}).Health(t.Context())
	require.Contains(t, controlplane.Explain(other, err).Found, "not one for localhost")
}
