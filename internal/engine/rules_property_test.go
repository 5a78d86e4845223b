package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/engine"
)

// inputs draws every kind of market, history, activity and hold.
func inputs() *rapid.Generator[engine.Input] {
	return rapid.Custom(func(t *rapid.T) engine.Input {
		price := rapid.Float64Range(.005, .15)
		in := onSpot(price.Draw(t, "a"), price.Draw(t, "b"), price.Draw(t, "c"))
		for i := range in.Pools {
			p := &in.Pools[i]
			p.Interruptions.Count = rapid.IntRange(0, 30).Draw(t, "count")
			p.Interruptions.InstanceHours = rapid.Float64Range(0, 5000).Draw(t, "hours")
			p.History = nil
			for back := rapid.IntRange(0, 24).Draw(t, "history"); back > 0; back -= 3 {
				p.History = append(p.History, engine.Price{
					USD: price.Draw(t, "past"),
					At:  now.Add(-time.Duration(back) * time.Hour),
				})
			}
		}
		if rapid.Bool().Draw(t, "on demand") {
			in.Instance.Mode, in.Instance.PoolID = agent.OnDemand, ""
		}
		in.Instance.LaunchedAt = now.Add(-time.Duration(rapid.IntRange(0, 600).Draw(t, "age")) * time.Minute)
		in.Activity = engine.Activity{
			SwitchesDay:  rapid.IntRange(0, 4).Draw(t, "day"),
			SwitchesWeek: rapid.IntRange(0, 11).Draw(t, "week"),
			LastChangeAt: now.Add(-time.Duration(rapid.IntRange(0, 90).Draw(t, "changed")) * time.Minute),
		}
		return in
	})
}

func TestRulesNeverExceedTheLimits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "input")
		d := engine.Decide(t.Context(), engine.Rules{}, in)
		if !d.AsksForSwitch() {
			return
		}
		since := in.Activity
		if in.Instance.Mode == agent.Spot {
			since.PoolSince = in.Instance.LaunchedAt
		}
		require.Empty(t, in.Limits.Judge(now, since, in.Holds))
		if d.Mode == agent.Spot {
			require.GreaterOrEqual(t, d.Savings/in.OnDemand.USD*100, in.Limits.MinSavingsPercent-1e-9)
			i := slices.IndexFunc(in.Pools, func(p engine.Pool) bool { return p.ID == d.PoolID })
			require.LessOrEqual(t, engine.DailyRisk(in.Pools[i], 0), in.Limits.RiskThreshold)
		}
	})
}

func TestRulesNeverActOnMissingData(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "input")
		lost := rapid.IntRange(0, 2).Draw(t, "lost")
		p := &in.Pools[lost]
		switch rapid.IntRange(0, 3).Draw(t, "what") {
		case 0:
			p.Price = engine.Price{}
		case 1:
			p.Price.At = now.Add(-engine.MaxPriceAge - time.Second)
		case 2:
			p.Interruptions = nil
		case 3:
			in.OnDemand = engine.Price{}
		}
		d := engine.Decide(t.Context(), engine.Rules{}, in)
		require.False(t, d.AsksForSwitch() && d.PoolID == p.ID, "it never enters what it does not know")
		if in.OnDemand.USD == 0 || in.Instance.Mode == agent.Spot && in.Instance.PoolID == p.ID {
			require.False(t, d.AsksForSwitch(), "it never leaves what it does not know")
		}
	})
}

func TestRulesAreMonotoneInPrice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "input")
		i := rapid.IntRange(1, 2).Draw(t, "pool")
		before := engine.Decide(t.Context(), engine.Rules{}, in)
		in.Pools[i].Price.USD *= rapid.Float64Range(1, 3).Draw(t, "factor")
		after := engine.Decide(t.Context(), engine.Rules{}, in)
		if before.PoolID != in.Pools[i].ID {
			require.NotEqual(t, in.Pools[i].ID, after.PoolID, "a dearer pool attracts nobody")
		}
	})
}

func TestRulesAreDeterministicWhateverTheOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "input")
		first := engine.Decide(t.Context(), engine.Rules{}, in)
		require.Equal(t, first, engine.Decide(t.Context(), engine.Rules{}, in))
		in.Pools = rapid.Permutation(in.Pools).Draw(t, "order")
		other := engine.Decide(t.Context(), engine.Rules{}, in)
		require.Equal(t, first.Action, other.Action)
		require.Equal(t, first.PoolID, other.PoolID)
		require.Equal(t, first.Reason, other.Reason)
	})
}
