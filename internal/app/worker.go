package app

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"golang.org/x/sync/errgroup"

	"spotkeeper/activities"
	"spotkeeper/api/rest"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/door"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/postgres/decisions"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/postgres/models"
	"spotkeeper/internal/postgres/notifications"
	"spotkeeper/internal/postgres/prices"
	"spotkeeper/internal/postgres/sweeps"
	"spotkeeper/internal/temporalx"
	"spotkeeper/internal/webhook"
	"spotkeeper/workflows"
)

// How long a run of the delivery, and of the noting of templates, keeps looking,
// which its schedule follows every minute, and how often it looks.
const (
	deliveryWatch  = 50 * time.Second
	deliveryEvery  = 2 * time.Second
	templatesWatch = 50 * time.Second
	templatesEvery = 2 * time.Second
	deliveryPeriod = time.Minute
)

// sinks stores the webhooks and logs that clients want their notifications in.
func (a *App) sinks() (*notifications.Sinks, error) {
	keys, err := a.Config.Secrets.SealingKeys()
	if err != nil {
		return nil, err
	}
	return notifications.NewSinksWith(a.DB, keys), nil
}

// stopWorker is how long activities may take to end after a stop.
const stopWorker = 30 * time.Second

// beatAtMost is how long the SDK may hold a heartbeat back. Its own limit is most
// of a heartbeat timeout, which leaves a busy machine too little time to be late.
const beatAtMost = 2 * time.Second

