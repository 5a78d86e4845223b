package ec2sim_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
)

func (c *cloud) fault(t *testing.T, f simclient.Fault) {
	t.Helper()
	require.NoError(t, c.ctl.AddFault(t.Context(), f))
}

func TestCapacityPerPoolAndMarket(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	_, err := c.ctl.SetCapacity(t.Context(), simclient.Capacity{Pool: poolA, Market: simclient.Spot, Limit: 1})
	require.NoError(t, err)
	first := c.launch(t, order("1", zoneA))
	_, err = c.RunInstances(t.Context(), order("2", zoneA))
	refused(t, err, "InsufficientInstanceCapacity", http.StatusInternalServerError)
	c.launch(t, onDemand("3", zoneA))
	c.launch(t, order("4", zoneB))

	_, err = c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{first}})
	require.NoError(t, err)
	c.launch(t, order("2", zoneA)) // the refused token made nothing

	_, err = c.ctl.SetCapacity(t.Context(), simclient.Capacity{Pool: "m5.large.*", Limit: 0})
	require.NoError(t, err)
	_, err = c.RunInstances(t.Context(), onDemand("5", zoneB))
	refused(t, err, "InsufficientInstanceCapacity", http.StatusInternalServerError)
	anywhere := onDemand("6", zoneA)
	anywhere.Placement = nil
	_, err = c.RunInstances(t.Context(), anywhere)
	refused(t, err, "InsufficientInstanceCapacity", http.StatusInternalServerError)
	_, err = c.ctl.SetCapacity(t.Context(), simclient.Capacity{Pool: "m5.large.*", Limit: -1})
	require.NoError(t, err)
	c.launch(t, onDemand("5", zoneB))
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	require.NoError(t, c.ctl.SetQuota(t.Context(), simclient.Quota{Account: account, SpotInstances: aws.Int(1)}))
	require.NoError(t, c.ctl.SetQuota(t.Context(), simclient.Quota{
		Account:   account,
		VCPUs:     aws.Int(3),
		Addresses: aws.Int(0),
	}))
	c.launch(t, order("1", zoneA))
	_, err := c.RunInstances(t.Context(), order("2", zoneB))
	refused(t, err, "MaxSpotInstanceCountExceeded", http.StatusBadRequest)
	c.launch(t, onDemand("3", zoneA))
	_, err = c.RunInstances(t.Context(), onDemand("4", zoneB))
	refused(t, err, "VcpuLimitExceeded", http.StatusBadRequest)
	_, err = c.AllocateAddress(t.Context(), &ec2.AllocateAddressInput{})
	refused(t, err, "AddressLimitExceeded", http.StatusBadRequest)
	_, err = c.as(other, east).RunInstances(t.Context(), order("2", zoneB))
	require.NoError(t, err, "another account has its own")
	require.NoError(t, c.ctl.SetQuota(t.Context(), simclient.Quota{
		Account:       account,
		SpotInstances: aws.Int(-1),
		Instances:     aws.Int(3),
	}))
	c.launch(t, order("2", zoneB))
	_, err = c.RunInstances(t.Context(), order("5", zoneB))
	refused(t, err, "InstanceLimitExceeded", http.StatusBadRequest)
}

func TestThrottleRefillsOnTheVirtualClock(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	require.NoError(t, c.ctl.SetThrottle(t.Context(), simclient.Throttle{Action: "RunInstances", Burst: 2, Refill: 0.5}))
	c.launch(t, order("1", zoneA))
	c.launch(t, order("2", zoneA))
	_, err := c.RunInstances(t.Context(), order("3", zoneA))
	refused(t, err, "RequestLimitExceeded", http.StatusServiceUnavailable)
	require.Len(t, c.found(t, c.Client), 2, "other actions are free")
	c.advance(t, 2*time.Second)
	c.launch(t, order("3", zoneA))
	require.NoError(t, c.ctl.SetThrottle(t.Context(), simclient.Throttle{Action: "RunInstances", Burst: -1}))
	require.NoError(t, c.ctl.SetThrottle(t.Context(), simclient.Throttle{Action: "*", Burst: 1}))
	c.launch(t, order("4", zoneA))
	_, err = c.DescribeRegions(t.Context(), &ec2.DescribeRegionsInput{})
	refused(t, err, "RequestLimitExceeded", http.StatusServiceUnavailable)
}

