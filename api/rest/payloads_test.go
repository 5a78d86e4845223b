package rest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"spotkeeper/api/control"
	"spotkeeper/api/rest"
	"spotkeeper/internal/sealing"
	"spotkeeper/internal/temporalx"
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

// TestPayloadsAreDecoded in the form that the Temporal UI sends and reads.
func TestPayloadsAreDecoded(t *testing.T) {
	t.Parallel()
	keys, err := sealing.NewKeys(sealing.Key{ID: "one", Secret: make([]byte, sealing.KeySize)})
	require.NoError(t, err)
	codec := &temporalx.Codec{Box: keys.BoxFor("temporal"), Seal: true}
	sealed, err := codec.Converter().ToPayload("i-0123")
	require.NoError(t, err)
	body, err := protojson.Marshal(&common.Payloads{Payloads: []*common.Payload{sealed}})
	require.NoError(t, err)
	h, err := rest.New(rest.Deps{OpenToOperators: true, Payloads: &control.Payloads{Codec: codec}})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, control.DecodePath, strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	require.Contains(t, w.Body.String(), `{"payloads":[`)
	var opened common.Payloads
	require.NoError(t, protojson.Unmarshal(w.Body.Bytes(), &opened))
	require.Equal(t, `"i-0123"`, string(opened.GetPayloads()[0].GetData()))
}
