package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"spotkeeper/workflows"
)

func TestAPausedScheduleIsAGauge(t *testing.T) {
	t.Parallel()

	jobs, away := map[string]bool{"gap-fill": false, "notification-delivery": true}, error(nil)
	g := newScheduleGauges(func(context.Context) (map[string]bool, error) { return jobs, away },
		slog.New(slog.DiscardHandler))
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(g)
	shown := func() map[string]float64 {
		families, err := r.Gather()
		require.NoError(t, err)
		out := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				out[f.GetName()+" "+m.GetLabel()[0].GetName()+"="+m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
		return out
	}
	require.Equal(t, map[string]float64{"spotkeeper_schedule_paused job=gap-fill": 0,
		"spotkeeper_schedule_paused job=notification-delivery": 1}, shown())
	away = errors.New("Temporal is away")
	require.Empty(t, shown())
}

// TestThePageForPausedSchedulesNamesWhatMustRun: the jobs that are never paused by
// their failures are those that a person must not leave paused either.
func TestThePageForPausedSchedulesNamesWhatMustRun(t *testing.T) {
	t.Parallel()

	rules, err := os.ReadFile("../../deploy/dashboards/alerts.yaml")
	require.NoError(t, err)
	named := regexp.MustCompile(`spotkeeper_schedule_paused\{job=~"([^"]*)"\}`).FindSubmatch(rules)
	require.NotNil(t, named)
	var must []string
	for _, s := range workflows.Schedules("control") {
		if job := strings.TrimPrefix(s.ID, workflows.SchedulePrefix); !(&workflows.Client{}).PausesOnFailure(job) {
			must = append(must, job)
		}
	}
	slices.Sort(must)
	got := strings.Split(string(named[1]), "|")
	slices.Sort(got)
	require.Equal(t, must, got)
}
