package postgres_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/decisions"
)

// shownAgree requires that the row of each agent shows its last five decisions, however they
// are stored, newest first.
func (g *guarded) shownAgree() {
	g.t.Helper()
	require.Equal(g.t, one[string](g, `
		SELECT coalesce(string_agg(concat_ws(' ', agent_id, least(said, 5), at, action, current_mode, risk, saving),
			'; '
			ORDER BY agent_id),
			'')
		FROM (
			SELECT DISTINCT ON (agent_id) *, coalesce(last_at, created_at) AS at,
				sum(repeats) OVER (PARTITION BY agent_id) AS said,
				risk_score::float8 AS risk, expected_savings::float8 AS saving
			FROM decisions
			WHERE NOT shadow
			ORDER BY agent_id, at DESC, id DESC) d`),
		one[string](g, `
		SELECT coalesce(string_agg(x, '; ' ORDER BY agent_id), '')
		FROM agent_decisions,
			concat_ws(' ', agent_id, cardinality(at), at[1], actions[1], modes[1], risks[1], savings[1]) x`))
	require.Zero(g.t, one[int](g,
		`SELECT count(*)::int FROM agent_decisions WHERE at <> ARRAY(SELECT t FROM unnest(at) t ORDER BY t DESC)`),
		"newest first")
}

// stay is a decision to stay of an agent, as a page or an agent asks for it.
func stay(agentID string, edit ...func(*engine.Record)) engine.Record {
	r := engine.Record{
		Source: engine.ByAgent,
		Input: engine.Input{
			Agent:    engine.Agent{ID: agentID, ClientID: "k1"},
			Instance: engine.Instance{ID: "i-0", Mode: "spot", PoolID: "t3.medium.us-east-1a"},
		},
		Decision: engine.Decision{
			Action:     engine.Stay,
			Mode:       "spot",
			PoolID:     "t3.medium.us-east-1a",
			Risk:       0.01,
			Savings:    0.03,
			Confidence: 0.9,
			Reason:     "Current mode is optimal (70.1% savings)",
			Scores:     []engine.Score{{Mode: "spot", PoolID: "t3.medium.us-east-1a", Price: 0.0125}},
			Engine:     "rules",
			Version:    "1",
			Digest:     "d1",
		},
	}
	for _, e := range edit {
		e(&r)
	}
	return r
}

// inRun makes a record one of a run of fleet-decisions, the given number of runs after the first.
func inRun(n int) func(*engine.Record) {
	return func(r *engine.Record) {
		r.Source, r.Period = engine.BySchedule, someFive.Add(time.Duration(n)*5*time.Minute)
	}
}

func (g *guarded) keep(records ...engine.Record) {
	g.t.Helper()
	require.NoError(g.t, (&decisions.Decisions{DB: g.db}).Keep(g.t.Context(), records...))
}

// said lists the rows by id: how often each was said, and an M where it is the newest.
func (g *guarded) said() string {
	g.t.Helper()
	return one[string](
		g,
		`
			SELECT coalesce(string_agg(repeats || CASE WHEN newest THEN 'N' ELSE '' END, ' ' ORDER BY id), '')
			FROM decisions`,
	)
}

