// Package app puts the parts together: it is the one place where stores, clients
// and handlers meet, and it decides nothing else.
package app

import (
	"cmp"
	"context"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.temporal.io/sdk/client"

	"spotkeeper/activities"
	"spotkeeper/internal/config"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/intake"
	"spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/serving"
	"spotkeeper/internal/temporalx"
	"spotkeeper/internal/tracing"
	"spotkeeper/workflows"
)

// App holds the connections of a process: Postgres, Temporal and EC2.
type App struct {
	Config    config.Config
	Log       *slog.Logger
	Metrics   *prometheus.Registry
	DB        *pg.DB
	Fleet     *fleet.Provider
	Temporal  client.Client
	Namespace string // of Temporal
	Workflows *workflows.Client

	attributes *temporalx.Attributes // with which workflows start
	engines    *engines
	tracing    *tracing.Tracing // nil: off
	aftercare  *Aftercare       // of an api, and of a worker that takes events in
	doors      *doorMetrics
	intakes    []*intake.Intake // of a worker, one for each queue; complete before polls is set
	polls      atomic.Bool      // a worker has begun
	seal       *sealer          // of user data
	codec      *temporalx.Codec // of payloads at Temporal
	secrets    secretsCheck

	certificates *certificates
	now          func() time.Time // by which clocks are compared
}

// Options are what a process adds to its configuration.
type Options struct {
	Log      *slog.Logger
	Temporal temporalx.Options // zero: the TEMPORAL_* settings
	Tuning   workflows.Tuning  // zero: the product's; tests and benchmarks change it
	Process  string            // api or worker; an api runs no uploaded code
	EC2Now   func() time.Time  // the clock of sessions and prices at EC2; nil: the machine's
}

const processAPI = "api"

// Open makes the connections, lazily: that Postgres or Temporal is away shows at the
// first call, and again at each further one, so a process starts before its
// dependencies and recovers with them.
func Open(ctx context.Context, c config.Config, o Options) (*App, error) {
	o.Temporal.APIKeyFile = c.Temporal.APIKeyFile
	if err := checkTransport(c, o.Temporal); err != nil {
		return nil, err
	}
	limitMemory(ctx, o.Log)
	collectLess()
	if err := activities.CheckKeep(c.Worker.Keep); err != nil {
		return nil, err
	}
	a := &App{Config: c, Log: o.Log, Metrics: prometheus.NewRegistry(), now: time.Now}
	if a.Log == nil {
		a.Log = slog.Default()
	}
	a.Metrics.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.doors = newDoorMetrics(a.Metrics)
	a.certificates = certificatesOf(c, o.Temporal)
	a.Metrics.MustRegister(a.certificates)
	var err error
	if a.tracing, err = tracing.Open(ctx, tracing.Settings(c.Tracing), o.Process); err != nil {
		return nil, err
	}
	keys, err := c.Secrets.SealingKeys()
	if err != nil {
		return nil, err
	}
	if a.seal, err = newSealer(keys.Secrets()...); err != nil {
		return nil, err
	}
	db, err := pg.Open(ctx, pg.Options{URL: c.Database.URL.Reveal(), MaxConns: c.Database.MaxConns, Log: o.Log,
		Tracer: a.tracing.Statements(), Pooled: c.Database.Pooler == "transaction",
		StatementTimeout: c.Database.StatementTimeout})
	if err != nil {
		return nil, err
	}
	a.DB = db
	names, err := newAgentNames(&agents.AgentNames{DB: db})
	if err != nil {
		a.DB.Close()
		return nil, err
	}
	a.Log = slog.New(naming{a.Log.Handler(), names})
	options := fleetOptions(c.AWS)
	options.Now = o.EC2Now
	options.WatchRole = a.watchRole
	if a.tracing != nil {
		options.Middleware = append(options.Middleware, a.tracing.AWS())
		if o.Temporal.Interceptor, err = a.tracing.Temporal(); err != nil {
			db.Close()
			return nil, err
		}
	}
	if a.Fleet, err = fleet.New(ctx, options); err != nil {
		db.Close()
		return nil, err
	}
	a.codec = &temporalx.Codec{Box: keys.BoxFor("temporal"), Seal: c.Temporal.Encrypt}
	o.Temporal.Codec = a.codec
	a.attributes = &temporalx.Attributes{Names: workflows.Attributes()}
	o.Temporal.Logger, o.Temporal.Metrics, o.Temporal.Attributes = a.Log, temporalx.NewMetrics(a.Metrics), a.attributes
	if a.Temporal, err = temporalx.Connect(o.Temporal); err != nil {
		db.Close()
		return nil, err
	}
	if a.Namespace, err = temporalx.Namespace(o.Temporal); err != nil {
		a.Close() //nolint:contextcheck // the last spans are sent after ctx has ended
		return nil, err
	}
	retries := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "spotkeeper_workflow_message_retries_total",
		Help: "Messages to workflows that were answered by trying again.",
	})
	shortages := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "spotkeeper_postgres_shortages_total",
		Help: "Statements that Postgres refused for want of room on its disk, of memory or of connections.",
	}, func() float64 { return float64(db.Shortages()) })
	a.Metrics.MustRegister(retries, shortages)
	a.Workflows = &workflows.Client{
		Temporal:  a.Temporal,
		Namespace: a.Namespace,
		Queue:     c.Temporal.Queue,
		Tuning:    o.Tuning,
		Versioned: c.Temporal.Deployment != "",
		OnRetry:   func(error) { retries.Inc() },
		NameOf:    names.find,
	}
	_, unsafe := c.Engine.RunsPython()
	if o.Process == processAPI {
		a.engines, err = a.openEngines(ctx, c, &serving.Remote{Workers: a.Workflows})
		unsafe = false
	} else {
		a.engines, err = a.openEngines(ctx, c, nil)
	}
	if err != nil {
		a.Close() //nolint:contextcheck // the last spans are sent after ctx has ended
		return nil, err
	}
	a.Metrics.MustRegister(newEngineGauges(a.engines.serving, unsafe))
	return a, nil
}

