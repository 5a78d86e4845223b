package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/engine"
)

func TestRulesDecide(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		in     engine.Input
		edit   func(*engine.Input)
		action engine.Action
		pool   string
		reason string // a part of it
		veto   string // the first veto of the decision
	}{
		{
			name:   "equal prices stay",
			in:     onSpot(.03, .03, .03),
			action: engine.Stay,
			pool:   poolA,
			reason: "Current mode is optimal (70.0% savings)",
		},
		{
			name:   "a little cheaper is not enough",
			in:     onSpot(.03, .027, .03),
			action: engine.Stay,
			pool:   poolA,
			reason: "optimal",
		},
		{
			name:   "a much cheaper pool",
			in:     onSpot(.03, .02, .025),
			action: engine.SwitchToSpot,
			pool:   poolB,
			reason: "instead of",
		},
		{
			name:   "on demand goes to the cheapest pool",
			in:     onDemand(.03, .02, .04),
			action: engine.SwitchToSpot,
			pool:   poolB,
			reason: "Good savings opportunity",
		},
		{
			name:   "on demand stays when nothing saves the minimum",
			in:     onDemand(.09, .09, .086),
			action: engine.Stay,
			reason: "no spot pool",
		},
		{
			name:   "spot above on-demand leaves",
			in:     onSpot(.11, .12, .11),
			action: engine.SwitchToOnDemand,
			reason: "Spot price too high",
		},
		{name: "a spike alone moves nobody", in: onSpot(.03, .029, .029), edit: func(in *engine.Input) {
			in.Pools[0].Price.USD = .06
		}, action: engine.Stay, pool: poolA},
		{name: "a dip alone moves nobody", in: onSpot(.03, .03, .03), edit: func(in *engine.Input) {
			in.Pools[1].Price.USD = .01
		}, action: engine.Stay, pool: poolA},
		{name: "a dangerous pool is left for the safe one", in: onSpot(.03, .03, .03), edit: func(in *engine.Input) {
			in.Pools[0].Interruptions.Count = 40
		}, action: engine.SwitchToSpot, pool: poolB, reason: "lost within a day"},
		{name: "all pools dangerous: on demand", in: onSpot(.03, .03, .03), edit: func(in *engine.Input) {
			for i := range in.Pools {
				in.Pools[i].Interruptions.Count = 40
			}
		}, action: engine.SwitchToOnDemand, reason: "lost within a day"},
		{name: "cheap but dangerous is not entered", in: onSpot(.03, .01, .03), edit: func(in *engine.Input) {
			in.Pools[1].Interruptions.Count = 40
		}, action: engine.Stay, pool: poolA},
		{name: "no capacity lately", in: onSpot(.03, .01, .03), edit: func(in *engine.Input) {
			in.Pools[1].BlockedUntil = now.Add(time.Minute)
		}, action: engine.Stay, pool: poolA},
		{name: "another type", in: onSpot(.03, .01, .03), edit: func(in *engine.Input) {
			in.Pools[1].Type = "t3.large"
		}, action: engine.Stay, pool: poolA},
		{name: "no reference", in: onSpot(.03, .01, .03), edit: func(in *engine.Input) {
			in.OnDemand.USD = 0
		}, action: engine.Stay, pool: poolA, reason: "Insufficient pricing data", veto: "engine.missing_data"},
		{name: "no price of the present pool", in: onSpot(.03, .01, .03), edit: func(in *engine.Input) {
			in.Pools[0].Price.USD = 0
		}, action: engine.Stay, pool: poolA, reason: "Insufficient pricing data", veto: "engine.missing_data"},
		{name: "a stale price of the present pool", in: onSpot(.03, .01, .03), edit: func(in *engine.Input) {
			in.Pools[0].Price.At = now.Add(-2 * time.Hour)
		}, action: engine.Stay, pool: poolA, reason: "is from 2026-03-02 10:00 UTC", veto: "engine.missing_data"},
		{name: "no statistics of the present pool", in: onSpot(.03, .01, .03), edit: func(in *engine.Input) {
			in.Pools[0].Interruptions = nil
		}, action: engine.Stay, pool: poolA, veto: "engine.missing_data"},
		{name: "the target is stale", in: onSpot(.03, .01, .03), edit: func(in *engine.Input) {
			in.Pools[1].Price.At = now.Add(-2 * time.Hour)
		}, action: engine.Stay, pool: poolA},
		{name: "the target has no statistics", in: onSpot(.03, .01, .03), edit: func(in *engine.Input) {
			in.Pools[1].Interruptions = nil
		}, action: engine.Stay, pool: poolA},
		{name: "the target has no history", in: onSpot(.03, .01, .03), edit: func(in *engine.Input) {
			in.Pools[1].History = nil
		}, action: engine.Stay, pool: poolA},
		{name: "unknown mode", in: onSpot(.03, .01, .03), edit: func(in *engine.Input) {
			in.Instance.Mode = agent.ModeUnknown
		}, action: engine.Stay, veto: "engine.missing_data"},
		{name: "unknown age", in: onSpot(.03, .01, .03), edit: func(in *engine.Input) {
			in.Instance.LaunchedAt = time.Time{}
		}, action: engine.Stay, pool: poolA, veto: "engine.missing_data"},
		{
			name: "held back by the cool-down",
			in:   onSpot(.03, .01, .03),
			edit: func(in *engine.Input) {
				in.Activity.LastChangeAt = now.Add(-10 * time.Minute)
			},
			action: engine.Stay,
			pool:   poolA,
			reason: "Held back: The agent changed its primary",
			veto:   "switch.cooling_down",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.edit != nil {
				c.edit(&c.in)
			}
			d, err := engine.Rules{}.Decide(t.Context(), c.in)
			require.NoError(t, err)
			require.Equal(t, c.action, d.Action, d.Reason)
			require.Equal(t, c.pool, d.PoolID)
			require.Contains(t, d.Reason, c.reason)
			if c.veto != "" {
				require.NotEmpty(t, d.Vetoes)
				require.Equal(t, c.veto, string(d.Vetoes[0].Code))
			}
		})
	}
}

