package rest

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
)

// Deps are what the API is built from. Each field is a narrow interface that the
// file of its resource declares.
type Deps struct {
	Log            *slog.Logger
	Metrics        *prometheus.Registry // nil: one of its own
	Now            func() time.Time     // nil: time.Now
	Quick          time.Duration        // deadline of a route that names none; 0: 1.9 s
	CORSOrigins    []string
	TrustedProxies []string
	Web            http.Handler // serves everything outside of /api; nil: 404

	Tokens    TokenStore
	Operators map[string]string // operators' tokens by name
	// OpenToOperators lets callers without a token act as operators. Set it only
	// when no operators are configured and the server listens on loopback.
	OpenToOperators bool
	SessionKey      []byte // signs operators' sessions; the same in every process
	Sessions        SessionStore
	Audit           AuditStore // nil: changes made by workflows leave no audit entry

	Probes []Probe // of /ready

	Agents        *Agents
	Commands      *Commands
	Decisions     *Decisions
	Pricing       *Pricing
	Replicas      *Replicas
	Operations    *Operations
	Events        *Events
	Settings      *Settings
	Accounts      *Accounts
	Switches      *Switches
	ClientPages   *ClientPages
	InstancePages *InstancePages
	AdminPages    *AdminPages
	Notifications *Notifications
	Sinks         *Sinks
	Schedules     *Schedules
	Pauses        *Pauses
	Models        *Models
	ModelRollouts *ModelRollouts
	Console       *Console

	EngineLoaded func() bool // nil: yes, the built-in rules are always there

	auth      *Authenticator
	loginGate *throttle
}

var quietGin = sync.OnceFunc(func() { gin.SetMode(gin.ReleaseMode) })

// New builds the handler of the whole API. It redirects nothing: a redirected
// POST comes back as a GET without its body, which deployed agents take for
// success.
func New(d Deps) (http.Handler, error) {
	quietGin()
	d = d.withDefaults()
	g := gin.New()
	g.RedirectTrailingSlash, g.RedirectFixedPath = false, false
	g.HandleMethodNotAllowed = true
	g.UseRawPath, g.UnescapePathValues = true, true // an operation's id contains slashes
	g.ContextWithFallback = true
	if err := g.SetTrustedProxies(d.TrustedProxies); err != nil {
		return nil, err
	}
	g.Use(identify(d.Log), recordRequests(newMetrics(d.Metrics)), recovery, allowOrigins(d.CORSOrigins))
	for _, r := range d.Routes() {
		if r.Timeout == 0 && r.Endpoint.raw == nil {
			r.Timeout = d.Quick
		}
		g.Handle(r.Method, r.Path, r.serve(d.auth))
	}
	g.NoMethod(func(c *gin.Context) { writeError(c, NoMethod.New("This path does not take %s.", c.Request.Method)) })
	g.NoRoute(func(c *gin.Context) {
		if d.Web == nil || c.Request.URL.Path == "/api" || strings.HasPrefix(c.Request.URL.Path, "/api/") {
			writeError(c, NoRoute.New("There is no such path."))
			return
		}
		if err := d.servePage(c); err != nil {
			writeError(c, err)
		}
	})
	return g, nil
}

func (d Deps) withDefaults() Deps {
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.Metrics == nil {
		d.Metrics = prometheus.NewRegistry()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Quick == 0 {
		d.Quick = quick
	}
	d.auth = &Authenticator{
		Tokens: d.Tokens, Operators: d.Operators, Open: d.OpenToOperators && len(d.Operators) == 0, Origins: d.CORSOrigins, Audit: d.Audit, gate: newThrottle(d.Now),
		Sessions: &Sessions{Key: d.SessionKey, Store: d.Sessions, Operators: d.Operators, Now: d.Now},
	}
	d.loginGate = newLoginGate(d.Now)
	return d
}
