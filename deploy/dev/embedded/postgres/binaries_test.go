package postgres

import (
	"archive/zip"
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The library's own scratch server fails here, as it does for root: the
// programs in the archive do nothing. What counts is that they arrive.
func TestMissingBinariesAreDownloadedOnce(t *testing.T) {
	t.Parallel()
	programs, err := os.ReadFile(filepath.Join("testdata", "programs.txz"))
	require.NoError(t, err)
	var jar bytes.Buffer
	archive := zip.NewWriter(&jar)
	entry, err := archive.Create("postgres.txz")
	require.NoError(t, err)
	_, err = entry.Write(programs)
	require.NoError(t, err)
	require.NoError(t, archive.Close())
	repository := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if filepath.Ext(r.URL.Path) != ".jar" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(jar.Bytes())
	}))
	dir := filepath.Join(t.TempDir(), "binaries")

	b, err := download(deadline(t), dir, repository.URL)
	require.NoError(t, err)
	require.FileExists(t, b.Path("initdb"))
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() // the library's
	repository.Close()

	again, err := download(deadline(t), dir, repository.URL)
	require.NoError(t, err, "the second time asks nobody")
	require.Equal(t, b, again)
}

func TestAFailedDownloadSaysWhatElseHelps(t *testing.T) {
	t.Parallel()
	repository := httptest.NewServer(http.NotFoundHandler())
	defer repository.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections() // the library's

	_, err := download(deadline(t), filepath.Join(t.TempDir(), "binaries"), repository.URL)

	require.ErrorContains(t, err, "install the postgresql package")
}