func TestFaultsHitTheNextMatchingCalls(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	c.fault(t, simclient.Fault{
		Action: "RunInstances",
		Pool:   "m5.*.us-east-1b",
		Code:   "InsufficientInstanceCapacity",
		Times:  2,
	})
	c.fault(t, simclient.Fault{
		Action:  "RunInstances",
		Market:  simclient.OnDemand,
		Code:    "UnauthorizedOperation",
		Message: "no",
		Times:   -1,
	})
	c.fault(t, simclient.Fault{Action: "DescribeInstances", Code: "Unavailable", Skip: 1})
	c.launch(t, order("1", zoneA))
	for range 2 {
		_, err := c.RunInstances(t.Context(), order("2", zoneB))
		refused(t, err, "InsufficientInstanceCapacity", http.StatusInternalServerError)
	}
	bySubnet := order("2", "")
	bySubnet.Placement, bySubnet.SubnetId = nil, aws.String(ec2sim.SubnetID(account, zoneB))
	c.launch(t, bySubnet)
	for range 3 {
		_, err := c.RunInstances(t.Context(), onDemand("3", zoneA))
		refused(t, err, "UnauthorizedOperation", http.StatusForbidden)
	}
	c.found(t, c.Client)
	_, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	refused(t, err, "Unavailable", http.StatusServiceUnavailable)
	state, err := c.ctl.State(t.Context())
	require.NoError(t, err)
	require.Len(t, state.Faults, 1, "what is used up is gone")
	require.NoError(t, c.ctl.ClearFaults(t.Context()))
	c.launch(t, onDemand("3", zoneA))
}

func TestDoneButTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	c.fault(t, simclient.Fault{Action: "RunInstances", Mode: simclient.FaultLost})
	_, err := c.RunInstances(t.Context(), order("1", zoneA))
	require.Error(t, err)
	var api smithy.APIError
	require.NotErrorAs(t, err, &api, "there is no answer to decode")
	id := c.launch(t, order("1", zoneA))
	require.Equal(t, []string{id}, c.found(t, c.Client, filter("tag:agent", "1")))

	c.fault(t, simclient.Fault{Action: "TerminateInstances", Pool: poolA, Mode: simclient.FaultAfter, Code: "InternalError"})
	_, err = c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	refused(t, err, "InternalError", http.StatusInternalServerError)
	require.Equal(t, types.InstanceStateNameTerminated, c.state(t, id))
	counts, err := c.ctl.Counts(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, counts.Launched)
	require.EqualValues(t, 1, counts.Dropped)
	require.EqualValues(t, 2, counts.Calls["RunInstances"])
}

func TestStillbornInstance(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Delays: simclient.Delays{Pending: 10}})
	c.fault(t, simclient.Fault{Mode: simclient.FaultStillborn, Code: "Server.InternalError"})
	id := c.launch(t, order("1", zoneA))
	require.Equal(t, types.InstanceStateNamePending, c.state(t, id))
	c.advance(t, 10*time.Second)
	i := c.describe(t, id)
	require.Equal(t, types.InstanceStateNameTerminated, i.State.Name)
	require.Equal(t, "Server.InternalError", *i.StateReason.Code)
	c.launch(t, order("2", zoneA))
}

func TestHiddenInstance(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Delays: simclient.Delays{Pending: 10}})
	c.fault(t, simclient.Fault{Mode: simclient.FaultHidden, HiddenSeconds: 60})
	id := c.launch(t, order("1", zoneA))
	c.advance(t, 59*time.Second)
	_, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	refused(t, err, "InvalidInstanceID.NotFound", http.StatusBadRequest)
	c.advance(t, time.Second)
	require.Equal(t, types.InstanceStateNameRunning, c.state(t, id))
}

func TestLatency(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	c.fault(t, simclient.Fault{Action: "DescribeRegions", LatencySeconds: 0.05})
	began := time.Now()
	_, err := c.DescribeRegions(t.Context(), &ec2.DescribeRegionsInput{})
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
}

func TestCloseEndsWaitingCalls(t *testing.T) {
	t.Parallel()
	sim := ec2sim.New(ec2sim.Options{})
	c := serve(t, sim)
	c.fault(t, simclient.Fault{Action: "RunInstances", LatencySeconds: 3600})
	ended := make(chan error, 1)
	go func() {
		_, err := c.RunInstances(t.Context(), order("1", zoneA))
		ended <- err
	}()
	require.Eventually(t, func() bool {
		counts, err := c.ctl.Counts(t.Context())
		return err == nil && counts.Calls["RunInstances"] == 1
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, sim.Close())
	refused(t, <-ended, "ServiceUnavailable", http.StatusServiceUnavailable)
	counts, err := c.ctl.Counts(t.Context())
	require.NoError(t, err)
	require.Zero(t, counts.Launched)
}
