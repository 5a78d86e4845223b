package rest

import (
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"spotkeeper/api/agents"
	"spotkeeper/api/control"
	"spotkeeper/api/pages"
	"spotkeeper/api/web"
	"spotkeeper/internal/domain/operators"
)

// Deps are what the API is built from. Each field is a narrow interface that the
// file of its resource declares.
type Deps struct {
	Log            *slog.Logger
	Metrics        *prometheus.Registry // nil: one of its own
	Now            func() time.Time     // nil: time.Now
	Quick          time.Duration        // deadline of a route that names none; 0: 1.9 s
	Hosts          []string             // host names that requests may be for; nil: any
	CORSOrigins    []string
	TrustedProxies []string
	Web            http.Handler // serves everything outside of /api; nil: 404

	Tokens    web.TokenStore
	Operators map[string]operators.Account // by name
	SignIn    *SignIn                      // nil: there is no identity provider
	// OpenToOperators lets callers without a token act as operators. Set it only
	// when no operators are configured and the server listens on loopback.
	OpenToOperators bool
	SessionKeys     [][]byte // the first one signs operators' sessions, all of them are believed; the same in every process
	Sessions        web.SessionStore
	Rates           map[web.RequestClass]web.RequestRate // of each client; nil: no limits
	Quotas          web.LaunchQuotas                     // nil: no limits
	Audit           web.AuditStore                       // nil: changes made by workflows leave no audit entry

	Probes []Probe // of /ready

	Agents         *agents.Agents
	Commands       *agents.Commands
	Decisions      *agents.Decisions
	Pricing        *agents.Pricing
	Replicas       *agents.Replicas
	Operations     *control.Operations
	Events         *pages.Events
	Settings       *control.Settings
	Accounts       *control.Accounts
	Credentials    *control.Credentials
	Limits         *control.Limits
	Switches       *control.Switches
	Requirements   *control.Requirements
	Preflight      *control.Preflight
	LeftOvers      *control.LeftOvers
	ClientPages    *pages.ClientPages
	InstancePages  *pages.InstancePages
	AdminPages     *pages.AdminPages
	Notifications  *pages.Notifications
	Sinks          *control.Sinks
	Schedules      *control.Schedules
	Workers        *control.Workers
	Pauses         *control.Pauses
	PoolBlocks     *control.PoolBlocks
	Approvals      *control.Approvals
	Models         *control.Models
	ModelRollouts  *control.ModelRollouts
	Fleet          *control.Fleet
	Console        *pages.Console
	Adoptions      *control.Adoptions
	ClientAccounts *control.ClientAccounts
	JoinRules      *control.JoinRules
	Logins         *control.OperatorSessions
	Payloads       *control.Payloads

	EngineLoaded func() bool // nil: yes, the built-in rules are always there

	auth      *web.Authenticator
	loginGate *web.Throttle
}

// New builds the handler of the whole API. It redirects nothing: a redirected
// POST comes back as a GET without its body, which deployed agents take for
// success.
func New(d Deps) (http.Handler, error) {
	web.QuietGin()
	d = d.withDefaults()
	g := gin.New()
	g.RedirectTrailingSlash, g.RedirectFixedPath = false, false
	g.HandleMethodNotAllowed = true
	g.UseRawPath, g.UnescapePathValues = true, true // an operation's id contains slashes
	g.ContextWithFallback = true
	if err := g.SetTrustedProxies(d.TrustedProxies); err != nil {
		return nil, err
	}
	g.Use(web.Identify(d.Log), web.RecordRequests(web.NewMetrics(d.Metrics)), web.Recovery, web.CheckHost(d.Hosts, "/health"),
		web.WarnOfForwarded(d.Log), web.AllowOrigins(d.CORSOrigins, d.Payloads.Guests()))
	routes := d.Routes()
	d.auth.Routes = routes
	for _, r := range routes {
		if r.Timeout == 0 && !r.Endpoint.IsStream() {
			r.Timeout = d.Quick
		}
		g.Handle(r.Method, r.Path, r.Serve(d.auth))
	}
	g.NoMethod(func(c *gin.Context) {
		web.WriteError(c, web.NoMethod.New("This path does not take %s.", c.Request.Method))
	})
	g.NoRoute(func(c *gin.Context) {
		reads := c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead
		if d.Web == nil || !reads || isOfAPI(c.Request.URL.Path) {
			web.WriteError(c, web.NoRoute.New("There is no such path."))
			return
		}
		if err := d.servePage(c); err != nil {
			web.WriteError(c, err)
		}
	})
	return g, nil
}

