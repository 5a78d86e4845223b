package app

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// scheduleGauges shows which scheduled jobs do not run by the clock. It asks
// Temporal when it is scraped; with Temporal away it shows nothing, which /ready
// says better.
type scheduleGauges struct {
	read   func(context.Context) (map[string]bool, error) // by job, whether its schedule is paused
	log    *slog.Logger
	paused *prometheus.Desc
}

func newScheduleGauges(read func(context.Context) (map[string]bool, error), log *slog.Logger) *scheduleGauges {
	return &scheduleGauges{read: read, log: log, paused: prometheus.NewDesc("spotkeeper_schedule_paused",
		"1 while the schedule of a job is paused, by an operator or because the job kept failing; else 0.",
		[]string{"job"}, nil)}
}

// Describe implements prometheus.Collector.
func (g *scheduleGauges) Describe(out chan<- *prometheus.Desc) { out <- g.paused }

// Collect implements prometheus.Collector.
func (g *scheduleGauges) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	jobs, err := g.read(ctx)
	if err != nil {
		g.log.WarnContext(ctx, "the schedules cannot be read", "error", err)
		return
	}
	for job, paused := range jobs {
		value := 0.0
		if paused {
			value = 1
		}
		out <- prometheus.MustNewConstMetric(g.paused, prometheus.GaugeValue, value, job)
	}
}