// Close gives the connections back.
func (a *App) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	if err := a.tracing.Close(ctx); err != nil {
		a.Log.WarnContext(ctx, "the last spans were not sent", "error", err)
	}
	a.Temporal.Close()
	a.DB.Close()
}

func fleetOptions(c config.AWS) fleet.Options {
	o := fleet.Options{
		Region:          c.Region,
		Endpoint:        c.EC2Endpoint,
		STSEndpoint:     c.STSEndpoint,
		PricingEndpoint: c.PricingEndpoint,
		QuotasEndpoint:  c.QuotasEndpoint,

		AutoScalingEndpoint: c.GroupsEndpoint,
	}
	if c.Simulated {
		o.Credentials = fleet.StaticCredentials("simulated", "simulated")
		o.STSEndpoint, o.PricingEndpoint = cmp.Or(o.STSEndpoint, o.Endpoint), cmp.Or(o.PricingEndpoint, o.Endpoint)
		o.QuotasEndpoint = cmp.Or(o.QuotasEndpoint, o.Endpoint)
		o.AutoScalingEndpoint = cmp.Or(o.AutoScalingEndpoint, o.Endpoint)
	}
	return o
}

// closeWithin is how long the last spans may take.
const closeWithin = 3 * time.Second

// startWithin is how long a process keeps trying to reach a dependency that it
// cannot work without, before it says so again.
const startWithin = 5 * time.Second

// Percent of the living heap that may be allocated before it is collected. Little
// is alive and much is allocated: with ours a list of 200 agents costs a third less
// CPU, and the api 30 MiB more.
const (
	goDefault = 100
	ours      = 400
)

// collectLess trades a few dozen MiB for CPU, unless GOGC says something else than
// the default.
func collectLess() {
	if was := debug.SetGCPercent(ours); was != goDefault && was != ours {
		debug.SetGCPercent(was)
	}
}

// memoryShare is the share of the container's memory that Go may use before it collects
// more often; the rest is for what Go does not count.
const memoryShare = .9

// limitMemory sets GOMEMLIMIT from the cgroup, unless it is set already. Without a
// limit there is nothing to do.
func limitMemory(ctx context.Context, log *slog.Logger) {
	if log == nil {
		log = slog.Default()
	}
	limit, err := memlimit.Set(memlimit.WithRatio(memoryShare))
	if err != nil {
		log.DebugContext(ctx, "memory is not limited by a cgroup", "error", err)
		return
	}
	log.DebugContext(ctx, "memory is limited", "bytes", limit)
}
