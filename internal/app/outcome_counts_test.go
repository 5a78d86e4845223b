package app

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres/metrics"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/postgrestest"
)

// outcomesOfOneAgent is a fleet of one agent whose instance i ends, in the ways that the
// rows of a test say.
func outcomesOfOneAgent(t *testing.T) (*pg.DB, *prometheus.Registry, func(sql string)) {
	t.Helper()
	db := postgrestest.Open(t)
	exec := func(sql string) {
		t.Helper()
		_, err := db.Pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(`INSERT INTO clients (id, name, email, token_hash, token_sealed) VALUES ('c', 'C', 'c@c', '\x01', '\x01');
		INSERT INTO agents (id, client_id, logical_agent_id, agent_version) VALUES ('a', 'c', 'a', '5.0.0');
		INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, spot_price)
		VALUES ('i', 'c', 'a', 'retiring', 't', 'r', 'z', 't.z', 'spot', 0.5)`)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(newOutcomeCounts(&metrics.Outcomes{DB: db}, slog.New(slog.DiscardHandler)))
	return db, r, exec
}

// notice decides a termination notice half a second after its arrival, by a successor
// of the replica r.
const (
	replicaRow = `INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, pool_id, mode, instance_id,
			launched_at, running_at, ready_at, ended_at)
		VALUES ('r', 'c', 'a', 'KIND', 'i', 'promoted', 'control-plane', 't.y', 'MODE', 'n',
			now() + interval 'LAUNCHED', now() + interval 'LAUNCHED', now() + interval 'LAUNCHED', now());`
	noticeRow = `INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline, received_at, decided_at, result, new_primary)
		VALUES ('c', 'a', 'i', 'termination-notice', now() + interval '120 s', now(), now() + interval '7 s', 'RESULT', NEW)`
)

func TestFailoversAreCountedByWhatTookOver(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct{ kind, mode, launched, result, primary, outcome, path string }{
		"a standby that was ready": {"manual", "spot", "-60 s", "promoted", "'n'", "promoted", "standby"},
		"one that came up late":    {"manual", "spot", "5 s", "promoted", "'n'", "promoted", "launch"},
		"a launch":                 {"termination", "spot", "5 s", "promoted", "'n'", "promoted", "launch"},
		"the last resort":          {"termination", "ondemand", "5 s", "promoted", "'n'", "promoted", "ondemand"},
		"a switch in flight":       {"switch", "spot", "5 s", "promoted", "'n'", "promoted", "switch"},
		"an instance of the agent": {"switch", "spot", "5 s", "promoted", "'other'", "promoted", "reported"},
		"nothing":                  {"termination", "spot", "5 s", "lost", "NULL", "lost", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, r, exec := outcomesOfOneAgent(t)
			_, err := r.Gather() // the first scrape begins to count
			require.NoError(t, err)
			exec(strings.NewReplacer("KIND", x.kind, "MODE", x.mode, "LAUNCHED", x.launched, "RESULT", x.result, "NEW", x.primary).
				Replace(replicaRow + noticeRow))
			for range 2 { // counted once, however often it is read
				require.InDelta(t, 1, value(t, r, "spotkeeper_failovers_total", "outcome", x.outcome, "path", x.path, "door", "http"), 0)
				require.InDelta(t, 1, value(t, r, "spotkeeper_failovers_total"), 0)
			}
			if x.outcome == "promoted" {
				require.InDelta(t, 113, value(t, r, "spotkeeper_failover_seconds_left"), .01)
				require.InDelta(t, 7, value(t, r, "spotkeeper_failover_seconds", "step", "decided", "path", x.path), .01)
			}
			if x.path == "launch" {
				require.InDelta(t, 5, value(t, r, "spotkeeper_failover_seconds", "step", "launched", "path", x.path), .01)
			}
		})
	}
}

// value sums the series of a family that have some labels: values of counters and
// gauges, sums of histograms.
func value(t *testing.T, r prometheus.Gatherer, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			has := map[string]string{}
			for _, l := range m.GetLabel() {
				has[l.GetName()] = l.GetValue()
			}
			fits := true
			for i := 0; i < len(labels); i += 2 {
				fits = fits && has[labels[i]] == labels[i+1]
			}
			if fits {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
			}
		}
	}
	return sum
}

// TestWhatEndedBeforeTheFirstScrapeIsNotCounted: another process has counted it, and a
// restart would count it again.
func TestWhatEndedBeforeTheFirstScrapeIsNotCounted(t *testing.T) {
	t.Parallel()
	_, r, exec := outcomesOfOneAgent(t)
	exec(strings.NewReplacer("RESULT", "lost", "NEW", "NULL", "now() + interval '7 s'", "now() - interval '1 s'").Replace(noticeRow))
	for range 2 {
		require.Zero(t, value(t, r, "spotkeeper_failovers_total"))
	}
}

