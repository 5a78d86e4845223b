package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/engine"
)

// The rows are those of the legacy engine, observed on the running program.
func TestLegacyRules(t *testing.T) {
	t.Parallel()
	const od = .0416
	cases := []struct {
		name       string
		mode       agent.Mode
		pool       string
		spot, ref  float64
		decision   string
		to         string
		risk       float64
		savings    float64
		confidence float64
		reason     string
	}{
		{"no reference on spot", agent.Spot, poolA, .0125, 0, "stay_spot", "", 0, 0, .5, "Insufficient pricing data"},
		{"no reference on demand", agent.OnDemand, "", .0125, 0, "stay_ondemand", "", 0, 0, .5,
			"Insufficient pricing data"},
		{"spot above 80 %", agent.Spot, poolA, .0350, od, "switch_to_ondemand", "", .6, 0, .7,
			"Spot price too high (15.9% savings only)"},
		{"spot above 80 %, on demand already", agent.OnDemand, poolA, .0350, od, "switch_to_ondemand", "", .6, 0, .7,
			"Spot price too high (15.9% savings only)"},
		{"more than 30 % saved from on demand", agent.OnDemand, poolA, .0125, od, "switch_to_spot", poolA, .2, .0291,
			.8, "Good savings opportunity (70.0% cheaper than on-demand)"},
		{"a missing spot price is 100 % saved", agent.OnDemand, "", 0, od, "switch_to_spot", "", .2, od, .8,
			"Good savings opportunity (100.0% cheaper than on-demand)"},
		{"unknown mode counts as not spot", agent.ModeUnknown, "", 0, od, "switch_to_spot", "", .2, od, .8,
			"Good savings opportunity (100.0% cheaper than on-demand)"},
		{"spot stays", agent.Spot, poolA, .0125, od, "stay_spot", poolA, .3, .0291, .6,
			"Current mode is optimal (70.0% savings)"},
		{"on demand stays between 20 and 30 %", agent.OnDemand, poolA, .0312, od, "stay_ondemand", "", .3, .0104, .6,
			"Current mode is optimal (25.0% savings)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := onSpot(c.spot, .01, .01)
			in.Pools = in.Pools[:1]
			if c.spot == 0 {
				in.Pools = nil
			}
			in.Instance.Mode, in.Instance.PoolID, in.OnDemand.USD = c.mode, c.pool, c.ref
			d, err := engine.Legacy{}.Decide(t.Context(), in)
			require.NoError(t, err)
			require.Equal(t, c.decision, d.LegacyType())
			require.Equal(t, c.to, d.PoolID)
			require.InDelta(t, c.risk, d.Risk, 1e-9)
			require.InDelta(t, c.savings, d.Savings, 1e-9)
			require.InDelta(t, c.confidence, d.Confidence, 1e-9)
			require.Equal(t, c.reason, d.Reason)
		})
	}
}
