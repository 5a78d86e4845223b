package engine_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/engine"
)

// scripted answers what the test says.
type scripted func(engine.Input) (engine.Decision, error)

func (scripted) Name() string    { return "scripted" }
func (scripted) Version() string { return "7" }
func (s scripted) Decide(_ context.Context, in engine.Input) (engine.Decision, error) {
	return s(in)
}

func answers(d engine.Decision) scripted {
	return func(engine.Input) (engine.Decision, error) { return d, nil }
}

func TestAskMakesStayOfEveryFailure(t *testing.T) {
	t.Parallel()
	toB := engine.Decision{Action: engine.SwitchToSpot, PoolID: poolB}
	cases := []struct {
		name   string
		engine engine.Engine
		edit   func(*engine.Input)
		veto   string
		reason string
	}{
		{"an error",
			scripted(func(engine.Input) (engine.Decision, error) {
				return engine.Decision{}, errors.New(
					"no model")
			}), nil, "engine.unavailable", "no model"},
		{"a panic", scripted(func(engine.Input) (engine.Decision, error) { panic("boom") }), nil,
			"engine.unavailable", "boom"},
		{"an unknown action", answers(engine.Decision{Action: "run"}), nil, "engine.bad_answer", `"run"`},
		{"no action", answers(engine.Decision{}), nil, "engine.bad_answer", "does not exist"},
		{"an unknown pool", answers(engine.Decision{Action: engine.SwitchToSpot, PoolID: "x"}), nil,
			"engine.bad_answer", `"x"`},
		{"a pool of another type", answers(toB), func(in *engine.Input) { in.Pools[1].Type = "m5.large" },
			"engine.bad_answer", poolB},
		{"not a number", answers(engine.Decision{Action: engine.Stay, Risk: math.NaN()}), nil, "engine.bad_answer",
			"finite"},
		{"a disabled agent", answers(toB), func(in *engine.Input) { in.Agent.Enabled = false }, "agent.disabled",
			"Agent disabled"},
		{"against the limits", answers(toB), func(in *engine.Input) { in.Activity.SwitchesDay = 3 },
			"switch.limit_reached", "Held back"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := onSpot(.03, .03, .03)
			if c.edit != nil {
				c.edit(&in)
			}
			d := engine.Decide(t.Context(), c.engine, in)
			require.Equal(t, engine.Stay, d.Action)
			require.Equal(t, agent.Spot, d.Mode)
			require.Equal(t, poolA, d.PoolID)
			require.Equal(t, c.veto, string(d.Vetoes[0].Code))
			require.Contains(t, d.Reason, c.reason)
			require.Equal(t, "scripted", d.Engine)
			require.Equal(t, "7", d.Version)
			require.Equal(t, in.Digest(), d.Digest)
		})
	}
}

func TestAskKeepsWhatWasWanted(t *testing.T) {
	t.Parallel()
	in := onSpot(.03, .01, .03)
	in.Holds.Notice = "rebalance-recommendation"
	d := engine.Decide(t.Context(), engine.Rules{}, in)
	require.Equal(t, engine.Stay, d.Action)
	require.Equal(t, &engine.Target{Action: engine.SwitchToSpot, PoolID: poolB}, d.Wanted)
	require.InDelta(t, .07, d.Savings, 1e-9, "of the place it stays in")
}

func TestAskMovesNoAgentToItsOwnPool(t *testing.T) {
	t.Parallel()
	d := engine.Decide(t.Context(), answers(engine.Decision{Action: engine.SwitchToOnDemand}), onDemand(.03, .03, .03))
	require.Equal(t, engine.Stay, d.Action)
	require.Equal(t, "stay_ondemand", d.LegacyType())
	require.Empty(t, d.Vetoes)
}

func TestDigestDiffersByInput(t *testing.T) {
	t.Parallel()
	in := onSpot(.03, .01, .03)
	require.Equal(t, in.Digest(), onSpot(.03, .01, .03).Digest())
	in.Now = in.Now.Add(time.Second)
	require.NotEqual(t, in.Digest(), onSpot(.03, .01, .03).Digest())
	later := onSpot(.03, .01, .03)
	later.Pools[1].History[0].At = later.Pools[1].History[0].At.Add(time.Nanosecond)
	require.NotEqual(t, later.Digest(), onSpot(.03, .01, .03).Digest(), "histories count")
	require.NotEmpty(t, later.Pools[1].History, "and are left alone")
	in.Pools[0].Price.USD = math.NaN()
	require.Len(t, in.Digest(), 32)
}

func TestJudgeRebalance(t *testing.T) {
	t.Parallel()
	in := onSpot(.03, .03, .02)
	with := func(a, b, c int) []engine.Pool {
		pools := []engine.Pool{pool("us-east-1a", .03), pool("us-east-1b", .03), pool("us-east-1c", .02)}
		for i, n := range []int{a, b, c} {
			pools[i].Interruptions = &engine.Interruptions{Count: n}
		}
		return pools
	}
	calm := engine.JudgeRebalance(now, in.Instance, with(0, 0, 0), .3)
	require.Equal(t, engine.Rebalance{
		Action: "monitor",
		Reason: "Risk is acceptable (0.00%), continuing to monitor",
	}, calm)
	require.Equal(t, "monitor", engine.JudgeRebalance(now, in.Instance, with(9, 0, 0), .3).Action)

	r := engine.JudgeRebalance(now, in.Instance, with(10, 2, 2), .3)
	require.Equal(t, "switch", r.Action)
	require.Equal(t, "Current pool has elevated interruption risk (33.33%)", r.Reason)
	require.Equal(t, poolC, r.Target.ID, "of equally safe pools the cheaper")
	require.Equal(t, poolB, engine.JudgeRebalance(now, in.Instance, with(10, 1, 2), .3).Target.ID)

	alone := engine.JudgeRebalance(now, in.Instance, with(60, 0, 0)[:1], .3)
	require.Equal(t, "monitor", alone.Action)
	require.InDelta(t, 1, alone.Risk, 0)

	none := engine.JudgeRebalance(now, onDemand(.03, .03, .03).Instance, with(60, 0, 0), .3)
	require.Equal(t, "Risk is acceptable (0.00%), continuing to monitor", none.Reason)
}
