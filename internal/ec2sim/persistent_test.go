package ec2sim_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
)

// TestAPersistentRequestLaunchesAgain after its instance was terminated, untagged, until
// it is cancelled.
func TestAPersistentRequestLaunchesAgain(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	in := order("lasting", zoneA)
	in.InstanceMarketOptions.SpotOptions.SpotInstanceType = types.SpotInstanceTypePersistent
	in.InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior = types.InstanceInterruptionBehaviorStop
	made, err := c.RunInstances(t.Context(), in)
	require.NoError(t, err)
	first := made.Instances[0]

	living := func() []types.Instance {
		c.advance(t, time.Minute)
		out, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{Filters: []types.Filter{
			{Name: aws.String("instance-state-name"), Values: []string{"running"}}}})
		require.NoError(t, err)
		var all []types.Instance
		for _, r := range out.Reservations {
			all = append(all, r.Instances...)
		}
		return all
	}
	terminate := func(id *string) {
		_, err := c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{*id}})
		require.NoError(t, err)
	}
	terminate(first.InstanceId)
	again := living()
	require.Len(t, again, 1)
	require.NotEqual(t, *first.InstanceId, *again[0].InstanceId)
	require.Equal(t, *first.SpotInstanceRequestId, *again[0].SpotInstanceRequestId)
	require.Empty(t, again[0].Tags)

	_, err = c.CancelSpotInstanceRequests(t.Context(),
		&ec2.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{*first.SpotInstanceRequestId}})
	require.NoError(t, err)
	require.Len(t, living(), 1, "cancelling leaves the instance running")
	terminate(again[0].InstanceId)
	require.Empty(t, living())
}
