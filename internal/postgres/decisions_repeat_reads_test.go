package postgres_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/decisions"
	"spotkeeper/internal/postgres/housekeeping"
)

// TestReadingsCountRepetitions: the guards of a rollout see as many decisions, failures
// and pairs as were made in their span, however few rows they are.
func TestReadingsCountRepetitions(t *testing.T) {
	t.Parallel()
	s, ctx := newShelf(t), t.Context()
	s.upload(mlmodel.Models, "s1", "m.onnx")
	require.NoError(t, s.Open(ctx, activities.OpenRollout{SessionID: "s1", Plan: mlmodel.DefaultPlan()}))
	require.NoError(t, s.Validated(ctx, activities.Validation{SessionID: "s1", Runner: "onnx", Version: "new"}))
	shadow := func(r *engine.Record) {
		r.Shadow, r.Decision.Engine, r.Decision.Version, r.Decision.Savings = true, "onnx", "new", 0.02
	}
	moves := func(r *engine.Record) {
		r.Decision.Action, r.Decision.PoolID = engine.SwitchToSpot, "t3.medium.us-east-1c"
	}
	fails := func(r *engine.Record) { r.Decision.Vetoes = []engine.Veto{{Code: engine.BadAnswer}} }
	for n := range 10 {
		s.keep(stay("a1", inRun(n)))
		switch {
		case n < 5: // agrees
			s.keep(stay("a1", inRun(n), shadow))
		case n < 8:
			s.keep(stay("a1", inRun(n), shadow, moves))
		default:
			s.keep(stay("a1", inRun(n), shadow, fails))
		}
	}
	s.keep(stay("a1", inRun(99), shadow, fails)) // the live engine was not asked
	require.Equal(t, "10N 5 3 2 1N", s.said())
	got, err := s.Readings(ctx, activities.ReadingsQuery{
		SessionID: "s1",
		Phase:     mlmodel.Shadow,
		Since:     time.Now().Add(-time.Hour),
	})
	require.NoError(t, err)
	require.Equal(t, mlmodel.Comparison{
		Pairs:  10,
		Agree:  7,
		Errors: 2,
		Moves:  3,
		Regret: got.Shadow.Regret,
	}, got.Shadow)
	require.InDelta(t, 0.01, got.Shadow.Regret, 1e-9)

	// An hour and a half of a run each five minutes; the hour of the span holds twelve.
	s.exec(`TRUNCATE decisions`)
	serves := func(r *engine.Record) { r.Decision.Version = "new" }
	for n := range 18 {
		s.keep(stay("a1", inRun(n), serves, fails), stay("a1", serves))
	}
	s.exec(
		`
			UPDATE decisions
			SET created_at = now() - interval '87 minutes 30 seconds', last_at = now() - interval '2 minutes 30 seconds'`,
	)
	read := func(since time.Duration) [2]int {
		got, err := s.Readings(ctx, activities.ReadingsQuery{
			SessionID: "s1",
			Phase:     mlmodel.Live,
			Percent:   100,
			Since:     time.Now().Add(-since),
		})
		require.NoError(t, err)
		return [2]int{got.Group.Decisions, got.Group.Errors}
	}
	require.Equal(t, [2]int{36, 18}, read(90*time.Minute))
	require.Equal(t, [2]int{24, 12}, read(time.Hour))
	require.Equal(t, [2]int{2, 1}, read(5*time.Minute))
	require.Equal(t, [2]int{0, 0}, read(time.Minute))
	s.exec(`UPDATE decisions SET created_at = created_at - interval '1 hour', last_at = last_at - interval '1 hour'`)
	require.Equal(t, [2]int{24, 12}, read(24*time.Hour), "no more than two hours are counted")
}

// TestTheNewestDecisionsAreThoseSaidLast: a row that goes on is newer than one that
// began after it, and is kept as long as it goes on.
func TestTheNewestDecisionsAreThoseSaidLast(t *testing.T) {
	t.Parallel()
	g := guard(t)
	d := &decisions.Decisions{DB: g.db}
	version := func(v string) func(*engine.Record) { return func(r *engine.Record) { r.Decision.Version = v } }
	g.keep(stay("a1", inRun(0), version("goes on")))
	for n := range 9 {
		g.keep(stay("a1", version(strconv.Itoa(n))))
		g.shownAgree()
	}
	g.keep(stay("a1", inRun(0), version("goes on"), func(r *engine.Record) { r.Shadow = true }))
	g.shownAgree()
	g.exec(`DELETE FROM decisions WHERE shadow`)
	g.exec(`UPDATE decisions SET created_at = now() - interval '20 hours' + id * interval '1 minute'`)
	g.keep(stay("a1", inRun(1), version("goes on")))
	found, err := d.DecisionsOf(t.Context(), "a1", 3)
	require.NoError(t, err)
	require.Equal(t, []string{"goes on", "8", "7"},
		ids(found, func(m decisions.MadeDecision) string { return m.EngineVersion }))

	deleted, err := (&housekeeping.Housekeeping{DB: g.db}).Expire(t.Context(), "decisions",
		time.Now().Add(-time.Hour), func() {})
	require.NoError(t, err)
	require.Equal(t, int64(9), deleted)
	require.Equal(t, 5, one[int](g, `SELECT cardinality(at) FROM agent_decisions`), "what is shown stays")
	require.Equal(t, "2N", g.said())
	g.keep(stay("a1", version("8")))
	require.Equal(t, "2N 1N", g.said(), "a stream whose rows have expired begins anew")
}
