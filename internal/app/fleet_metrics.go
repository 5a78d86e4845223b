package app

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"

	"spotkeeper/internal/postgres/metrics"
)

// fleetMetrics registers what api and worker alike say of the whole fleet, so that a
// rule about the fleet has its series while one of the two is away.
func (a *App) fleetMetrics(process string) {
	outcomes := &metrics.Outcomes{DB: a.DB}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "spotkeeper_process_info",
		Help:        "The process and the version that it was built from; always 1.",
		ConstLabels: prometheus.Labels{"process": process, "version": builtFrom()},
	})
	info.Set(1)
	a.Metrics.MustRegister(info, newGauges(a.DB, a.Log), newSpendGauges(outcomes.Spend, a.Log),
		newOutcomeCounts(outcomes, a.Log), newScheduleGauges(a.Workflows.PausedJobs, a.Log))
}

// builtFrom is the program's version, or the commit that it was built from.
func builtFrom() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "devel"
}
