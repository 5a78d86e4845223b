package temporalx

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
)

// labels are the tags of the SDK's metrics that are worth a label. A metric must
// have the same labels wherever it is observed, so all of them have these; tags
// with many values, such as workflow ids, are left out.
var labels = []string{"namespace", "task_queue", "workflow_type", "activity_type", "operation", "status_code",
	"worker_type", "cause", "failure_reason"}

// seconds are the buckets of the SDK's timers: from a local step to a long poll.
var seconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// NewMetrics returns a handler that keeps the SDK's metrics in a Prometheus
// registry under the names that Temporal's own dashboards expect.
func NewMetrics(r prometheus.Registerer) client.MetricsHandler {
	return &metrics{registry: &vectors{r: r, known: map[string]prometheus.Collector{}}}
}

type metrics struct {
	registry *vectors
	tags     map[string]string
}

// vectors are shared by all handlers that were made from one by adding tags.
type vectors struct {
	mu    sync.Mutex
	r     prometheus.Registerer
	known map[string]prometheus.Collector
}

// WithTags implements client.MetricsHandler.
func (m *metrics) WithTags(tags map[string]string) client.MetricsHandler {
	merged := maps.Clone(m.tags)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, tags)
	return &metrics{registry: m.registry, tags: merged}
}

// Counter implements client.MetricsHandler.
func (m *metrics) Counter(name string) client.MetricsCounter {
	vec := vector(m.registry, name, "_total", func(full string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: full, Help: help(name)}, labels)
	})
	c := vec.WithLabelValues(m.values()...)
	return counter(func(d int64) { c.Add(float64(d)) })
}

// Gauge implements client.MetricsHandler.
func (m *metrics) Gauge(name string) client.MetricsGauge {
	vec := vector(m.registry, name, "", func(full string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: full, Help: help(name)}, labels)
	})
	return gauge(vec.WithLabelValues(m.values()...).Set)
}

// Timer implements client.MetricsHandler.
func (m *metrics) Timer(name string) client.MetricsTimer {
	vec := vector(m.registry, name, "_seconds", func(full string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    full,
			Help:    help(name),
			Buckets: seconds,
		}, labels)
	})
	h := vec.WithLabelValues(m.values()...)
	return timer(func(d time.Duration) { h.Observe(d.Seconds()) })
}

// vector returns the collector of a metric, and makes it at first sight.
func vector[V prometheus.Collector](v *vectors, name, suffix string, make func(full string) V) V {
	full := strings.ReplaceAll(name, "-", "_")
	if !strings.HasSuffix(full, suffix) {
		full += suffix
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if c, ok := v.known[full].(V); ok {
		return c
	}
	c := make(full)
	if err := v.r.Register(c); err == nil {
		v.known[full] = c
	}
	return c
}

func (m *metrics) values() []string {
	values := slices.Clone(labels)
	for i, l := range values {
		values[i] = m.tags[l]
	}
	return values
}

func help(name string) string { return "Temporal SDK: " + strings.ReplaceAll(name, "_", " ") + "." }

type (
	counter func(int64)
	gauge   func(float64)
	timer   func(time.Duration)
)

func (f counter) Inc(d int64)          { f(d) }
func (f gauge) Update(v float64)       { f(v) }
func (f timer) Record(d time.Duration) { f(d) }
