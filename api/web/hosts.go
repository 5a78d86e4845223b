package web

import (
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

	"spotkeeper/internal/domain/fault"
)

// UnknownHost means that a request is for a host name that is not ours: a page of
// another site may have had its name resolve to this machine.
var UnknownHost = fault.Define("request.unknown_host", fault.Invalid)

// CheckHost refuses requests for other host names than those given; nil allows any. The
// paths in anyHost are answered for every name: balancers and kubelets ask them by address.
func CheckHost(hosts []string, anyHost ...string) gin.HandlerFunc {
	return func(c *gin.Context) {
		if hosts != nil && !slices.Contains(anyHost, c.Request.URL.Path) &&
			!slices.Contains(hosts, HostName(c.Request.Host)) {
			WriteError(c, UnknownHost.New("This server is not %q: it answers for the names in API_HOSTS.",
				c.Request.Host))
			return
		}
		c.Next()
	}
}

// HostName is the name in a Host header, in lower case and without port and brackets.
func HostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// forwarded are the headers by which proxies say who they ask for.
var forwarded = []string{"X-Forwarded-For", "X-Real-Ip"}

// WarnOfForwarded logs once that forwarded headers come from an address that is not
// among the trusted proxies: either a caller invents them, or TRUSTED_PROXIES lacks
// the balancer, and then all callers share one address and its limits.
func WarnOfForwarded(log *slog.Logger) gin.HandlerFunc {
	var once sync.Once
	return func(c *gin.Context) {
		if hasForwarded(c.Request.Header) && c.ClientIP() == c.RemoteIP() {
			once.Do(func() {
				log.WarnContext(c.Request.Context(),
					"forwarded headers from an address that is not in TRUSTED_PROXIES are ignored: "+
						"name the load balancer's networks there if it is one", "address", c.RemoteIP())
			})
		}
		c.Next()
	}
}

func hasForwarded(h http.Header) bool {
	return slices.ContainsFunc(forwarded, func(name string) bool { return h.Get(name) != "" })
}
