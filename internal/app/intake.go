package app

import (
	"context"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/intake"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/awsevents"
)

// newIntakes makes one intake for each queue.
func (a *App) newIntakes(follow intake.Follower) []*intake.Intake {
	if len(a.Config.Events.Queues) == 0 {
		return nil
	}
	metrics := intake.NewMetrics(a.Metrics)
	store := doorCounts{
		Store:  &awsevents.Intake{Notices: postgres.Notices{DB: a.DB}, OwnAccount: a.Fleet.OwnAccount},
		counts: a.doors,
	}
	seen := &awsevents.Queues{DB: a.DB, Worker: processName()}
	var out []*intake.Intake
	for _, address := range a.Config.Events.Queues {
		out = append(out, &intake.Intake{
			Note: func(ctx context.Context, state intake.QueueState) error {
				return seen.Note(ctx, address, state)
			},
			MoveAhead: a.Config.Events.MoveAhead,
			Queue:     intake.NewSQS(a.Fleet.Config(), a.Config.Events.Endpoint, address),
			Store:     store,
			Fleet:     a.ec2Fleet(),
			Follow:    follow,
			Wake:      a.Workflows.Wake,
			ActOn:     a.Config.Events.ActOn,
			Metrics:   metrics,
			Log:       a.Log.With("queue", address),
			Now:       time.Now,
		})
	}
	return out
}

// takeEventsIn begins to receive before Temporal is there: a failover to a ready standby
// needs Postgres alone.
func (a *App) takeEventsIn(ctx context.Context, g *errgroup.Group) {
	a.aftercare = NewAftercare(a.Workflows.FollowNotice, a.Log)
	a.intakes = a.newIntakes(a.aftercare)
	for _, one := range a.intakes {
		g.Go(func() error { return one.Run(ctx) })
	}
	if a.Config.Events.Survey > 0 {
		survey := a.newSurvey(a.aftercare)
		g.Go(func() error { return survey.Run(ctx) })
	}
	if a.Config.Events.MoveAhead > 0 {
		planned := &intake.Planned{Store: &awsevents.PlannedMoves{DB: a.DB}, Log: a.Log, Now: time.Now}
		g.Go(func() error { return planned.Run(ctx) })
	}
	if slices.Contains(a.Config.Events.ActOn, "asg") && len(a.intakes) > 0 {
		lifecycle := &intake.Lifecycle{
			Store:  &awsevents.LifecycleActions{DB: a.DB},
			Groups: groups{a.Fleet},
			Log:    a.Log,
			Now:    time.Now,
		}
		g.Go(func() error { return lifecycle.Run(ctx) })
	}
	g.Go(func() error { return a.aftercare.Run(ctx) })
}

// processName names this process among others, as Temporal does.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return strconv.Itoa(os.Getpid()) + "@" + host
}

// groups are the Auto Scaling groups of clients' accounts. Before each call EC2 is asked
// whether the instance has our tags: its row alone is not enough.
type groups struct {
	cloud interface {
		RequireOurs(ctx context.Context, a fleet.Account, region, instanceID string) error
		CompleteLifecycle(ctx context.Context, a fleet.Account, region string, action fleet.LifecycleAction, abandon bool) (bool, error)
		KeepLifecycle(ctx context.Context, a fleet.Account, region string, action fleet.LifecycleAction) (bool, error)
	}
}

// Complete implements the Groups of intake.Lifecycle.
func (g groups) Complete(ctx context.Context, a intake.LifecycleAction, abandon bool) (bool, error) {
	account := fleet.Account(a.Account)
	if err := g.cloud.RequireOurs(ctx, account, a.Region, a.InstanceID); err != nil {
		return false, err
	}
	return g.cloud.CompleteLifecycle(ctx, account, a.Region, lifecycleOf(a), abandon)
}

// KeepWaiting implements the Groups of intake.Lifecycle.
func (g groups) KeepWaiting(ctx context.Context, a intake.LifecycleAction) (bool, error) {
	account := fleet.Account(a.Account)
	if err := g.cloud.RequireOurs(ctx, account, a.Region, a.InstanceID); err != nil {
		return false, err
	}
	return g.cloud.KeepLifecycle(ctx, account, a.Region, lifecycleOf(a))
}

func lifecycleOf(a intake.LifecycleAction) fleet.LifecycleAction {
	return fleet.LifecycleAction{Group: a.Group, Hook: a.Name, Token: a.Token, InstanceID: a.InstanceID}
}