func TestRulesExplainThemselves(t *testing.T) {
	t.Parallel()
	d := engine.Decide(t.Context(), engine.Rules{}, onSpot(.03, .02, .0299))
	require.Equal(t, engine.SwitchToSpot, d.Action)
	require.InDelta(t, .08, d.Savings, 1e-9)
	require.InDelta(t, .01, d.Gain, 1e-9)
	require.Greater(t, d.Confidence, .9)
	require.Equal(t, "rules", d.Engine)
	require.Len(t, d.Digest, 32)
	require.Len(t, d.Scores, 4, "the present pool, on demand and two others")
	require.True(t, d.Scores[0].Current)
	require.Equal(t, []string{"engine.not_worth_it"}, codes(d.Scores[1].Vetoes))
	require.Empty(t, d.Scores[2].Vetoes)
	require.Equal(t, []string{"engine.not_worth_it"}, codes(d.Scores[3].Vetoes))
}

func TestTheYoungRunAHigherRisk(t *testing.T) {
	t.Parallel()
	p := pool("us-east-1a", .03)
	p.Interruptions.Count = 10
	born, grown := engine.DailyRisk(p, 0), engine.DailyRisk(p, 2*time.Hour)
	require.Greater(t, born, grown)
	require.InDelta(t, grown, engine.DailyRisk(p, 48*time.Hour), 1e-12)
	p.Price.USD = .06
	require.Greater(t, engine.DailyRisk(p, 48*time.Hour), grown, "a price that doubled is a warning")
	p.Interruptions = nil
	require.InDelta(t, 1, engine.DailyRisk(p, 0), 0, "the unknown is not safe")
}
