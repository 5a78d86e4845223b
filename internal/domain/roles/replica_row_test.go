package roles_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

func TestTheRowOfAReplicaKnowsItsInstanceAndPool(t *testing.T) {
	t.Parallel()

	row := roles.ReplicaRow{Replica: roles.Replica{PoolID: "t3.medium.us-east-1a"}, Mode: agent.Spot}
	require.Empty(t, row.InstanceID())
	require.Equal(t, replica.Candidate{PoolID: "t3.medium.us-east-1a", InstanceType: "t3.medium",
		Region: "us-east-1", AZ: "us-east-1a", Mode: agent.Spot}, row.Where())
	row.Launch = &roles.Launch{InstanceID: "i-1", PoolID: "m5.large.us-east-1b", Mode: agent.OnDemand}
	require.Equal(t, "i-1", row.InstanceID(), "the launch is known before the replica's row has it")
	require.Equal(t, "ondemand/m5.large.us-east-1b", row.Where().Key())
	row.Replica.InstanceID = "i-2"
	require.Equal(t, "i-2", row.InstanceID())
}

func TestAnAgentThatDoesNotLaunchIsNotWaitedForInAnEmergency(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		kind     replica.Kind
		launcher agent.Launcher
		instance string
		stalled  bool
		noticed  bool
		overdue  bool
	}{
		"a stalled emergency": {
			kind:     replica.Termination,
			launcher: agent.ByAgent,
			stalled:  true,
			overdue:  true,
		},
		"a stalled rebalance": {
			kind:     replica.Rebalance,
			launcher: agent.ByAgent,
			stalled:  true,
			overdue:  true,
		},
		"not stalled yet":   {kind: replica.Termination, launcher: agent.ByAgent},
		"a standby at rest": {kind: replica.Manual, launcher: agent.ByAgent, stalled: true},
		"a standby, the primary dies": {
			kind:     replica.Manual,
			launcher: agent.ByAgent,
			stalled:  true,
			noticed:  true,
			overdue:  true,
		},
		"a switch goes where it is led": {kind: replica.Switch, launcher: agent.ByAgent, stalled: true, noticed: true},
		"ours":                          {kind: replica.Termination, launcher: agent.ControlPlane, stalled: true},
		"it has an instance": {
			kind:     replica.Termination,
			launcher: agent.ByAgent,
			stalled:  true,
			instance: "i-1",
		},
	} {
		of := roles.Replica{Kind: c.kind, Launcher: c.launcher, InstanceID: c.instance, Stalled: c.stalled}
		row := roles.ReplicaRow{Noticed: c.noticed, Replica: of}
		require.Equal(t, c.overdue, row.Overdue(), name)
	}
}