// TestARepeatedDecisionIsOneRow: with the numbers and words of the last time, which is
// what explain shows.
func TestARepeatedDecisionIsOneRow(t *testing.T) {
	t.Parallel()
	g := guard(t)
	last := stay("a1")
	for n := range 5 {
		last = stay("a1", func(r *engine.Record) {
			r.Decision.Risk, r.Decision.Savings, r.Decision.Confidence = 0.01*float64(n), 0.03+float64(n)/100, 0.5+
				float64(n)/10
			r.Decision.Reason = fmt.Sprintf("Current mode is optimal (%d.5%% savings)", 70+n)
			r.Decision.Vetoes = []engine.Veto{{
				Code:   engine.ClientMoving,
				Reason: fmt.Sprintf("%d of 40 are moving.", n),
			}}
			r.Decision.Scores[0].Price, r.Decision.Digest = 0.0125+float64(n)/1000, fmt.Sprintf("digest-%d", n)
			r.Input.Holds.ClientMoving = n
		})
		g.keep(last)
	}
	require.Equal(t, "5N", g.said())
	g.shownAgree()
	require.Equal(t, "{0.04,0.03,0.02,0.01,0} {0.07,0.06,0.05,0.04,0.03}",
		one[string](g, `SELECT risks::text || ' ' || savings::text FROM agent_decisions`),
		"pages show each time with its own numbers")
	found, err := (&decisions.Decisions{DB: g.db}).DecisionsOf(t.Context(), "a1", 10)
	require.NoError(t, err)
	require.Len(t, found, 1)
	d := found[0]
	require.Equal(t, 5, d.Count)
	require.True(t, d.FirstAt.Before(d.At))
	require.Equal(t, last.Decision.Reason, d.Reason)
	require.InDeltaSlice(t, []float64{last.Decision.Risk, last.Decision.Savings, last.Decision.Confidence},
		[]float64{d.RiskScore, d.ExpectedSavings, d.Confidence}, 1e-9)
	for what, kept := range map[any]json.RawMessage{&last.Decision.Vetoes: d.Vetoes, &last.Decision.Scores: d.Scores} {
		want, err := json.Marshal(what)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(kept))
	}
	var inputs struct {
		Digest string
		Holds  engine.Blockers
	}
	require.NoError(t, json.Unmarshal(d.Inputs, &inputs))
	require.Equal(t, last.Decision.Digest, inputs.Digest)
	require.Equal(t, 4, inputs.Holds.ClientMoving)
}

// TestWhatEndsARepetition: a decision that differs in what it says has its own row, and
// so has the next one like the first.
func TestWhatEndsARepetition(t *testing.T) {
	t.Parallel()
	wanted := func(pool string) func(*engine.Record) {
		return func(r *engine.Record) { r.Decision.Wanted = &engine.Target{Action: engine.SwitchToSpot, PoolID: pool} }
	}
	for name, edit := range map[string]func(*engine.Record){
		"instance":     func(r *engine.Record) { r.Input.Instance.ID = "i-9" },
		"mode":         func(r *engine.Record) { r.Input.Instance.Mode = "ondemand" },
		"pool":         func(r *engine.Record) { r.Input.Instance.PoolID = "t3.medium.us-east-1b" },
		"action":       func(r *engine.Record) { r.Decision.Action = engine.SwitchToSpot },
		"target":       func(r *engine.Record) { r.Decision.PoolID = "t3.medium.us-east-1b" },
		"engine":       func(r *engine.Record) { r.Decision.Engine = "onnx" },
		"version":      func(r *engine.Record) { r.Decision.Version = "2" },
		"reason":       func(r *engine.Record) { r.Decision.Reason = "Current mode is dear (70.1% savings)" },
		"veto":         func(r *engine.Record) { r.Decision.Vetoes = []engine.Veto{{Code: engine.NoticeStands}} },
		"wanted":       wanted("t3.medium.us-east-1c"),
		"outcome":      func(r *engine.Record) { r.Outcome = "switch.busy" },
		"an open move": func(r *engine.Record) { r.Outcome = engine.OutcomeOpen },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard(t)
			g.keep(stay("a1"), stay("a1", edit), stay("a1"), stay("a1"))
			require.Equal(t, "1 1 2N", g.said())
			g.shownAgree()
		})
	}
	t.Run("another stream does not", func(t *testing.T) {
		t.Parallel()
		g := guard(t)
		g.agent("k1", "a2", "i-2")
		for n := range 3 {
			g.keep(stay("a1"), stay("a2"), stay("a1", inRun(n)),
				stay("a1", inRun(n), func(r *engine.Record) { r.Shadow = true }))
		}
		require.Equal(t, "3N 3N 3N 3N", g.said())
		g.shownAgree()
	})
	t.Run("an order never repeats", func(t *testing.T) {
		t.Parallel()
		g := guard(t)
		order := func(outcome, commandID string) engine.Record {
			return stay("a1", func(r *engine.Record) {
				r.Source, r.Decision.Action, r.Outcome, r.CommandID = engine.ByCommand, engine.SwitchToSpot, outcome, commandID
			})
		}
		g.keep(order("ordered", "c1"), order("ordered", "c2"), order("switch.busy", ""), order("switch.busy", ""))
		require.Equal(t, "1 1 2N", g.said(), "what was refused in the same way does")
	})
	t.Run("a day", func(t *testing.T) {
		t.Parallel()
		g := guard(t)
		g.keep(stay("a1"), stay("a1"))
		g.exec(`UPDATE decisions SET created_at = now() - interval '23 hours'`)
		g.keep(stay("a1"))
		require.Equal(t, "3N", g.said())
		g.exec(`UPDATE decisions SET created_at = now() - interval '24 hours 1 second'`)
		g.keep(stay("a1"))
		require.Equal(t, "3 1N", g.said())
	})
	t.Run("a stage of a rollout", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t)
		s.upload(mlmodel.Models, "s1", "m.onnx")
		s.keep(stay("a1"), stay("a1"))
		require.NoError(t, s.Open(t.Context(), activities.OpenRollout{SessionID: "s1", Plan: mlmodel.DefaultPlan()}))
		s.keep(stay("a1"))
		require.Equal(t, "3N", s.said(), "it has not begun to serve")
		s.exec(`UPDATE model_rollouts SET stage_since = now()`)
		s.keep(stay("a1"), stay("a1"))
		require.Equal(t, "3 2N", s.said())
		s.exec(`UPDATE model_rollouts SET stage_since = now()`)
		s.keep(stay("a1"))
		require.Equal(t, "3 2 1N", s.said())
		require.NoError(t, s.End(t.Context(), activities.EndRollout{SessionID: "s1", Phase: mlmodel.Aborted}))
		s.keep(stay("a1"))
		require.Equal(t, "3 2 2N", s.said())
	})
}

