package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres/metrics"
	"spotkeeper/internal/testkit/postgrestest"
)

func TestGaugesSayWhatIs(t *testing.T) {
	t.Parallel()

	db := postgrestest.Open(t)
	_, err := db.Pool.Exec(t.Context(),
		`INSERT INTO clients (id, name, email, token_hash, token_sealed) VALUES ('c', 'C', 'c@c', '\x01', '\x01');
		INSERT INTO agents (id, client_id, logical_agent_id) VALUES ('a', 'c', 'a'), ('b', 'c', 'b');
		INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id)
		VALUES ('i', 'c', 'a', 'primary', 't', 'r', 'z', 'p');
		INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline, received_at)
		VALUES ('c', 'a', 'i', 'termination-notice', now(), now() - interval '9 seconds')`)
	require.NoError(t, err)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(newGauges(db, slog.New(slog.DiscardHandler)))
	require.Equal(t, map[string]float64{
		"spotkeeper_agents_without_primary": 1,
		"spotkeeper_instances_unproven":     1,
		"spotkeeper_notices_undecided":      1,
		"spotkeeper_notices_undelivered":    1,
		"spotkeeper_notices_lost":           0,
		"spotkeeper_agents_online":          2,
		"spotkeeper_agents_offline":         0,
		"spotkeeper_replicas_open":          0,
		"spotkeeper_retirements_late":       0,
		"spotkeeper_orphans_ended":          0,
		"spotkeeper_jobs_failed":            0,
	}, gathered(t, r, "spotkeeper_notice_undelivered_age_seconds"))
}

// gathered reads every gauge but those whose value is the clock's.
func gathered(t *testing.T, r prometheus.Gatherer, but ...string) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	out := map[string]float64{}
	for _, f := range families {
		if !slices.Contains(but, f.GetName()) {
			out[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return out
}

func TestNoGaugesWithoutTheirDatabase(t *testing.T) {
	t.Parallel()

	g := newGauges(nil, slog.New(slog.DiscardHandler))
	g.read = func(context.Context) (metrics.Gauges, error) { return metrics.Gauges{}, errors.New("away") }
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(g)
	require.Empty(t, gathered(t, r))
}
