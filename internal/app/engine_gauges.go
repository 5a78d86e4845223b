package app

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"spotkeeper/internal/serving"
)

// engineGauges says what this very process decides with. Unlike the other gauges
// it differs from process to process, which is the point: during a swap, and when
// one of them cannot load what the others serve.
type engineGauges struct {
	serving *serving.Serving
	info    *prometheus.Desc
	serves  *prometheus.Desc
}

func newEngineGauges(s *serving.Serving) *engineGauges {
	return &engineGauges{
		serving: s,
		info: prometheus.NewDesc("spotkeeper_engine_info", "The engine this process decides with; always 1.",
			[]string{"engine", "version", "session"}, nil),
		serves: prometheus.NewDesc("spotkeeper_engine_serves_what_it_should",
			"1, or 0 when this process cannot load what it should serve and serves on with what it had.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (g *engineGauges) Describe(out chan<- *prometheus.Desc) {
	out <- g.info
	out <- g.serves
}

// Collect implements prometheus.Collector.
func (g *engineGauges) Collect(out chan<- prometheus.Metric) {
	s := g.serving.Status()
	out <- prometheus.MustNewConstMetric(g.info, prometheus.GaugeValue, 1, s.Engine, s.Version, s.Session)
	serves := 1.0
	if g.serving.Check(context.Background()) != nil {
		serves = 0
	}
	out <- prometheus.MustNewConstMetric(g.serves, prometheus.GaugeValue, serves)
}