// TestARunIsCountedOnce: a run that keeps what it decided twice, and one that comes
// back after a later one, change nothing.
func TestARunIsCountedOnce(t *testing.T) {
	t.Parallel()
	g := guard(t)
	d := &decisions.Decisions{DB: g.db}
	g.exec(`UPDATE agents SET status = 'online'`)
	due := func(n int) []string {
		ids, err := d.Due(t.Context(), someFive.Add(time.Duration(n)*5*time.Minute))
		require.NoError(t, err)
		return ids
	}
	tally := func(n int) int64 {
		counts, err := d.Tally(t.Context(), someFive.Add(time.Duration(n)*5*time.Minute))
		require.NoError(t, err)
		return counts["evaluated"]
	}
	for n := range 4 {
		require.Equal(t, []string{"a1"}, due(n))
		for range 2 {
			g.keep(stay("a1", inRun(n)))
			require.Empty(t, due(n))
			require.Equal(t, int64(1), tally(n))
		}
	}
	require.Equal(t, "4N", g.said())
	before := one[string](g, `SELECT to_jsonb(d)::text FROM decisions d`)
	g.keep(stay("a1", inRun(2)), stay("a1", inRun(-1)),
		stay(
			"a1",
			inRun(
				1,
			),
			func(r *engine.Record) { r.Decision.Action, r.Outcome = engine.SwitchToSpot, engine.OutcomeOpen },
		))
	require.Equal(t, before, one[string](g, `SELECT to_jsonb(d)::text FROM decisions d`),
		"what a later run has decided stands")
	require.Empty(t, due(2))

	// Rows from before there was a newest one.
	g.exec(`UPDATE decisions SET newest = false, repeats = 1, last_at = NULL, last_period = NULL`)
	require.Empty(t, due(0))
	g.keep(stay("a1", inRun(0)))
	require.Equal(t, "1", g.said())
	g.keep(stay("a1", inRun(1)))
	require.Equal(t, "1 1N", g.said())
}
