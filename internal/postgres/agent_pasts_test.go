package postgres_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/prices"
	"spotkeeper/internal/postgres/views"
)

// TestReportsAreListedOnce: the page shows reports at once and the newest first. A report
// that was sent twice is listed once, and no more than two dozen are kept.
func TestReportsAreListedOnce(t *testing.T) {
	t.Parallel()
	g := guard(t)
	p, v := &prices.Prices{DB: g.db}, &views.Views{DB: g.db}
	report := func(at time.Time, dollars ...float64) {
		_, err := p.Report(t.Context(), "k1", "a1", seen("i-0", at, dollars...))
		require.NoError(t, err)
	}
	at := time.Now().Add(-time.Minute)
	report(at, 0.012, 0.011)
	report(at, 0.012, 0.011)
	report(at.Add(time.Second), 0.014, 0.013)
	list, err := v.AgentDecisions(t.Context(), "k1", pg.Page{})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, 2, list[0].ReportCount)
	require.Len(t, list[0].Reports, 2)
	for n, spot := range []float64{0.014, 0.012} {
		r := list[0].Reports[n]
		require.InDelta(t, spot, r.Spot, 1e-9, "of the pool in which the agent lives, which is not the cheapest")
		require.InDelta(t, 0.0416, r.OnDemand, 1e-9)
		require.WithinDuration(t, time.Now(), r.At, time.Minute, "when it arrived")
	}

	for n := range 30 {
		report(at.Add(time.Duration(n+2)*time.Second), 0.02+float64(n)/1000)
	}
	require.Equal(t, "24 49000 26000",
		one[string](g, `SELECT concat_ws(' ', cardinality(at), spot[1], spot[24]) FROM agent_reports`))

	g.exec(`
		UPDATE agent_reports
		SET at = ARRAY(SELECT t - interval '2 minutes' - interval '59 minutes' * (n > 2)::int
			FROM unnest(at) WITH ORDINALITY x(t, n))`)
	list, err = v.AgentDecisions(t.Context(), "k1", pg.Page{})
	require.NoError(t, err)
	require.Equal(t, 2, list[0].ReportCount, "of the last ten minutes")
	require.Len(t, list[0].Reports, 2, "of the last hour")
	g.exec(`DELETE FROM agents WHERE id = 'a1'`)
	require.Zero(t, one[int](g, `SELECT count(*)::int FROM agent_reports`))
}

// TestWhatAgentsDidBeforeIsListed: after the migration the page shows what was there
// before it, as it shows what comes after.
func TestWhatAgentsDidBeforeIsListed(t *testing.T) {
	t.Parallel()
	g := guard(t)
	g.agent("k1", "a2", "i-2")
	p := &prices.Prices{DB: g.db}
	for n := range 7 {
		version := func(r *engine.Record) { r.Decision.Version, r.Decision.Savings = strconv.Itoa(n), float64(n)/100 }
		g.keep(stay("a1", version), stay("a1", version, func(r *engine.Record) { r.Shadow = true }),
			stay("a2", version, inRun(n)))
		_, err := p.Report(t.Context(), "k1", "a1",
			seen("i-0", time.Now().Add(-time.Duration(n)*time.Second), 0.012+float64(n)/1000, 0.011))
		require.NoError(t, err)
	}
	const kept = `SELECT jsonb_build_object('decisions', (SELECT jsonb_agg(d ORDER BY agent_id) FROM agent_decisions d),
		'reports', (SELECT jsonb_agg(r ORDER BY agent_id) FROM agent_reports r))::text`
	want := one[string](g, kept)
	require.Contains(t, want, "[0.06, 0.05, 0.04, 0.03, 0.02]")
	require.Contains(t, want, "[18000, 17000, 16000, 15000, 14000, 13000, 12000]")
	g.exec(`TRUNCATE agent_decisions, agent_reports`)
	for range 2 {
		g.rerun("0078_what_agents_did_before.sql")
		require.JSONEq(t, want, one[string](g, kept))
	}
}

// TestDecisionsHaveTheirIndexes: those made while others write are whole, and what was
// added without a look at the rows is validated.
func TestDecisionsHaveTheirIndexes(t *testing.T) {
	t.Parallel()
	g := guard(t)
	require.Equal(t, "decisions_one_newest decisions_stream_idx", one[string](g, `
		SELECT string_agg(c.relname, ' ' ORDER BY c.relname)
		FROM pg_index i
		JOIN pg_class c ON c.oid = i.indexrelid
		WHERE i.indrelid = 'decisions'::regclass AND i.indisvalid
			AND c.relname IN ('decisions_agent_idx', 'decisions_one_newest', 'decisions_stream_idx')`))
	require.Zero(t, one[int](g,
		`SELECT count(*)::int FROM pg_constraint WHERE conrelid = 'decisions'::regclass AND NOT convalidated`))
}
