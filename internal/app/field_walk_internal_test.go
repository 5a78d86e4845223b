package app

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/ec2sim/client"
)

// places are shapes of trouble: what is refused, or dies, lies in one zone, is of one type, or is
// spot in one zone.
var places = map[string]client.Fault{
	"one zone":         {Pool: "*.us-east-1b"},
	"one type":         {Pool: "m5.large.*"},
	"spot of one zone": {Pool: "*.us-east-1b", Market: client.Spot},
	"spot":             {Market: client.Spot},
}

// TestRefusalsOfOnePlace (K3): a refusal by a quota, or for want of addresses, is by EC2's documents about
// an account or a zone. In an emergency that is believed only when every other place was asked.
func TestRefusalsOfOnePlace(t *testing.T) {
	t.Parallel()

	for _, code := range []string{"VolumeLimitExceeded", "MaxIOPSLimitExceeded", "NetworkInterfaceLimitExceeded",
		"ResourceLimitExceeded", "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded", "InstanceLimitExceeded",
		"InsufficientFreeAddressesInSubnet", "InsufficientAddressCapacity", "PrivateIpAddressLimitExceeded",
		"SecurityGroupLimitExceeded", "IdempotentParameterMismatch", "IdempotentInstanceTerminated"} {
		for place, fault := range places {
			t.Run(code+" in "+place, func(t *testing.T) {
				t.Parallel()

				fault.Action, fault.Code, fault.Status = "RunInstances", code, 400
				_, out := trouble{faults: []client.Fault{fault}}.play(t)
				require.NotEmpty(t, out.Successor, out.Steps)
				require.Equal(t, 1, out.Replicas)
				require.LessOrEqual(t, len(out.Launches), 12, "%v", out.Launches)
				require.Less(t, out.Took, 60*time.Second)
			})
		}
	}
}

// TestDeathsInOnePlace (K2): an instance that ended before it ran, for whatever reason, is followed by
// one in another zone, then by one of another type, before the rest of the list.
func TestDeathsInOnePlace(t *testing.T) {
	t.Parallel()

	for _, reason := range []string{"Client.InvalidKMSKey.InvalidState", "Client.VolumeLimitExceeded",
		"Client.InvalidSnapshot.NotFound", "Client.InternalError", "Client.InvalidParameterCombination",
		"Server.InternalError", "Server.InsufficientVolumeCapacity"} {
		for place, fault := range places {
			t.Run(reason+" in "+place, func(t *testing.T) {
				t.Parallel()

				fault.Mode, fault.Code = client.FaultStillborn, reason
				m, out := trouble{faults: []client.Fault{fault}}.play(t)
				require.NotEmpty(t, out.Successor, out.Steps)
				require.Equal(t, 1, out.Replicas)
				require.Less(t, out.Took, 115*time.Second)
				live, err := m.sim.Live(t.Context(), fieldAccount)
				require.NoError(t, err)
				require.Len(t, live, 2, "the primary and its successor")
			})
		}
	}
}

// TestTheNextReplicaBeginsElsewhere: a standby that could not be launched in calm is not tried in the same
// places first when it is tried again.
func TestTheNextReplicaBeginsElsewhere(t *testing.T) {
	t.Parallel()

	for name, fault := range map[string]client.Fault{
		"refused": {Action: "RunInstances", Pool: "m5.large.*", Code: "InvalidParameterCombination"},
		"dead":    {Mode: client.FaultStillborn, Pool: "m5.large.*", Code: "Client.InvalidKMSKey.InvalidState"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f := newField(t, ec2sim.Options{})
			m := f.join("web", f.machine())
			require.NoError(t, f.sim.SetDelays(t.Context(), client.AWSDelays()))
			f.fault(fault)
			first := m.keep()
			require.Empty(t, first.Successor)
			require.Contains(t, first.Launches, firstPool)
			both := m.keep()
			second := both.Launches[len(first.Launches):]
			require.NotEmpty(t, second)
			require.NotContains(t, first.Launches, second[0], both.Steps)
		})
	}
}

// TestAnInstanceThatEC2DoesNotShow (K1, K2): RunInstances has answered, and EC2 does not know the instance
// afterwards. Another one is launched elsewhere after a bound, and the first one is ended as soon
// as EC2 shows it. Where nothing else can be launched, the first one is taken to run.
func TestAnInstanceThatEC2DoesNotShow(t *testing.T) {
	t.Parallel()

	hidden := client.Fault{Mode: client.FaultHidden, Pool: "*.us-east-1b"}
	for name, seconds := range map[string]float64{"for two minutes": 120, "for three minutes": 180, "for ever": 1e6} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			fault := hidden
			fault.HiddenSeconds = seconds
			m, out := trouble{faults: []client.Fault{fault}}.play(t)
			require.Equal(t, []string{firstPool, secondPool}, out.Launches, out.Steps)
			require.Equal(t, "m5.large.us-east-1c", out.SuccessorPool, out.Steps)
			require.Equal(t, 1, out.Replicas)
			require.Less(t, out.Took, 90*time.Second)
			_, err := m.sim.Advance(t.Context(), time.Minute)
			require.NoError(t, err)
			live, err := m.sim.Live(t.Context(), fieldAccount)
			require.NoError(t, err)
			if seconds < 1e6 {
				require.Len(t, live, 2, "the primary and its successor: %s", out.Steps)
			}
		})
	}
	t.Run("everywhere", func(t *testing.T) {
		t.Parallel()

		fault := client.Fault{Mode: client.FaultHidden, HiddenSeconds: 1e6}
		_, out := trouble{faults: []client.Fault{fault}}.play(t)
		require.Len(t, out.Launches, 2, out.Steps)
		require.NotEmpty(t, out.Successor, "the last one is better than none: %s", out.Steps)
		require.Equal(t, 1, out.Replicas)
		require.Less(t, out.Took, 2*time.Minute)
	})
	t.Run("and all other places are empty", func(t *testing.T) {
		t.Parallel()

		fault := hidden
		fault.HiddenSeconds, fault.Times = 1e6, 1
		_, out := trouble{faults: []client.Fault{fault, {Action: "RunInstances", Code: "InsufficientInstanceCapacity"}}}.play(t)
		require.Equal(t, "m5.large.us-east-1b", out.SuccessorPool, "the one that was launched: %s", out.Steps)
		require.Equal(t, 1, out.Replicas)
		require.Less(t, out.Took, 2*time.Minute)
	})
	t.Run("in calm it is no standby", func(t *testing.T) {
		t.Parallel()

		f := newField(t, ec2sim.Options{})
		m := f.join("web", f.machine(func(in *ec2.RunInstancesInput) {
			in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot}
			in.KeyName = aws.String("ops")
		}))
		require.NoError(t, f.sim.SetDelays(t.Context(), client.AWSDelays()))
		fault := hidden
		fault.HiddenSeconds = 1e6
		f.fault(fault)
		out := m.keep()
		require.Empty(t, out.Successor)
		require.True(t, strings.HasPrefix(out.Launches[0], "spot/"), out.Steps)
	})
}
