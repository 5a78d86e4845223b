package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/engine"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		in   engine.Input
		edit func(*engine.Input)
		want []string
	}{
		{"a move", onSpot(.03, .01, .0299), nil,
			[]string{"runs in spot pool " + poolA + " at $0.0300 per hour, 70.0% below on-demand ($0.1000)",
				"The engine (rules 1) wants to move it to spot pool " + poolB + ", which saves $0.0200 per hour",
				"Against on-demand: Spot costs less", "Against spot pool " + poolC,
				"0 of at most 3 switches in 24 hours"}},
		{"held back", onSpot(.03, .01, .03), func(in *engine.Input) {
			in.Holds.Pauses = []engine.Pause{{
				Scope:  engine.ScopeAgent,
				Until:  now.Add(time.Hour),
				Reason: "launch day",
			}}
		}, []string{"wants to move it to spot pool " + poolB + ", but is held back.",
			"Against any move: Voluntary moves are paused (agent)", "launch day. (switch.paused)"}},
		{"nobody acts", onDemand(.2, .2, .2), func(in *engine.Input) { in.Agent.AutoSwitch = false },
			[]string{"runs on-demand at $0.1000", "leaves it where it is", "not in auto mode"}},
		{"disabled", onSpot(.03, .01, .03), func(in *engine.Input) { in.Agent.Enabled = false },
			[]string{"The agent is disabled"}},
		{"no prices", onSpot(.03, .01, .03), func(in *engine.Input) { in.OnDemand = engine.Price{} },
			[]string{"what that costs is not known", "engine.missing_data"}},
		{"no primary", onSpot(.03, .01, .03), func(in *engine.Input) { in.Instance = engine.Instance{} },
			[]string{"has no primary"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.edit != nil {
				tt.edit(&tt.in)
			}
			explained := strings.Join(engine.Explain(tt.in, engine.Decide(t.Context(), engine.Rules{}, tt.in)), "\n")
			for _, sentence := range tt.want {
				require.Contains(t, explained, sentence)
			}
		})
	}
}
