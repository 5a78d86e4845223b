package rest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/control"
	"spotkeeper/api/rest"
)

// TestTheTemporalUIMayAsk: a page of the Temporal UI's origin may decode with an operator's
// session, and calls nothing else.
func TestTheTemporalUIMayAsk(t *testing.T) {
	t.Parallel()
	h, err := rest.New(rest.Deps{Payloads: &control.Payloads{UI: "https://temporal.example.com/namespaces"}})
	require.NoError(t, err)
	ask := func(path, origin string) http.Header {
		r := httptest.NewRequest(http.MethodOptions, path, strings.NewReader(""))
		r.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result().Header
	}
	const ui = "https://temporal.example.com"
	for _, c := range []struct{ path, origin, allowed, credentials string }{
		{control.DecodePath, ui, ui, "true"},
		{control.DecodePath, "https://elsewhere.example.com", "", ""},
		{control.DecodePath, "", "", ""},
		{"/api/admin/agents", ui, "", ""},
	} {
		got := ask(c.path, c.origin)
		require.Equal(t, c.allowed, got.Get("Access-Control-Allow-Origin"), c)
		require.Equal(t, c.credentials, got.Get("Access-Control-Allow-Credentials"), c)
	}
}
