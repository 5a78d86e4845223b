package temporalx_test

import (
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/temporalx"
)

func TestMetricsKeepTheNamesOfTemporalsDashboards(t *testing.T) {
	t.Parallel()

	r := prometheus.NewRegistry()
	m := temporalx.NewMetrics(r).WithTags(map[string]string{"namespace": "default", "workflow_id": "left out"})
	m.Counter("temporal_request").Inc(2)
	m.WithTags(map[string]string{"operation": "Poll"}).Counter("temporal_request").Inc(1)
	m.Gauge("temporal_worker_task_slots_used").Update(3)
	m.Timer("temporal_request_latency").Record(20 * time.Millisecond)

	families, err := r.Gather()
	require.NoError(t, err)
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
		if f.GetName() != "temporal_request_total" {
			continue
		}
		require.Len(t, f.GetMetric(), 2, "by their tags")
		for _, l := range f.GetMetric()[0].GetLabel() {
			require.NotEqual(t, "workflow_id", l.GetName())
		}
		require.InDelta(t, 3, f.GetMetric()[0].GetCounter().GetValue()+f.GetMetric()[1].GetCounter().GetValue(), 0)
	}
	require.Equal(t, []string{"temporal_request_latency_seconds", "temporal_request_total",
		"temporal_worker_task_slots_used"}, names)
}

func TestMetricsAreSafeForConcurrentUse(t *testing.T) {
	t.Parallel()

	r := prometheus.NewRegistry()
	m := temporalx.NewMetrics(r)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				m.Counter("temporal_request").Inc(1)
			}
		})
	}
	all.Wait()
	families, err := r.Gather()
	require.NoError(t, err)
	require.Len(t, families, 1)
	require.InDelta(t, 800, families[0].GetMetric()[0].GetCounter().GetValue(), 0)
}

// TestTheAlertForFailingTasksFindsItsLabels: in an expression a label that no
// series has is no error, only empty.
func TestTheAlertForFailingTasksFindsItsLabels(t *testing.T) {
	t.Parallel()

	rules, err := os.ReadFile("../../deploy/dashboards/alerts.yaml")
	require.NoError(t, err)
	by := regexp.MustCompile(`sum by \(([^)]*)\) \(increase\((temporal_workflow_task_execution_failed)_total`).
		FindSubmatch(rules)
	require.NotNil(t, by)

	r := prometheus.NewRegistry()
	reason := map[string]string{"workflow_type": "Guardian", "failure_reason": "NonDeterminismError"}
	temporalx.NewMetrics(r).WithTags(reason).Counter(string(by[2])).Inc(1)
	families, err := r.Gather()
	require.NoError(t, err)
	require.Len(t, families, 1)
	kept := map[string]string{}
	for _, l := range families[0].GetMetric()[0].GetLabel() {
		kept[l.GetName()] = l.GetValue()
	}
	for _, label := range strings.Split(string(by[1]), ", ") {
		require.Equal(t, reason[label], kept[label], label)
	}
}
