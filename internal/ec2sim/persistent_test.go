package ec2sim_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/ec2sim/client"
)

// persistentOrder is a launch by a persistent spot request, which stops its instance when
// it is interrupted.
func persistentOrder() *ec2.RunInstancesInput {
	in := order("lasting", zoneA)
	in.InstanceMarketOptions.SpotOptions.SpotInstanceType = types.SpotInstanceTypePersistent
	in.InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior = types.InstanceInterruptionBehaviorStop
	return in
}

// TestAPersistentRequestLaunchesAgain after its instance was terminated, untagged, until
// it is cancelled.
func TestAPersistentRequestLaunchesAgain(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	made, err := c.RunInstances(t.Context(), persistentOrder())
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

// TestAPersistentRequestWaitsForCapacity: it is open without an instance for as long as its
// pool is empty, is shown when its instance is not any more, and launches at last.
func TestAPersistentRequestWaitsForCapacity(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	made, err := c.RunInstances(t.Context(), persistentOrder())
	require.NoError(t, err)
	_, err = c.ctl.SetCapacity(t.Context(), client.Capacity{Pool: poolA, Limit: 0})
	require.NoError(t, err)
	_, err = c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{*made.Instances[0].InstanceId}})
	require.NoError(t, err)
	c.advance(t, 3*time.Hour)
	request := func(by types.Filter) []types.SpotInstanceRequest {
		t.Helper()
		out, err := c.DescribeSpotInstanceRequests(t.Context(),
			&ec2.DescribeSpotInstanceRequestsInput{Filters: []types.Filter{by}})
		require.NoError(t, err)
		return out.SpotInstanceRequests
	}
	require.Empty(t, request(types.Filter{Name: aws.String("instance-id"), Values: []string{*made.Instances[0].InstanceId}}))
	open := types.Filter{Name: aws.String("state"), Values: []string{"open"}}
	require.Len(t, request(open), 1)
	require.Equal(t, *made.Instances[0].SpotInstanceRequestId, *request(open)[0].SpotInstanceRequestId)

	_, err = c.ctl.SetCapacity(t.Context(), client.Capacity{Pool: poolA, Limit: -1})
	require.NoError(t, err)
	require.Empty(t, request(open), "it has launched again")
}