func TestLaunchesMovesAndRecommendationsAreCounted(t *testing.T) {
	t.Parallel()
	_, r, exec := outcomesOfOneAgent(t)
	_, err := r.Gather()
	require.NoError(t, err)
	exec(`INSERT INTO replicas (id, client_id, agent_id, kind, made_for, launcher) VALUES ('r', 'c', 'a', 'manual', 'i', 'control-plane');
		INSERT INTO launches (client_token, client_id, agent_id, replica_id, pool_id, mode, request, state, instance_id,
				error_code, ended_at) VALUES
			('1', 'c', 'a', 'r', 't.z', 'spot', '{}', 'failed', NULL, 'launch.no_capacity', clock_timestamp()),
			('2', 'c', 'a', 'r', 't.y', 'spot', '{}', 'launched', 'i-2', NULL, clock_timestamp());
		INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline) VALUES
			('c', 'a', 'i', 'rebalance-recommendation', now()), ('c', 'a', 'i', 'termination-notice', now());
		UPDATE notices SET result = 'lost', decided_at = clock_timestamp() WHERE kind = 'termination-notice';
		INSERT INTO operations (id, client_id, agent_id, kind, state, ended_at, tend_at)
		VALUES ('switch/x', 'c', 'a', 'switch', 'failed', clock_timestamp(), NULL)`)
	require.InDelta(t, 1, value(t, r, "spotkeeper_launch_attempts_total", "pool", "t.z", "result", "launch.no_capacity"), 0)
	require.InDelta(t, 1, value(t, r, "spotkeeper_launch_attempts_total", "pool", "t.y", "result", "launched"), 0)
	require.InDelta(t, 1, value(t, r, "spotkeeper_rebalances_total", "pool", "t.z"), 0)
	require.InDelta(t, 1, value(t, r, "spotkeeper_rebalance_came_true_total", "pool", "t.z"), 0)
	require.InDelta(t, 1, value(t, r, "spotkeeper_moves_total", "kind", "switch", "result", "failed", "asked", "person"), 0)
}

// TestCountersOutliveTheDatabase: they show what was counted, and go on after it.
func TestCountersOutliveTheDatabase(t *testing.T) {
	t.Parallel()
	db, r, exec := outcomesOfOneAgent(t)
	_, err := r.Gather()
	require.NoError(t, err)
	exec(strings.NewReplacer("RESULT", "lost", "NEW", "NULL").Replace(noticeRow))
	require.InDelta(t, 1, value(t, r, "spotkeeper_failovers_total"), 0)
	db.Close()
	require.InDelta(t, 1, value(t, r, "spotkeeper_failovers_total"), 0)
}

// TestPoolsAreBounded: agents name the pools of instances that are not proven.
func TestPoolsAreBounded(t *testing.T) {
	t.Parallel()
	c := newOutcomeCounts(nil, slog.New(slog.DiscardHandler))
	for i := range 2 * boundedPools {
		c.countFailover(metrics.Failover{Recommend: true, PoolID: strings.Repeat("p", i+1)})
	}
	series := make(chan prometheus.Metric, 3*boundedPools)
	c.rebalances.Collect(series)
	require.Len(t, series, boundedPools+1)
}

func TestSpendIsByPurchase(t *testing.T) {
	t.Parallel()
	db, r, exec := outcomesOfOneAgent(t)
	exec(`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, ondemand_price)
		VALUES ('p', 'c', 'a', 'primary', 't', 'r', 'z', 't.z', 'ondemand', 2);
		INSERT INTO on_demand_prices (region, instance_type, price, source, observed_at) VALUES ('r', 't', 3, 'pricing-api', now())`)
	r.MustRegister(newSpendGauges((&metrics.Outcomes{DB: db}).Spend, slog.New(slog.DiscardHandler)))
	require.InDelta(t, .5, value(t, r, "spotkeeper_spend_dollars_per_hour", "purchase", "spot"), 1e-9)
	require.InDelta(t, 3, value(t, r, "spotkeeper_spend_dollars_per_hour", "purchase", "ondemand"), 1e-9)
	require.InDelta(t, 3, value(t, r, "spotkeeper_ondemand_equivalent_dollars_per_hour"), 1e-9)
	require.InDelta(t, .5, value(t, r, "spotkeeper_standby_dollars_per_hour"), 1e-9)
	require.InDelta(t, 1, value(t, r, "spotkeeper_instances", "region", "r", "role", "primary", "purchase", "ondemand"), 0)
	require.InDelta(t, 1, value(t, r, "spotkeeper_agent_info", "version", "5.0.0", "join", "token"), 0)
}