// newSurvey asks EC2 about the instances that no event reports.
func (a *App) newSurvey(follow intake.Follower) *intake.Survey {
	store := &awsevents.Intake{Notices: postgres.Notices{DB: a.DB}, OwnAccount: a.Fleet.OwnAccount}
	return &intake.Survey{
		Store:  surveyCounts{store, a.doors},
		Follow: follow,
		Every:  a.Config.Events.Survey,
		Log:    a.Log,
		Now:    time.Now,
		See:    a.see,
	}
}

func (a *App) see(
	ctx context.Context,
	account activities.Account,
	region string,
	ids []string,
) (found map[string]intake.Sighting, marks, err error) {
	seen, marks, err := a.Fleet.Survey(ctx, fleet.Account(account), region, ids)
	found = make(map[string]intake.Sighting, len(seen))
	for id, s := range seen {
		found[id] = intake.Sighting(s)
	}
	return found, marks, err
}

// surveyCounts counts what the third door takes in.
type surveyCounts struct {
	*awsevents.Intake
	counts *doorMetrics
}

// Take makes a notice durable: see postgres.Notices.
func (d surveyCounts) Take(
	ctx context.Context,
	clientID string,
	n interruption.Notice,
	judge roles.NoticeJudge,
) (*roles.TakenNotice, error) {
	return d.counts.take(ctx, d.Intake, clientID, n, judge)
}

// doorMetrics say through which doors notices come, and how far the second door is
// behind the first.
type doorMetrics struct {
	notices *prometheus.CounterVec
	lag     *prometheus.HistogramVec
}

func newDoorMetrics(r prometheus.Registerer) *doorMetrics {
	m := &doorMetrics{
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spotkeeper_notices_total",
			Help: "Arrivals of notices about known instances; first says whether it was not known before.",
		}, []string{"kind", "door", "first"}),
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "spotkeeper_notice_door_lag_seconds",
			Help:    "How far the second door of a notice was behind the first.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2, 5, 10, 20, 40, 80, 160},
		}, []string{"kind", "first"}),
	}
	r.MustRegister(m.notices, m.lag)
	return m
}

// noticeTaker makes a notice durable, as postgres.Notices does.
type noticeTaker interface {
	Take(ctx context.Context, clientID string, n interruption.Notice, judge roles.NoticeJudge) (*roles.TakenNotice, error)
}

// take has a notice made durable, and counts it.
func (m *doorMetrics) take(
	ctx context.Context,
	door noticeTaker,
	clientID string,
	n interruption.Notice,
	judge roles.NoticeJudge,
) (*roles.TakenNotice, error) {
	got, err := door.Take(ctx, clientID, n, judge)
	m.record(n, got, err)
	return got, err
}

func (m *doorMetrics) record(n interruption.Notice, got *roles.TakenNotice, err error) {
	if err != nil || !got.Known {
		return
	}
	first := "no"
	if got.First {
		first = "yes"
	}
	m.notices.WithLabelValues(string(n.Kind), n.Door, first).Inc()
	if got.Behind != nil {
		m.lag.WithLabelValues(string(n.Kind), got.FirstDoor).Observe(got.Behind.Seconds())
	}
}

// doorCounts counts what the second door takes in.
type doorCounts struct {
	intake.Store
	counts *doorMetrics
}

// Take implements intake.Store.
func (d doorCounts) Take(
	ctx context.Context,
	clientID string,
	n interruption.Notice,
	judge roles.NoticeJudge,
) (*roles.TakenNotice, error) {
	return d.counts.take(ctx, d.Store, clientID, n, judge)
}

// TakeTogether implements intake.Store.
func (d doorCounts) TakeTogether(
	ctx context.Context,
	notices []intake.Incoming,
	judge roles.NoticeJudge,
) ([]*roles.TakenNotice, error) {
	got, err := d.Store.TakeTogether(ctx, notices, judge)
	for n, t := range got {
		d.counts.record(notices[n].Notice, t, err)
	}
	return got, err
}

// noticeCounts counts what the agents' door takes in.
type noticeCounts struct {
	*postgres.Notices
	counts *doorMetrics
}

// Take makes a notice durable: see postgres.Notices.
func (d noticeCounts) Take(
	ctx context.Context,
	clientID string,
	n interruption.Notice,
	judge roles.NoticeJudge,
) (*roles.TakenNotice, error) {
	return d.counts.take(ctx, d.Notices, clientID, n, judge)
}
