package app

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/door"
	"spotkeeper/internal/testkit/frontend"
)

// describedBy is the only form in which a descriptor shows what it describes.
var describedBy = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: "(.*?)"(?:, unit: "[^"]*")?, constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}\}$`)

// registered lists what a registry holds, of our own.
func registered(t *testing.T, r *prometheus.Registry) map[string]exported {
	t.Helper()
	descs, out := make(chan *prometheus.Desc, 1000), map[string]exported{}
	r.Describe(descs)
	close(descs)
	for d := range descs {
		m := describedBy.FindStringSubmatch(d.String())
		require.NotNil(t, m, d.String())
		if !strings.HasPrefix(m[1], "spotkeeper_") {
			continue
		}
		e := exported{help: m[2]}
		for label := range strings.SplitSeq(m[3], ",") {
			if name, _, ok := strings.Cut(label, "="); ok {
				e.labels = append(e.labels, name)
			}
		}
		if m[4] != "" {
			e.labels = append(e.labels, strings.Split(m[4], ",")...)
		}
		out[m[1]] = e
	}
	return out
}

// processes are an api and a worker that have registered all that they ever do.
func processes(t *testing.T) map[string]exported {
	t.Helper()
	api := opened(t, &frontend.Cloud{})
	_, _, err := api.handler()
	require.NoError(t, err)
	door.New(door.Limits{}, api.Metrics)
	api.fleetMetrics("api")

	worker := opened(t, &frontend.Cloud{})
	worker.Config.Events.Queues = []string{"http://127.0.0.1:1/queue"}
	worker.newIntakes(nil)
	worker.fleetMetrics("worker")

	all := registered(t, api.Metrics)
	for name, e := range all {
		e.in = []string{"api"}
		all[name] = e
	}
	for name, e := range registered(t, worker.Metrics) {
		e.in = slices.Concat(all[name].in, []string{"worker"})
		all[name] = e
	}
	return all
}

// TestMetricsDocumentIsCurrent holds docs/metrics.md to what api and worker register.
// The tests of deploy/dashboards hold alerts and dashboards to that page.
func TestMetricsDocumentIsCurrent(t *testing.T) {
	t.Parallel()
	all := processes(t)
	golden := filepath.Join("..", "..", "docs", "metrics.md")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(metricsDocument(all)), 0o644)) //nolint:gosec // a document
	}
	kept, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(kept), metricsDocument(all), "run make generate")
}

// TestMetricsFollowPrometheusConventions: names, units and a note for each.
func TestMetricsFollowPrometheusConventions(t *testing.T) {
	t.Parallel()
	all := processes(t)
	for name, e := range all {
		n, noted := metricNotes[name]
		require.True(t, noted, "%s has no entry in metricNotes", name)
		require.Equal(t, n.kind == "counter", strings.HasSuffix(name, "_total"), name)
		require.NotEmpty(t, e.help, name)
		for _, label := range e.labels {
			require.False(t, slices.Contains([]string{"agent", "agent_id", "client", "client_id", "instance", "instance_id"}, label),
				"%s has a label without bound: %s", name, label)
		}
		if n.over == fleetWide {
			require.Equal(t, []string{"api", "worker"}, e.in, "%s is about the fleet", name)
		}
	}
	for name := range metricNotes {
		require.Contains(t, all, name)
	}
}
