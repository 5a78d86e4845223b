package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/engine"
)

func TestLimitsJudge(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		activity engine.Activity
		holds    engine.Blockers
		want     []string
	}{
		{name: "nothing stands in the way", want: []string{}},
		{name: "below both counts", activity: engine.Activity{SwitchesDay: 2, SwitchesWeek: 9}, want: []string{}},
		{
			name:     "day",
			activity: engine.Activity{SwitchesDay: 3, SwitchesWeek: 3},
			want:     []string{"switch.limit_reached"},
		},
		{name: "week", activity: engine.Activity{SwitchesWeek: 10}, want: []string{"switch.limit_reached"}},
		{
			name:     "cool-down runs",
			activity: engine.Activity{LastChangeAt: now.Add(-29 * time.Minute)},
			want:     []string{"switch.cooling_down"},
		},
		{
			name:     "cool-down is over",
			activity: engine.Activity{LastChangeAt: now.Add(-30 * time.Minute)},
			want:     []string{},
		},
		{
			name:     "too new in the pool",
			activity: engine.Activity{PoolSince: now.Add(-119 * time.Minute)},
			want:     []string{"switch.cooling_down"},
		},
		{
			name:     "long enough in the pool",
			activity: engine.Activity{PoolSince: now.Add(-2 * time.Hour)},
			want:     []string{},
		},
		{
			name:  "a pause",
			holds: engine.Blockers{Pauses: []engine.Pause{{Scope: engine.ScopeClient, Until: now.Add(time.Minute)}}},
			want:  []string{"switch.paused"},
		},
		{
			name:  "a pause that expired",
			holds: engine.Blockers{Pauses: []engine.Pause{{Scope: engine.ScopeGlobal, Until: now}}},
			want:  []string{},
		},
		{
			name:  "a notice comes first",
			holds: engine.Blockers{Notice: "termination-notice", Operation: "switch/c1"},
			want:  []string{"engine.notice_stands", "switch.busy"},
		},
		{name: "one of five may move", holds: engine.Blockers{ClientAgents: 5}, want: []string{}},
		{
			name:  "only one of five",
			holds: engine.Blockers{ClientAgents: 5, ClientMoving: 1},
			want:  []string{"engine.client_moving"},
		},
		{name: "two of twenty", holds: engine.Blockers{ClientAgents: 20, ClientMoving: 1}, want: []string{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, codes(engine.DefaultLimits().Judge(now, c.activity, c.holds)))
		})
	}
}

func TestRefusalCarriesAllVetoes(t *testing.T) {
	t.Parallel()
	require.NoError(t, engine.Refusal(nil))
	vetoes := engine.DefaultLimits().Judge(now, engine.Activity{SwitchesDay: 3, SwitchesWeek: 10}, engine.Blockers{})
	err := engine.Refusal(vetoes)
	require.True(t, fault.Is(err, switching.LimitReached))
	require.ErrorContains(t, err, "3 of its 3 switches in the last 24 hours")
	var f *fault.Error
	require.ErrorAs(t, err, &f)
	require.Equal(t, vetoes, f.Details["vetoes"])
}

func TestLimitsValidate(t *testing.T) {
	t.Parallel()
	require.NoError(t, engine.DefaultLimits().Validate())
	for name, edit := range map[string]func(*engine.Limits){
		"saving":   func(l *engine.Limits) { l.MinSavingsPercent = 101 },
		"risk":     func(l *engine.Limits) { l.RiskThreshold = -0.1 },
		"count":    func(l *engine.Limits) { l.MaxSwitchesPerDay = -1 },
		"duration": func(l *engine.Limits) { l.CoolDown = -time.Second },
		"share":    func(l *engine.Limits) { l.MaxMovingPercent = 200 },
	} {
		limits := engine.DefaultLimits()
		edit(&limits)
		require.True(t, fault.Is(limits.Validate(), engine.BadLimits), name)
	}
}
