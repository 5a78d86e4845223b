package rest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// untouched fails the test when a body is read that should not be.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read before the caller was known")
	return 0, io.EOF
}

// TestTheHeaderIsJudgedBeforeTheBody: a caller without a good token makes nothing be
// read, and without a header an agent's body is small.
func TestTheHeaderIsJudgedBeforeTheBody(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	send := func(token, path string, body io.Reader, length int64) int {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, body)
		req.ContentLength = length
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		rec := httptest.NewRecorder()
		s.handler.ServeHTTP(rec, req)
		return rec.Code
	}
	const beat, page = "/api/agents/a1/heartbeat", "/api/client/agents/a1/toggle-enabled"

	require.Equal(t, 401, send("token-wrong", beat, untouched{t}, 1<<10))
	require.Equal(t, 401, send("token-wrong", page, untouched{t}, 1<<10))
	require.Equal(t, 401, send("", page, untouched{t}, 1<<10), "only agents have their token in the body")
	require.Equal(t, 403, send(s.acme, "/api/admin/clients/create", untouched{t}, 1<<10))
	require.Equal(t, 413, send("", beat, untouched{t}, 17<<10))
	require.Equal(t, 413, send(s.acme, beat, untouched{t}, 1<<30))
	require.Equal(t, 401, send("token-wrong", "/api/admin/ml-models/upload", untouched{t}, 1<<30))
	large := `{"more":"` + strings.Repeat("x", 20<<10) + `"}`
	require.Equal(t, 200, send(s.acme, beat, strings.NewReader(large), int64(len(large))))
	require.Equal(t, 413, send("", beat, strings.NewReader(`{"client_token":"`+s.acme+`",`+large[1:]), -1))
	small := `{"client_token":"` + s.acme + `","more":"` + strings.Repeat("x", 15<<10) + `"}`
	require.Equal(t, 200, send("", beat, strings.NewReader(small), -1))
}
