package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/decisions"
)

// TestTheHashOfSQLIsOurs: the groups that guards measure are those that processes
// serve.
func TestTheHashOfSQLIsOurs(t *testing.T) {
	t.Parallel()
	s, ctx := newShelf(t), t.Context()
	s.upload(mlmodel.Models, "s1", "m.onnx")
	s.exec(`DELETE FROM instances`)
	s.exec(`DELETE FROM agents`)
	s.exec(
		`
			INSERT INTO agents (id, client_id, logical_agent_id)
			SELECT 'agent-' || n, 'k1', 'l' || n
			FROM generate_series(1, 500) n`,
	)
	require.NoError(t, s.Open(ctx, activities.OpenRollout{SessionID: "s1", Plan: mlmodel.DefaultPlan()}))
	for _, percent := range []int{1, 10, 50, 99} {
		want := 0
		for i := range 500 {
			if mlmodel.InCanary("s1", fmt.Sprintf("agent-%d", i+1), percent) {
				want++
			}
		}
		got, err := s.Readings(ctx, activities.ReadingsQuery{
			SessionID: "s1",
			Phase:     mlmodel.Canary,
			Percent:   percent,
			Since:     time.Now().Add(-time.Hour),
		})
		require.NoError(t, err)
		require.Equal(t, want, got.Group.Agents)
		require.Equal(t, 500-want, got.Others.Agents)
	}
}

// TestReadings: an hour of two agents, one in the canary and one outside.
func TestReadings(t *testing.T) {
	t.Parallel()
	s, ctx := newShelf(t), t.Context()
	s.upload(mlmodel.Models, "s1", "m.onnx")
	in, out := "", ""
	for i := 0; in == "" || out == ""; i++ {
		id := fmt.Sprintf("agent-%d", i)
		if mlmodel.InCanary("s1", id, 50) {
			in = id
		} else {
			out = id
		}
	}
	s.agent("k1", in, "i-in")
	s.agent("k1", out, "i-out")
	s.exec(`UPDATE agents SET keeping = 'manual' WHERE id = 'a1'`) // no decision moves it
	s.exec(`UPDATE instances SET installed_at = now() - interval '2 days', spot_price = 0.02, ondemand_price = 0.04`)
	s.exec(`UPDATE instances SET mode = 'ondemand' WHERE id = 'i-in'`)
	require.NoError(t, s.Open(ctx, activities.OpenRollout{SessionID: "s1", Plan: mlmodel.DefaultPlan()}))
	require.NoError(t, s.Validated(ctx, activities.Validation{SessionID: "s1", Runner: "onnx", Version: "new"}))

	decisions := &decisions.Decisions{DB: s.db}
	decide := func(agentID, version string, minutes int, shadow, fails bool) {
		d := engine.Decision{Action: engine.Stay, Mode: "spot", Savings: .02, Engine: "onnx", Version: version}
		if fails {
			d.Vetoes = []engine.Veto{{Code: engine.Unavailable, Reason: "it hangs"}}
		}
		if shadow {
			d.Savings = .01
		}
		period := time.Date(2026, 1, 1, 0, minutes, 0, 0, time.UTC)
		require.NoError(t, decisions.Keep(ctx, engine.Record{
			Input:    engine.Input{Agent: engine.Agent{ID: agentID, ClientID: "k1"}},
			Decision: d,
			Shadow:   shadow,
			Source:   engine.BySchedule,
			Period:   period,
		}))
	}
	decide(in, "new", 5, false, false)
	decide(in, "new", 10, false, true)
	decide(in, "old", 15, false, true) // a process that kept the old engine
	decide(out, "old", 5, false, false)
	decide(out, "new", 5, true, false)
	decide(in, "new", 10, true, true)
	decide(in, "new", 20, true, false) // without a partner
	s.exec(
		`
			INSERT INTO switches (id, client_id, agent_id, trigger, phase)
			VALUES ('w1', 'k1', $1, 'model', 'done'), ('w2', 'k1', $1, 'manual', 'done'),
				('w3', 'k1', $1, 'model', 'abandoned')`,
		in,
	)
	s.exec(
		`
			INSERT INTO operations (id, kind, client_id, agent_id, state, ended_at, tend_at)
			VALUES ('termination/x', 'termination', 'k1', $1, 'failed', now(), NULL),
				('switch/x', 'switch', 'k1', $1, 'failed', now(), NULL)`,
		in,
	)
	s.exec(`UPDATE decisions SET created_at = created_at - interval '1 minute'`)
	s.exec(`UPDATE switches SET initiated_at = initiated_at - interval '1 minute'`)
	s.exec(`UPDATE operations SET ended_at = ended_at - interval '1 minute'`)

	got, err := s.Readings(ctx, activities.ReadingsQuery{
		SessionID: "s1",
		Phase:     mlmodel.Canary,
		Percent:   50,
		Since:     time.Now().Add(-time.Hour),
	})
	require.NoError(t, err)
	g := got.Group
	require.Equal(t, []int{1, 2, 1, 1, 1}, []int{g.Agents, g.Decisions, g.Errors, g.Switches, g.FailedFailovers})
	require.InDelta(t, .04, g.Spend, .001)
	require.InDelta(t, .04, g.Reference, .001)
	share, known := got.Others.SpendShare()
	require.True(t, known)
	require.InDelta(t, .5, share, .001)
	require.Equal(t, 1, got.Others.Decisions)

	got, err = s.Readings(ctx, activities.ReadingsQuery{
		SessionID: "s1",
		Phase:     mlmodel.Shadow,
		Since:     time.Now().Add(-time.Hour),
	})
	require.NoError(t, err)
	require.Equal(t, mlmodel.Comparison{Pairs: 2, Agree: 2, Errors: 1, Regret: got.Shadow.Regret}, got.Shadow)
	require.InDelta(t, .01, got.Shadow.Regret, 1e-9, "the live decision saves a cent more")
	view, err := s.Rollout(ctx, "s1")
	require.NoError(t, err)
	require.Equal(t, 2, view.Readings.Shadow.Pairs, "what the guards saw is shown")

	got, err = s.Readings(ctx, activities.ReadingsQuery{
		SessionID: "s1",
		Phase:     mlmodel.Live,
		Percent:   100,
		Since:     time.Now().Add(-time.Hour),
	})
	require.NoError(t, err)
	require.Equal(t, 2, got.Group.Agents)
	require.InDelta(t, .06, got.Others.Spend, .001, "the fleet before, in as much time")

	require.NoError(t, s.End(ctx, activities.EndRollout{SessionID: "s1", Phase: mlmodel.Aborted}))
	got, err = s.Readings(ctx, activities.ReadingsQuery{SessionID: "s1", Phase: mlmodel.Canary, Percent: 50})
	require.NoError(t, err)
	require.True(t, got.Gone)
}
