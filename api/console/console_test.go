package console

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func get(t *testing.T, files fs.FS, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	handlerOf(files).ServeHTTP(w, r)
	return w
}

var built = fstest.MapFS{
	"index.html":         {Data: []byte("<title>console</title>")},
	"assets/index-1a.js": {Data: []byte("script()")},
	"unbuilt.txt":        {Data: []byte("here")},
}

func TestThePageIsServedForItsOwnPaths(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/", "/console/", "/fleet", "/console/agents/a1", "/console/../x"} {
		w := get(t, built, "GET", path)
		require.Equal(t, 200, w.Code, path)
		require.Contains(t, w.Body.String(), "console", path)
		require.Equal(t, "no-cache", w.Header().Get("Cache-Control"), path)
		require.Contains(t, w.Header().Get("Content-Security-Policy"), "script-src 'self';", path)
		require.NotContains(t, w.Header().Get("Content-Security-Policy"), "unsafe", path)
	}
}

func TestFilesAreKeptByBrowsersUntilTheirNameChanges(t *testing.T) {
	t.Parallel()
	w := get(t, built, "GET", "/console/assets/index-1a.js")
	require.Equal(t, 200, w.Code)
	require.Equal(t, "script()", w.Body.String())
	require.Contains(t, w.Header().Get("Cache-Control"), "immutable")
	require.Equal(t, 404, get(t, built, "GET", "/console/assets/index-of-the-last-version.js").Code)
	require.Equal(t, 405, get(t, built, "POST", "/console/").Code)
}

func TestScriptsAreSentCompressed(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/console/assets/index-1a.js", http.NoBody)
	r.Header.Set("Accept-Encoding", "br, gzip")
	w := httptest.NewRecorder()
	handlerOf(built).ServeHTTP(w, r)
	require.Equal(t, "gzip", w.Header().Get("Content-Encoding"))
	require.Contains(t, w.Header().Get("Content-Type"), "javascript")
	z, err := gzip.NewReader(w.Body)
	require.NoError(t, err)
	plain, err := io.ReadAll(z)
	require.NoError(t, err)
	require.Equal(t, "script()", string(plain))
}

// TestAProgramGetsNoPage: it would take one for an answer.
func TestAProgramGetsNoPage(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	handlerOf(built).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/health/", http.NoBody))
	require.Equal(t, 404, w.Code)
	require.JSONEq(t, `{"code": "request.no_such_route", "error": "There is no such path."}`, w.Body.String())
}

func TestAProgramWithoutABuildSaysHowToMakeOne(t *testing.T) {
	t.Parallel()
	w := get(t, fstest.MapFS{}, "GET", "/")
	require.Equal(t, 200, w.Code)
	require.Contains(t, w.Body.String(), "make console")
	require.Equal(t, 200, get(t, fstest.MapFS{}, "HEAD", "/").Code)
}
