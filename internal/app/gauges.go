package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"spotkeeper/internal/postgres/metrics"
	"spotkeeper/internal/postgres/pg"
)

// scrapeWithin keeps a scrape short when the database hangs.
const scrapeWithin = 2 * time.Second

// gauges shows what an operator would page on. It reads Postgres when it is
// scraped, so it is independent of this process's memory; every worker
// shows the same values, and alerts take their maximum.
type gauges struct {
	read func(context.Context) (metrics.Gauges, error)
	log  *slog.Logger
	desc []*prometheus.Desc
}

// gaugeNames are in the order of gauges.values; runbooks name them.
var gaugeNames = [][2]string{
	{"spotkeeper_notices_undelivered", "Notices that no Guardian has taken yet."},
	{"spotkeeper_notices_undecided", "Termination notices of a present primary that have no successor."},
	{"spotkeeper_notices_lost",
		"Deadlines that passed without a successor, in the last hour or of an agent that still does not live."},
	{"spotkeeper_agents_without_primary", "Enabled agents that have no primary, or one that is lost."},
	{"spotkeeper_agents_online", "Agents that are online."},
	{"spotkeeper_agents_offline", "Enabled agents that are silent."},
	{"spotkeeper_replicas_open", "Replicas that cost money or soon will."},
	{"spotkeeper_retirements_late", "Instances of ours that have been ending for more than fifteen minutes."},
	{"spotkeeper_orphans_ended", "Orphans that the sweep ended in the last day."},
	{"spotkeeper_jobs_failed", "Runs of scheduled jobs that failed in the last hour."},
	{"spotkeeper_notice_undelivered_age_seconds", "Age of the oldest notice that no Guardian has taken."},
	{"spotkeeper_instances_unproven", "Instances that play a part on an agent's word alone, and are not looked after."},
}

func newGauges(db *pg.DB, log *slog.Logger) *gauges {
	g := &gauges{
		read: func(ctx context.Context) (metrics.Gauges, error) { return metrics.ReadGauges(ctx, db) },
		log:  log,
	}
	for _, n := range gaugeNames {
		g.desc = append(g.desc, prometheus.NewDesc(n[0], n[1], nil, nil))
	}
	return g
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range g.desc {
		out <- d
	}
}

// Collect implements prometheus.Collector. With the database away there is
// nothing to show, which /ready says better.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	v, err := g.read(ctx)
	if err != nil {
		g.log.WarnContext(ctx, "the gauges cannot be read", "error", err)
		return
	}
	for i, value := range []float64{
		float64(v.UndeliveredNotices), float64(v.UndecidedNotices), float64(v.LostNotices),
		float64(v.AgentsWithoutOne), float64(v.AgentsOnline),
		float64(v.AgentsOffline), float64(v.OpenReplicas),
		float64(v.LateRetirements), float64(v.OrphansFound), float64(v.FailedJobs),
		float64(v.OldestUndeliveredMs) / 1000,
		float64(v.UnprovenInstances),
	} {
		out <- prometheus.MustNewConstMetric(g.desc[i], prometheus.GaugeValue, value)
	}
}
