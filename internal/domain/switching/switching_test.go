package switching_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/switching"
)

func TestTargetsAreJudgedByTheirForm(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		name   string
		target switching.Target
		code   fault.Code
	}{
		{"on demand, anywhere", switching.Target{Mode: agent.OnDemand}, ""},
		{"on demand, in a zone", switching.Target{Mode: agent.OnDemand, PoolID: "t3.medium.us-east-1a"}, ""},
		{"spot", switching.Target{Mode: agent.Spot, PoolID: "t3.medium.us-east-1a"}, ""},
		// Deployed agents launch on-demand for it and report spot.
		{"spot without a pool", switching.Target{Mode: agent.Spot}, switching.InvalidTarget},
		{"no mode", switching.Target{PoolID: "t3.medium.us-east-1a"}, switching.InvalidTarget},
		{"a word of the page that is no mode", switching.Target{
			Mode:   "pool",
			PoolID: "t3.medium.us-east-1a",
		}, switching.InvalidTarget},
		{"what deployed agents would take for on-demand", switching.Target{Mode: "terminate"}, switching.InvalidTarget},
	} {
		require.Equal(t, c.code, fault.CodeOf(c.target.Validate()), c.name)
	}
	require.Error(t, switching.Target{Mode: agent.Spot, PoolID: "nowhere"}.Validate(), "a pool is <type>.<zone>")
}

// The deployed agents report priorities of fifty and more as manual.
func TestTriggersAreNamedAsAgentsDo(t *testing.T) {
	t.Parallel()

	for priority, want := range map[int]string{
		0:                           "model",
		switching.PriorityDefault:   "model",
		switching.PriorityModel:     "model",
		49:                          "model",
		switching.PriorityUrgent:    "manual",
		switching.PriorityManual:    "manual",
		switching.PriorityEmergency: "manual",
	} {
		require.Equal(t, want, switching.TriggerOf(priority), priority)
	}
}
