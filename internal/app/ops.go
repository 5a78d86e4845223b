package app

import (
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"spotkeeper/api/web"
	"spotkeeper/internal/config"
	"spotkeeper/internal/door"
)

// opsLimits are those of the pages for operators of the deployment: few callers, and
// profiles that take their time.
var opsLimits = door.Limits{Conns: 64, WriteTime: 3 * time.Minute}

// opsPages serves /metrics and profiles. They are on a listener of their own, because
// they show what callers of the API are not to see.
func (a *App) opsPages() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("alive\n")) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// onlyLocalNames has a listener on loopback answer requests for the names of loopback alone.
// A web page can have its own name resolve to this machine, and its browser would then let it
// read profiles and metrics. A listener that other machines reach is asked by any name.
func onlyLocalNames(listen string, pages http.Handler) http.Handler {
	if !config.IsLoopbackAddress(listen) {
		return pages
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := web.HostName(r.Host)
		if at, err := netip.ParseAddr(name); name != "localhost" && (err != nil || !at.IsLoopback()) {
			http.Error(w, "This page is for localhost alone.", http.StatusMisdirectedRequest)
			return
		}
		pages.ServeHTTP(w, r)
	})
}