// RunWorker runs workflows and activities, keeps the schedules and answers
// /metrics and /ready, until ctx ends.
func (a *App) RunWorker(ctx context.Context) error {
	a.fleetMetrics("worker")
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	if a.Config.Worker.MetricsListen != "" { // first, so that a worker that waits says what for
		g.Go(func() error {
			return serve(ctx, a.Log, "worker's metrics", a.Config.Worker.MetricsListen, door.New(opsLimits, nil), nil,
				onlyLocalNames(a.Config.Worker.MetricsListen, a.workerPages()), nil)
		})
	}
	g.Go(func() error { return a.work(ctx) })
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// work waits for the dependencies, and then polls until ctx ends.
func (a *App) work(ctx context.Context) error {
	if err := a.awaitSchema(ctx); err != nil {
		return err
	}
	if err := a.checkKeys(ctx); err != nil {
		return err
	}
	a.sayWhatCannotWork(ctx, true)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	a.takeEventsIn(ctx, g)
	w, err := a.startWorker(ctx)
	if err != nil {
		stop() // the group ends with it
		_ = g.Wait()
		return err
	}
	defer w.stop()
	a.polls.Store(true)
	a.Log.InfoContext(ctx, "worker is polling", "queue", a.Config.Temporal.Queue)
	g.Go(func() error {
		<-ctx.Done()
		return ctx.Err()
	})
	g.Go(func() error { return a.engines.serving.Run(ctx) })
	g.Go(func() error { return a.newSweep().Run(ctx) })
	g.Go(func() error { return a.sealTrail(ctx) })
	if a.Config.Worker.Schedules {
		g.Go(func() error { return a.keepSchedules(ctx) })
	}
	return g.Wait()
}

// awaitSchema waits for a database that is away, and refuses one whose schema is
// not this program's.
func (a *App) awaitSchema(ctx context.Context) error {
	return a.persist(ctx, "postgres", func(ctx context.Context) error { return postgres.CheckVersion(ctx, a.DB) })
}

// workers poll one task queue each.
type workers []worker.Worker

func (all workers) start() error {
	for i, w := range all {
		if err := w.Start(); err != nil {
			all[:i].stop()
			return err
		}
	}
	return nil
}

// stop ends them side by side, because each waits for its activities.
func (all workers) stop() {
	var ends sync.WaitGroup
	for _, w := range all {
		ends.Go(w.Stop)
	}
	ends.Wait()
}

// startWorker registers everything and begins to poll, as soon as Temporal is
// there.
func (a *App) startWorker(ctx context.Context) (workers, error) {
	var all workers
	var wrong error
	err := a.persist(ctx, "temporal", func(ctx context.Context) error {
		if err := a.Workflows.Ping(ctx); err != nil {
			return err
		}
		err := a.tie(ctx)
		if fault.Is(err, temporalx.OtherInstallation) {
			wrong = err // it would be no better later
			return nil
		}
		if err != nil {
			return err
		}
		a.ensureAttributes(ctx)
		all = workers{a.NewWorker(), a.newJobWorker()}
		return all.start()
	})
	if err == nil && wrong == nil && a.Config.Temporal.Deployment != "" {
		err = a.persist(ctx, "worker deployment", a.claimDeployment)
	}
	return all, errors.Join(err, wrong)
}

// ensureAttributes makes the search attributes where we may. Where we may not, it is
// enough that they are there; without them workflows start all the same.
func (a *App) ensureAttributes(ctx context.Context) {
	refused := temporalx.EnsureAttributes(ctx, a.Temporal, a.Namespace, workflows.Attributes()...)
	if refused == nil {
		return
	}
	if err := a.attributes.Check(ctx); err != nil {
		a.Log.WarnContext(ctx, "search attributes are missing and could not be made",
			"attributes", workflows.Attributes(),
			"missing", err, "error", refused)
	}
}

// How many local activities may wait for Temporal and for EC2 at once. They have
// slots of their own, so that one which hangs leaves those in Postgres as
// many slots as they have connections.
const (
	messagesAtOnce = 32
	looksAtOnce    = 8
)

// jobsAtOnce is how many activities of jobs run at once: one for each job there is, and
// some for runs that an operator has asked for.
const jobsAtOnce = 20

// NewWorker makes a worker of the product's workflows and activities.
func (a *App) NewWorker() worker.Worker {
	return a.newWorker(a.Config.Temporal.Queue, 0)
}

// newJobWorker makes the worker of the jobs' queue. It registers everything, too: jobs of
// earlier versions run on the other queue, which has to know them for as long.
func (a *App) newJobWorker() worker.Worker {
	return a.newWorker(workflows.JobsQueue(a.Config.Temporal.Queue), jobsAtOnce)
}

func (a *App) newWorker(queue string, activitiesAtOnce int) worker.Worker {
	w := worker.New(a.Temporal, queue, worker.Options{
		DeploymentOptions: a.Deployment().Options(a.Config.Temporal.BuildID),
		Interceptors:      []interceptor.WorkerInterceptor{&temporalx.Faults{Polls: []fault.Code{replica.NotRunning}}},
		WorkerStopTimeout: stopWorker,

		MaxHeartbeatThrottleInterval:       beatAtMost,
		MaxConcurrentActivityExecutionSize: activitiesAtOnce, // 0: the SDK's default
		// A step in Postgres holds a connection of the pool; more of them would only wait there.
		MaxConcurrentLocalActivityExecutionSize: int(max(a.Config.Database.MaxConns, 4)) + messagesAtOnce + looksAtOnce,
	})
	workflows.Register(w)
	a.Register(w)
	return w
}

// ec2Fleet is the way to EC2 that seals what may hold secrets.
func (a *App) ec2Fleet() ec2Fleet { return ec2Fleet{a.Fleet, a.seal} }

// quotas holds the limits of accounts against what the loss of a zone would need.
func (a *App) quotas() *activities.Quotas {
	return &activities.Quotas{Store: &sweeps.Preflights{DB: a.DB}, Fleet: a.ec2Fleet(), Log: a.Log}
}

// scores reads placement scores in calm.
func (a *App) scores() *activities.Scores {
	return &activities.Scores{Store: &decisions.Scores{DB: a.DB}, Fleet: a.ec2Fleet(), Log: a.Log}
}

// preflight checks agents in calm.
func (a *App) preflight() *activities.Preflights {
	return &activities.Preflights{Store: &sweeps.Preflights{DB: a.DB}, Fleet: a.ec2Fleet(), Templates: a.templates()}
}

// templates notes what new primaries were launched with.
func (a *App) templates() *activities.Templates {
	return &activities.Templates{Store: &postgres.Templates{Launches: postgres.Launches{DB: a.DB}}, Fleet: a.ec2Fleet(),
		Log: a.Log, Watch: templatesWatch, Every: templatesEvery}
}

// Register registers every activity with a worker.
func (a *App) Register(w worker.ActivityRegistry) {
	sinks, err := a.sinks()
	if err != nil {
		a.Log.Error("notifications do not leave the building", "error", err)
	}
	launches := &postgres.Launches{DB: a.DB}
	cloud := a.ec2Fleet()
	market := &activities.Prices{
		Store:    &prices.Prices{DB: a.DB},
		Market:   newEC2Market(a.Fleet),
		Log:      a.Log,
		Backfill: a.Config.Worker.PriceBackfill,
	}
	messages, looks := activities.NewSlots(messagesAtOnce), activities.NewSlots(looksAtOnce)
	for _, steps := range []any{
		&activities.Sinks{Store: sinks, Sender: webhook.New(a.Config.Webhooks.Allowed), Log: a.Log, Links: a.links(),
			Watch: deliveryWatch, Every: deliveryEvery, Period: deliveryPeriod},
		&activities.Roles{Store: &postgres.Roles{DB: a.DB}},
		&activities.Instances{
			Store:     launches,
			Replicas:  &postgres.Roles{DB: a.DB},
			Workflows: a.Workflows,
			Fleet:     cloud,
			Log:       a.Log,
			Slots:     looks,
		},
		&activities.Adoptions{Store: &agents.Adoptions{DB: a.DB}, Fleet: cloud, Log: a.Log, Market: market,
			OwnAccount: a.Fleet.OwnAccount},
		&activities.Operations{Store: &postgres.Operations{DB: a.DB}},
		&activities.Switches{Store: &postgres.Switches{DB: a.DB}},
		&activities.Messages{Workflows: a.Workflows, Slots: messages},
		&activities.Jobs{
			Store:    &housekeeping.Jobs{DB: a.DB},
			Failures: &housekeeping.Jobs{DB: a.DB},
			Pauser:   a.Workflows,
			Slots:    messages,
		},
		&activities.Agents{
			Store:   &sweeps.Silence{DB: a.DB},
			Fleet:   cloud,
			Log:     a.Log,
			Timeout: a.Config.Worker.AgentTimeout,
		},
		&activities.Orphans{Store: &sweeps.Orphans{DB: a.DB}, Fleet: cloud, Log: a.Log},
		&activities.Primaries{
			Store:      &sweeps.Primaries{Launches: *launches},
			Fleet:      cloud,
			Workflows:  a.Workflows,
			Preflights: a.preflight(),
			Quotas:     a.quotas(),
			Scores:     a.scores(),
			Log:        a.Log,
		},
		&activities.Standbys{
			Store:     &sweeps.Standbys{Roles: postgres.Roles{DB: a.DB}, Launches: *launches},
			Fleet:     cloud,
			Workflows: a.Workflows,
			Log:       a.Log,
		},
		a.templates(),
		market,
		&activities.Decisions{
			Store:     &decisions.Decisions{DB: a.DB},
			Switches:  &workflows.SwitchOrders{Commands: &postgres.Commands{DB: a.DB}, Guardians: a.Workflows},
			Log:       a.Log,
			EngineFor: a.engines.serving.EngineFor,
			ShadowFor: a.engines.serving.ShadowFor,
			EngineOf:  a.engines.serving.EngineOf,
			Approvals: &decisions.Approvals{DB: a.DB},
			Breakers:  &decisions.Breakers{DB: a.DB},
			Breaker:   engine.NewBreaker(a.Config.Worker.BreakerMoves),
		},
		&activities.Rollouts{Store: &models.Rollouts{Models: models.Models{DB: a.DB}}, Trial: a.engines.trial,
			Desk: a.Workflows, Slots: messages},
		&activities.Housekeeping{Store: &housekeeping.Housekeeping{DB: a.DB}, Log: a.Log, Keep: a.Config.Worker.Keep},
	} {
		w.RegisterActivity(steps)
	}
}

// keepSchedules brings the server's schedules in line with the code's, again
// until it has succeeded once.
func (a *App) keepSchedules(ctx context.Context) error {
	return a.persist(ctx, "schedules", func(ctx context.Context) error {
		done, err := temporalx.ReconcileSchedules(ctx, a.Temporal.ScheduleClient(), workflows.SchedulePrefix,
			workflows.Schedules(a.Config.Temporal.Queue))
		if err != nil {
			return err
		}
		a.Log.InfoContext(ctx, "schedules are those of this version", "created", done.Created,
			"updated", done.Updated, "not_ours_any_more", done.Removed)
		return (&housekeeping.Jobs{DB: a.DB}).NotifyRemoved(ctx, done.Removed)
	})
}

// persist tries again until fn succeeds, ctx ends or waiting does not help, and logs why
// it waits.
func (a *App) persist(ctx context.Context, what string, fn func(context.Context) error) error {
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, startWithin) {
		err := fn(ctx)
		if err == nil {
			return nil
		}
		if hopeless := a.judgeStart(err); hopeless != nil {
			return hopeless
		}
		a.Log.WarnContext(ctx, "waiting for a dependency", "dependency", what, "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// workerPages are what operators of the deployment see of a worker.
func (a *App) workerPages() http.Handler {
	mux := a.opsPages()
	mux.HandleFunc("GET /ready", rest.ReadyPage(a.workerProbes()))
	return mux
}
