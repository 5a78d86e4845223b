package activities_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/engine"
	"spotkeeper/workflows"
)

// ledger keeps decisions in memory. The real store is tested with the activity in
// internal/postgres.
type ledger struct {
	agents []string
	kept   []engine.Record
	open   []activities.OpenSwitchOrder
	done   []activities.SettledSwitchOrder
	asked  [][]string
}

func (l *ledger) Due(context.Context, time.Time) ([]string, error) {
	return slices.Clone(l.agents), nil
}

func (l *ledger) Inputs(_ context.Context, ids []string) ([]engine.Input, error) {
	l.asked = append(l.asked, ids)
	out := make([]engine.Input, len(ids))
	for i, id := range ids {
		out[i] = engine.Input{
			Agent:    engine.Agent{ID: id, ClientID: "k1", Enabled: true, AutoSwitch: true},
			Instance: engine.Instance{ID: "i-" + id, Mode: "spot"},
		}
	}
	return out, nil
}

func (l *ledger) Keep(_ context.Context, records ...engine.Record) error {
	l.kept = append(l.kept, records...)
	return nil
}

func (l *ledger) OpenSwitchOrders(context.Context, time.Time, time.Duration) ([]activities.OpenSwitchOrder, error) {
	open := l.open
	l.open = nil
	return open, nil
}

func (l *ledger) Settle(_ context.Context, in activities.SettledSwitchOrder) error {
	l.done = append(l.done, in)
	return nil
}

func (l *ledger) Tally(context.Context, time.Time) (map[string]int64, error) {
	return map[string]int64{}, nil
}

func (l *ledger) OrderSwitch(_ context.Context, in switching.SwitchRequest) (*switching.StartedSwitch, error) {
	switch in.AgentID {
	case "busy":
		return nil, switching.Busy.New("another one is in flight")
	case "done":
		return nil, switching.AlreadyDone.New("it is over")
	case "away":
		return nil, workflows.Unreachable.New("nobody is there")
	}
	return &switching.StartedSwitch{CommandID: in.ID}, nil
}

func (l *ledger) run(t *testing.T, d activities.Decisions) error {
	t.Helper()
	d.Store, d.Switches, d.Log = l, l, slog.New(slog.DiscardHandler)
	_, err := d.DecideFleet(t.Context(),
		activities.DecideFleetInput{Period: time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)})
	return err
}

// sleeper never answers before its caller has had enough.
type sleeper struct{ engine.Legacy }

func (sleeper) Decide(ctx context.Context, _ engine.Input) (engine.Decision, error) {
	<-ctx.Done()
	return engine.Decision{}, ctx.Err()
}

func TestAnEngineThatHangsDoesNotHoldTheFleetUp(t *testing.T) {
	t.Parallel()

	l := &ledger{}
	for i := range 50 {
		l.agents = append(l.agents, string(rune('A'+i)))
	}
	e := sleeper{}
	require.NoError(t, l.run(t, activities.Decisions{
		Patience:  time.Millisecond,
		BatchSize: 20,
		EngineFor: func(string) engine.Engine { return e },
	}))
	require.Len(t, l.kept, 50)
	for i, r := range l.kept {
		require.Equal(t, engine.Stay, r.Decision.Action)
		require.Empty(t, r.Outcome)
		require.Equal(t, i >= 3, r.Decision.Reason != l.kept[0].Decision.Reason,
			"after the third it is not asked any more: %s", r.Decision.Reason)
	}
}

// TestEveryPeriodBeginsWithAnotherAgent: in batches, and the same way in each
// attempt.
func TestEveryPeriodBeginsWithAnotherAgent(t *testing.T) {
	t.Parallel()

	l := &ledger{agents: []string{"a", "b", "c", "d", "e", "f", "g"}}
	require.NoError(t, l.run(t, activities.Decisions{BatchSize: 3}))
	first := slices.Concat(l.asked...)
	require.Len(t, l.asked, 3)
	require.ElementsMatch(t, l.agents, first)
	require.NotEqual(t, l.agents, first)
	l.asked = nil
	require.NoError(t, l.run(t, activities.Decisions{BatchSize: 3}))
	require.Equal(t, first, slices.Concat(l.asked...))
}

func TestWhatBecomesOfAMove(t *testing.T) {
	t.Parallel()

	l := &ledger{open: []activities.OpenSwitchOrder{{DecisionID: 1, AgentID: "a"}, {DecisionID: 2, AgentID: "busy"},
		{DecisionID: 3, AgentID: "done"}, {DecisionID: 4, AgentID: "away"}}}
	require.NoError(t, l.run(t, activities.Decisions{}))
	var outcomes []string
	for _, x := range l.done {
		outcomes = append(outcomes, x.Outcome)
	}
	require.Equal(t, []string{"ordered", "switch.busy", "ordered", "failed"}, outcomes,
		"what an attempt before this one ordered is ordered")
	require.Equal(t, []engine.Veto{{Code: switching.Busy, Reason: "another one is in flight"}}, l.done[1].Vetoes)

	l = &ledger{open: slices.Repeat([]activities.OpenSwitchOrder{{DecisionID: 1, AgentID: "away"}}, 9)}
	require.Equal(t, workflows.Unreachable, fault.CodeOf(l.run(t, activities.Decisions{})),
		"a dependency is away: the next attempt goes on")
	require.Len(t, l.done, 2)
}
