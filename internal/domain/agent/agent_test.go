package agent_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
)

func TestAPoolIsATypeAndAZone(t *testing.T) {
	t.Parallel()

	for id, want := range map[string][2]string{
		"t3.medium.us-east-1a":         {"t3.medium", "us-east-1a"},
		"c6gn.metal.ap-southeast-2b":   {"c6gn.metal", "ap-southeast-2b"},
		"u-6tb1.metal.us-gov-west-1c":  {"u-6tb1.metal", "us-gov-west-1c"},
		"m7i-flex.large.eu-central-1a": {"m7i-flex.large", "eu-central-1a"},
	} {
		instanceType, az, err := agent.SplitPool(id)
		require.NoError(t, err, id)
		require.Equal(t, want, [2]string{instanceType, az})
		require.Equal(t, id, agent.PoolID(instanceType, az))
	}
	for _, id := range []string{"", "t3.medium", "us-east-1a", "t3.medium.", ".us-east-1a", "t3.medium.us-east-1",
		"t3 medium.us-east-1a"} {
		_, _, err := agent.SplitPool(id)
		require.Equal(t, agent.BadPool, fault.CodeOf(err), id)
	}
}

func TestTheRegionOfAZone(t *testing.T) {
	t.Parallel()

	require.Equal(t, "us-east-1", agent.RegionOf("us-east-1a"))
	require.Equal(t, "us-east-1", agent.RegionOf("us-east-1"))
	require.Empty(t, agent.RegionOf(""))
}

func TestTheModeThatAWordMeans(t *testing.T) {
	t.Parallel()

	for word, want := range map[string]agent.Mode{
		"spot":       agent.Spot,
		"Spot":       agent.Spot,
		" SPOT ":     agent.Spot,
		"ondemand":   agent.OnDemand,
		"on-demand":  agent.OnDemand,
		"on_demand":  agent.OnDemand,
		"On Demand":  agent.OnDemand,
		"OnDemand":   agent.OnDemand,
		"":           agent.ModeUnknown,
		"unknown":    agent.ModeUnknown,
		"null":       agent.ModeUnknown,
		"spot-fleet": agent.ModeUnknown,
		"reserved":   agent.ModeUnknown,
	} {
		require.Equal(t, want, agent.ParseMode(word), "%q", word)
	}
}