// isOfAPI says whether a program that asks for a path means the API, although no route has it:
// in another case, with doubled slashes or with dot segments. A page would be taken for
// success.
func isOfAPI(asked string) bool {
	plain := strings.ToLower(path.Clean("/" + strings.ReplaceAll(asked, "\\", "/")))
	asked = strings.ToLower(asked)
	return plain == "/api" || strings.HasPrefix(plain, "/api/") || strings.HasPrefix(asked, "/api/") ||
		strings.HasPrefix(plain, "/api;")
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
		d.Quick = web.QuickTimeout
	}
	if d.Payloads == nil {
		d.Payloads = &control.Payloads{}
	}
	d.OpenToOperators = d.OpenToOperators && len(d.Operators) == 0 && d.SignIn == nil
	d.auth = &web.Authenticator{
		Tokens:    d.Tokens,
		Operators: d.Operators,
		Open:      d.OpenToOperators,
		Origins:   d.CORSOrigins,
		Guests:    d.Payloads.Guests(),
		Audit:     d.Audit,
		Gate:      web.NewThrottle(d.Now),
		Now:       d.Now,
		Limits:    &web.Limits{Rates: d.Rates, Quotas: d.Quotas, Now: d.Now},
		Sessions: &web.Sessions{
			Keys:      d.SessionKeys,
			Store:     d.Sessions,
			Operators: d.Operators,
			Provider:  d.SignIn.fingerprint(),
			Tokens:    d.Tokens,
			Now:       d.Now,
		},
	}
	d.loginGate = web.NewLoginGate(d.Now)
	return d
}

// Routes is the whole surface: literal paths win over parameters, and the order
// does not matter.
func (d Deps) Routes() []web.Route {
	return slices.Concat(
		d.healthRoutes(),
		d.Agents.Routes(),
		d.Commands.Routes(),
		d.Decisions.Routes(),
		d.Pricing.Routes(),
		d.validateRoutes(),
		d.loginRoutes(),
		d.docsRoutes(),
		d.Replicas.Routes(),
		web.Strict(d.Operations.Routes()),
		d.Events.Routes(),
		d.Settings.Routes(),
		d.Accounts.Routes(),
		d.Credentials.Routes(),
		d.Limits.Routes(),
		d.Adoptions.Routes(),
		d.ClientAccounts.Routes(),
		d.JoinRules.Routes(),
		d.Logins.Routes(),
		d.Payloads.Routes(),
		d.Switches.Routes(),
		d.Requirements.Routes(),
		d.Preflight.Routes(),
		d.LeftOvers.Routes(),
		d.ClientPages.Routes(),
		d.InstancePages.Routes(),
		d.AdminPages.Routes(),
		d.Notifications.Routes(),
		web.Strict(d.Sinks.Routes()),
		web.Strict(d.Schedules.Routes()),
		web.Strict(d.Workers.Routes()),
		web.Strict(d.Pauses.Routes()),
		web.Strict(d.PoolBlocks.Routes()),
		web.Strict(d.Approvals.Routes()),
		d.answerRoutes(),
		d.Models.Routes(),
		web.Strict(d.ModelRollouts.Routes()),
		web.Strict(d.Fleet.Routes()),
		web.Strict(d.Console.Routes()),
		web.Strict(d.dependencyRoutes()),
		d.documentRoutes(),
	)
}
