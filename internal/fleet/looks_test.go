package fleet_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/fleet"
)

// TestThoseWhoPollShareTheirQuestions: what starts together is polled by few calls, and one
// instance of which EC2 has no status yet does not hide the others'.
func TestThoseWhoPollShareTheirQuestions(t *testing.T) {
	t.Parallel()

	const many = 60
	c := simulate(t, ec2sim.Options{})
	ids := make([]string, many)
	for n := range ids {
		made, err := c.Launch(t.Context(), own, fleet.LaunchRequest{ClientToken: fmt.Sprint("token-", n), Region: region,
			Mode: agent.Spot, InstanceType: "m5.large", AZ: "us-east-1a", ImageID: image,
			Tags: markedFor(own.ClientID, nil)})
		require.NoError(t, err)
		ids[n] = made.ID
	}
	require.NoError(t, c.control.Impair(t.Context(), ids[7], true))
	require.NoError(t, c.control.SetDelays(t.Context(), client.Delays{API: .05}))
	require.NoError(t, c.control.AddFault(t.Context(), client.Fault{Action: "DescribeInstanceStatus",
		Code: "InvalidInstanceID.NotFound", Skip: 1}))
	before, err := c.control.Counts(t.Context())
	require.NoError(t, err)
	seen := make([]fleet.Instance, many)
	var all sync.WaitGroup
	for n, id := range ids {
		all.Go(func() {
			var err error
			seen[n], err = c.ConsoleState(t.Context(), own, region, id)
			require.NoError(t, err)
		})
	}
	all.Wait()
	for n, i := range seen {
		require.Equal(t, ids[n], i.ID)
		require.Equal(t, fleet.StateRunning, i.State)
		require.Equal(t, n != 7, i.ChecksOK, n)
	}
	after, err := c.control.Counts(t.Context())
	require.NoError(t, err)
	calls := after.Calls["DescribeInstances"] + after.Calls["DescribeInstanceStatus"] -
		before.Calls["DescribeInstances"] - before.Calls["DescribeInstanceStatus"]
	require.Less(t, int(calls), many/2, "instead of two for each")
	gone, err := c.ConsoleState(t.Context(), own, region, "i-0123456789abcdef0")
	require.NoError(t, err)
	require.Equal(t, fleet.StateAbsent, gone.State)
}
