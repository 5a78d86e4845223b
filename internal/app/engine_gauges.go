package app

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"spotkeeper/internal/serving"
)

// engineGauges shows which engine this process decides with. Processes differ during a swap,
// and when one of them cannot load the engine that the others serve.
type engineGauges struct {
	serving *serving.Serving
	info    *prometheus.Desc
	serves  *prometheus.Desc
	unsafe  *prometheus.Desc
	runs    float64 // 1: uploaded code may run without a sandbox
}

func newEngineGauges(s *serving.Serving, unsafe bool) *engineGauges {
	runs := 0.0
	if unsafe {
		runs = 1
	}
	return &engineGauges{
		serving: s,
		runs:    runs,
		unsafe: prometheus.NewDesc("spotkeeper_engine_unsafe",
			"1 when uploads run where there is no sandbox too (ENGINE_PYTHON=unsafe), or 0.", nil, nil),
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
	out <- g.unsafe
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
	out <- prometheus.MustNewConstMetric(g.unsafe, prometheus.GaugeValue, g.runs)
}
