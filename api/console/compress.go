package console

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
)

// compressed serves scripts and styles gzipped. Each is compressed once, when it is
// asked for first.
type compressed struct {
	files fs.FS
	kept  sync.Map // content by name
}

// serve writes the compressed file and reports whether it did. It does not serve files that
// gain nothing, nor browsers that accept no gzip.
func (c *compressed) serve(w http.ResponseWriter, r *http.Request, name string) bool {
	kind := path.Ext(name)
	if kind != ".js" && kind != ".css" && kind != ".svg" {
		return false
	}
	w.Header().Set("Vary", "Accept-Encoding")
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") || r.Header.Get("Range") != "" {
		return false
	}
	body, err := c.read(name)
	if err != nil {
		return false
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(kind))
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) //nolint:gosec // a file of the build; the browser may have gone
	}
	return true
}

func (c *compressed) read(name string) ([]byte, error) {
	if known, ok := c.kept.Load(name); ok {
		return known.([]byte), nil
	}
	raw, err := fs.ReadFile(c.files, name)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(raw); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	c.kept.Store(name, out.Bytes())
	return out.Bytes(), nil
}
