// Package console serves the operators' web console, which is built into the program.
//
// The sources of the console are the TypeScript below src, and `make console` builds
// them into dist. A program that was compiled without a build serves a page that says
// how to make one, so that `go build ./...` needs no Node.
package console

import (
	"embed"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed all:dist
var embedded embed.FS

// Base is the path below which the console's files are, wherever its pages are served.
const Base = "/console/"

// policy allows what the build needs: files of this origin, and nothing inline.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

// Handler serves the files of the console below Base, and its one page for every other
// path: the page itself reads the path and shows what belongs to it.
func Handler() http.Handler {
	files, err := fs.Sub(embedded, "dist")
	if err != nil { // dist is embedded, so its name is good
		panic(err)
	}
	return handlerOf(files)
}

func handlerOf(files fs.FS) http.Handler {
	server := http.StripPrefix(strings.TrimSuffix(Base, "/"), http.FileServerFS(files))
	small := &compressed{files: files}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "The console is read with GET.", http.StatusMethodNotAllowed)
			return
		}
		if name, below := strings.CutPrefix(path.Clean(r.URL.Path), Base); below && isFile(files, name) {
			if strings.HasPrefix(name, "assets/") { // their names change with their content
				h.Set("Cache-Control", "public, max-age=31536000, immutable")
			}
			if !small.serve(w, r, name) {
				server.ServeHTTP(w, r)
			}
			return
		}
		if strings.HasPrefix(r.URL.Path, Base+"assets/") {
			http.NotFound(w, r) // of another version: a page instead would be taken for a script
			return
		}
		if r.URL.Path != "/" && r.URL.Path != Base && !strings.Contains(r.Header.Get("Accept"), "text/html") {
			refuse(w) // a program asks, which would take a page for an answer
			return
		}
		servePage(w, r, files)
	})
}

// refuse answers that there is no such path, as the API does.
func refuse(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w,
		`{"code":"request.no_such_route","error":"There is no such path."}`+"\n") // the caller may have gone
}

func isFile(files fs.FS, name string) bool {
	info, err := fs.Stat(files, name)
	return err == nil && !info.IsDir()
}

func servePage(w http.ResponseWriter, r *http.Request, files fs.FS) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	page, err := fs.ReadFile(files, "index.html")
	if err != nil {
		page = []byte(unbuilt)
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusOK) // a router that found no route may have prepared another status
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(page) // the browser may have gone
}

// unbuilt is the page of a program without a built console.
const unbuilt = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Spotkeeper: the console is not built</title></head>
<body>
<h1>The console is not built</h1>
<p>This program was compiled without the web console. In the repository, run <code>make console</code>, which needs Node 20.19 or later,
and compile again; <code>make run</code> and the Dockerfile do both.</p>
<p>The API works without it: <a href="/docs">its documentation</a>, <a href="/ready">the state of its dependencies</a>.</p>
</body>
</html>
`
