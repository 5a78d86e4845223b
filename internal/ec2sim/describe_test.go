package ec2sim_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
)

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// found lists the ids that a filtered DescribeInstances returns, over all pages.
func (c *cloud) found(t *testing.T, api *ec2.Client, filters ...types.Filter) []string {
	t.Helper()
	var out []string
	pages := ec2.NewDescribeInstancesPaginator(api, &ec2.DescribeInstancesInput{Filters: filters})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				out = append(out, *i.InstanceId)
			}
		}
	}
	return out
}

func TestFilters(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	one, two := c.launch(t, order("one", zoneA)), c.launch(t, onDemand("two", zoneB))
	three := c.launch(t, order("three", zoneB))
	_, err := c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{three}})
	require.NoError(t, err)
	for _, tc := range []struct {
		filters []types.Filter
		want    []string
	}{
		{nil, []string{one, two, three}},
		{[]types.Filter{filter("tag:agent", "one")}, []string{one}},
		{[]types.Filter{filter("tag:agent", "t*")}, []string{two, three}},
		{[]types.Filter{filter("tag:agent", "?ne", "two")}, []string{one, two}},
		{[]types.Filter{filter("tag-key", "agent"), filter("instance-state-name", "running")}, []string{one, two}},
		{[]types.Filter{filter("tag-key", "other")}, nil},
		{[]types.Filter{filter("instance-state-name", "terminated")}, []string{three}},
		{[]types.Filter{filter("client-token", "two")}, []string{two}},
		{[]types.Filter{filter("instance-id", one, three)}, []string{one, three}},
		{[]types.Filter{filter("instance-lifecycle", "spot")}, []string{one, three}},
		{[]types.Filter{filter("availability-zone", zoneB)}, []string{two, three}},
	} {
		require.Equal(t, tc.want, c.found(t, c.Client, tc.filters...), "%v", tc.filters)
	}
	require.Empty(t, c.found(t, c.as(other, east)), "another account")
	require.Empty(t, c.found(t, c.as(account, "us-west-2")), "another region")
	_, err = c.DescribeInstances(t.Context(),
		&ec2.DescribeInstancesInput{Filters: []types.Filter{filter("instance-mood", "good")}})
	refused(t, err, "InvalidParameterValue", http.StatusBadRequest)
}

func TestPagesSurviveWhatComesAndGoes(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{PageSize: 2})
	var ids []string
	for n := range 5 {
		ids = append(ids, c.launch(t, order(strconv.Itoa(n), zoneA)))
	}
	first, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{MaxResults: aws.Int32(5)})
	require.NoError(t, err)
	require.Len(t, first.Reservations, 2)
	require.NotNil(t, first.NextToken)
	c.launch(t, order("late", zoneA))
	second, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{NextToken: first.NextToken})
	require.NoError(t, err)
	require.Equal(t, ids[2], *second.Reservations[0].Instances[0].InstanceId)
	require.Len(t, c.found(t, c.Client), 6)

	_, err = c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{NextToken: aws.String("nonsense")})
	refused(t, err, "InvalidPaginationToken", http.StatusBadRequest)
	_, err = c.DescribeInstanceStatus(t.Context(), &ec2.DescribeInstanceStatusInput{NextToken: first.NextToken})
	refused(t, err, "InvalidPaginationToken", http.StatusBadRequest)
	_, err = c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{MaxResults: aws.Int32(5), InstanceIds: ids})
	refused(t, err, "InvalidParameterCombination", http.StatusBadRequest)
}

func TestNotVisibleYet(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Delays: simclient.Delays{Visibility: 5}})
	id := c.launch(t, order("t", zoneA))
	_, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	refused(t, err, "InvalidInstanceID.NotFound", http.StatusBadRequest)
	_, err = c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	refused(t, err, "InvalidInstanceID.NotFound", http.StatusBadRequest)
	require.Empty(t, c.found(t, c.Client, filter("tag:agent", "t")))
	require.Equal(t, id, c.launch(t, order("t", zoneA)), "the token knows it all the same")
	c.advance(t, 5*time.Second)
	require.Equal(t, types.InstanceStateNameRunning, c.state(t, id))
	_, err = c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{"i-zz"}})
	refused(t, err, "InvalidInstanceID.Malformed", http.StatusBadRequest)
}

func TestStatesAreSeenLate(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Delays: simclient.Delays{Lag: 3}})
	id := c.launch(t, order("t", zoneA))
	c.advance(t, 10*time.Second)
	_, err := c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	require.NoError(t, err)
	require.Equal(t, types.InstanceStateNameRunning, c.state(t, id))
	c.advance(t, 3*time.Second)
	require.Equal(t, types.InstanceStateNameTerminated, c.state(t, id))
}

func TestLifeOfAnInstance(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Delays: simclient.Delays{Pending: 16, Checks: 10, ShuttingDown: 30}})
	id := c.launch(t, order("t", zoneA))
	status := func(all bool) []types.InstanceStatus {
		out, err := c.DescribeInstanceStatus(t.Context(), &ec2.DescribeInstanceStatusInput{
			InstanceIds:         []string{id},
			IncludeAllInstances: aws.Bool(all),
		})
		require.NoError(t, err)
		return out.InstanceStatuses
	}
	require.Equal(t, types.InstanceStateNamePending, c.state(t, id))
	require.Empty(t, status(false))
	require.Equal(t, types.SummaryStatusNotApplicable, status(true)[0].InstanceStatus.Status)

	c.advance(t, 16*time.Second)
	require.Equal(t, types.InstanceStateNameRunning, c.state(t, id))
	require.Equal(t, types.SummaryStatusInitializing, status(false)[0].SystemStatus.Status)
	c.advance(t, 10*time.Second)
	require.Equal(t, types.SummaryStatusOk, status(false)[0].InstanceStatus.Status)
	require.Equal(t, types.StatusTypePassed, status(false)[0].InstanceStatus.Details[0].Status)
	require.NoError(t, c.ctl.Impair(t.Context(), id, true))
	require.Equal(t, types.SummaryStatusImpaired, status(false)[0].InstanceStatus.Status)

	out, err := c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	require.NoError(t, err)
	require.Equal(t, types.InstanceStateNameRunning, out.TerminatingInstances[0].PreviousState.Name)
	require.Equal(t, types.InstanceStateNameShuttingDown, out.TerminatingInstances[0].CurrentState.Name)
	c.advance(t, 30*time.Second)
	gone := c.describe(t, id)
	require.Equal(t, types.InstanceStateNameTerminated, gone.State.Name)
	require.Equal(t, "Client.UserInitiatedShutdown", *gone.StateReason.Code)
	require.Contains(t, *gone.StateTransitionReason, "User initiated (2026-06-01 12:00:26 UTC)")
	require.Nil(t, gone.SubnetId)
	again, err := c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	require.NoError(t, err)
	require.Equal(t, types.InstanceStateNameTerminated, again.TerminatingInstances[0].PreviousState.Name)

	c.advance(t, time.Hour)
	_, err = c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	refused(t, err, "InvalidInstanceID.NotFound", http.StatusBadRequest)
}

func TestTerminateIsAllOrNothing(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	id := c.launch(t, order("t", zoneA))
	_, err := c.TerminateInstances(t.Context(),
		&ec2.TerminateInstancesInput{InstanceIds: []string{id, "i-0123456789abcdef0"}})
	refused(t, err, "InvalidInstanceID.NotFound", http.StatusBadRequest)
	require.Equal(t, types.InstanceStateNameRunning, c.state(t, id))
	_, err = c.as(other, east).TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	refused(t, err, "InvalidInstanceID.NotFound", http.StatusBadRequest)
}

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Delays: simclient.Delays{Pending: 5, Stopping: 5}})
	spot, id := c.launch(t, order("spot", zoneA)), c.launch(t, onDemand("od", zoneA))
	c.advance(t, 5*time.Second)
	_, err := c.StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{spot}})
	refused(t, err, "UnsupportedOperation", http.StatusBadRequest)
	_, err = c.StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{id}})
	require.NoError(t, err)
	require.Equal(t, types.InstanceStateNameStopping, c.state(t, id))
	_, err = c.StartInstances(t.Context(), &ec2.StartInstancesInput{InstanceIds: []string{id}})
	refused(t, err, "IncorrectInstanceState", http.StatusBadRequest)
	c.advance(t, 5*time.Second)
	require.Equal(t, types.InstanceStateNameStopped, c.state(t, id))
	_, err = c.StartInstances(t.Context(), &ec2.StartInstancesInput{InstanceIds: []string{id}})
	require.NoError(t, err)
	require.Equal(t, types.InstanceStateNamePending, c.state(t, id))
	c.advance(t, 5*time.Second)
	require.Equal(t, types.InstanceStateNameRunning, c.state(t, id))
}

func TestTags(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	id := c.launch(t, order("t", zoneA))
	volume := *c.describe(t, id).BlockDeviceMappings[0].Ebs.VolumeId
	_, err := c.CreateTags(t.Context(), &ec2.CreateTagsInput{
		Resources: []string{id, volume},
		Tags: []types.Tag{{
			Key:   aws.String("role"),
			Value: aws.String("primary"),
		}, {Key: aws.String("epoch"), Value: aws.String("7")}},
	})
	require.NoError(t, err)
	_, err = c.DeleteTags(t.Context(), &ec2.DeleteTagsInput{
		Resources: []string{id},
		Tags:      []types.Tag{{Key: aws.String("role"), Value: aws.String("replica")}, {Key: aws.String("epoch")}},
	})
	require.NoError(t, err)
	out, err := c.DescribeTags(t.Context(),
		&ec2.DescribeTagsInput{Filters: []types.Filter{filter("resource-id", id, volume)}})
	require.NoError(t, err)
	var got []string
	for _, tag := range out.Tags {
		got = append(got, fmt.Sprintf("%s %s=%s", tag.ResourceType, *tag.Key, *tag.Value))
	}
	require.Equal(t, []string{"instance agent=t", "instance role=primary", "volume epoch=7", "volume role=primary"},
		got)
	_, err = c.CreateTags(t.Context(), &ec2.CreateTagsInput{
		Resources: []string{"i-0123456789abcdef0"},
		Tags:      []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}},
	})
	refused(t, err, "InvalidInstanceID.NotFound", http.StatusBadRequest)
	var many []types.Tag
	for n := range 50 {
		many = append(many, types.Tag{Key: aws.String(strconv.Itoa(n)), Value: aws.String("v")})
	}
	_, err = c.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{id}, Tags: many})
	refused(t, err, "TagLimitExceeded", http.StatusBadRequest)
}

func TestUnknownAction(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	_, err := c.DescribeVpnGateways(t.Context(), &ec2.DescribeVpnGatewaysInput{})
	refused(t, err, "InvalidAction", http.StatusBadRequest)
	_, err = c.as(account, "mars-north-1").DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	refused(t, err, "AuthFailure", http.StatusUnauthorized)
}
