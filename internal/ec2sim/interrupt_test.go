package ec2sim_test

import (
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

func TestRebalanceThenNoticeThenTheEnd(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Delays: simclient.Delays{ShuttingDown: 20}})
	id := c.launch(t, order("t", zoneA))
	require.NoError(t, c.ctl.Interrupt(t.Context(), id, simclient.Rebalance, time.Minute))
	require.NoError(t, c.ctl.Interrupt(t.Context(), id, simclient.Notice, 10*time.Minute))
	imds := func() simclient.Metadata {
		m, err := c.ctl.Metadata(t.Context(), id)
		require.NoError(t, err)
		return m
	}
	require.Nil(t, imds().Rebalance)
	c.advance(t, time.Minute)
	require.Equal(t, start.Add(time.Minute), imds().Rebalance.NoticeTime)
	require.Nil(t, imds().Spot)
	c.advance(t, 9*time.Minute)
	require.Equal(t, "terminate", imds().Spot.Action)
	require.Equal(t, start.Add(12*time.Minute), imds().Spot.Time)
	require.Equal(t, "spot", imds().LifeCycle)

	c.advance(t, 119*time.Second)
	require.Equal(t, types.InstanceStateNameRunning, c.state(t, id))
	c.advance(t, time.Second)
	require.Equal(t, types.InstanceStateNameShuttingDown, c.state(t, id))
	require.Equal(t, "Server.SpotInstanceTermination", *c.describe(t, id).StateReason.Code)
	c.advance(t, 20*time.Second)
	require.Equal(t, types.InstanceStateNameTerminated, c.state(t, id))
	requests, err := c.DescribeSpotInstanceRequests(t.Context(),
		&ec2.DescribeSpotInstanceRequestsInput{Filters: []types.Filter{filter("instance-id", id)}})
	require.NoError(t, err)
	require.Equal(t, "instance-terminated-no-capacity", *requests.SpotInstanceRequests[0].Status.Code)
	_, err = c.ctl.Metadata(t.Context(), id)
	var gone *simclient.ControlError
	require.ErrorAs(t, err, &gone)
	require.Equal(t, http.StatusGone, gone.Status)
	counts, err := c.ctl.Counts(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, counts.Interrupted)
}

func TestEndingItFirstIsTheUsersEnd(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	id := c.launch(t, order("t", zoneA))
	require.NoError(t, c.ctl.Interrupt(t.Context(), id, simclient.Notice, 0))
	c.advance(t, time.Minute)
	_, err := c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	require.NoError(t, err)
	c.advance(t, 2*time.Minute)
	require.Equal(t, "Client.UserInitiatedShutdown", *c.describe(t, id).StateReason.Code)
}

func TestShortNoticeAndNone(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	short, none := c.launch(t, order("short", zoneA)), c.launch(t, order("none", zoneB))
	_, err := c.ctl.Signal(t.Context(), simclient.Interruption{InstanceID: short, Kind: simclient.Notice, NoticeSeconds: 39})
	require.NoError(t, err)
	require.NoError(t, c.ctl.Interrupt(t.Context(), none, simclient.Terminate, 0))
	m, err := c.ctl.Metadata(t.Context(), short)
	require.NoError(t, err)
	require.Equal(t, start.Add(39*time.Second), m.Spot.Time)
	require.Equal(t, types.InstanceStateNameTerminated, c.state(t, none))
}

func TestStopInsteadOfTerminate(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	in := order("t", zoneA)
	in.InstanceMarketOptions.SpotOptions.SpotInstanceType = types.SpotInstanceTypePersistent
	in.InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior = types.InstanceInterruptionBehaviorStop
	id := c.launch(t, in)
	require.NoError(t, c.ctl.Interrupt(t.Context(), id, simclient.Notice, 0))
	m, err := c.ctl.Metadata(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "stop", m.Spot.Action)
	c.advance(t, 2*time.Minute)
	require.Equal(t, types.InstanceStateNameStopped, c.state(t, id))
	_, err = c.StartInstances(t.Context(), &ec2.StartInstancesInput{InstanceIds: []string{id}})
	refused(t, err, "IncorrectInstanceState", http.StatusBadRequest) // only EC2 can start it again
}

func TestAWholePoolIsReclaimed(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	var ids []string
	for n := range 4 {
		ids = append(ids, c.launch(t, order(strconv.Itoa(n), zoneA)))
	}
	kept := c.launch(t, onDemand("od", zoneA))
	hit, err := c.ctl.SetCapacity(t.Context(), simclient.Capacity{
		Pool:    poolA,
		Market:  simclient.Spot,
		Limit:   1,
		Reclaim: true,
	})
	require.NoError(t, err)
	require.Equal(t, ids[1:], hit, "the newest go first")
	c.advance(t, 2*time.Minute)
	require.Equal(t, types.InstanceStateNameRunning, c.state(t, ids[0]))
	require.Equal(t, types.InstanceStateNameTerminated, c.state(t, ids[3]))
	require.Equal(t, types.InstanceStateNameRunning, c.state(t, kept))
	hit, err = c.ctl.Signal(t.Context(), simclient.Interruption{Pool: poolA, Kind: simclient.Terminate})
	require.NoError(t, err)
	require.Equal(t, ids[:1], hit)
}

func TestImpossibleInterruptions(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	for _, in := range []simclient.Interruption{
		{InstanceID: c.launch(t, onDemand("od", zoneA)), Kind: simclient.Notice},
		{InstanceID: "i-0", Kind: simclient.Notice},
		{InstanceID: c.launch(t, order("spot", zoneA)), Kind: "surprise"},
		{Pool: "x", Kind: simclient.Notice},
		{Pool: poolA, Kind: simclient.Notice, InSeconds: -1},
	} {
		_, err := c.ctl.Signal(t.Context(), in)
		var e *simclient.ControlError
		require.ErrorAs(t, err, &e)
		require.Equal(t, http.StatusBadRequest, e.Status)
	}
}

func TestHazardIsSeeded(t *testing.T) {
	t.Parallel()
	ends := func(seed int64) []time.Time {
		c := newCloud(t, ec2sim.Options{Seed: seed, Hazard: 1})
		for n := range 40 {
			c.launch(t, order(strconv.Itoa(n), zoneA))
		}
		state, err := c.ctl.State(t.Context())
		require.NoError(t, err)
		var out []time.Time
		for _, i := range state.Instances {
			require.Equal(t, 2*time.Minute, i.InterruptionTime.Sub(i.NoticeTime))
			out = append(out, i.InterruptionTime)
		}
		return out
	}
	first := ends(7)
	require.Equal(t, first, ends(7))
	require.NotEqual(t, first, ends(8))
	early := 0
	for _, at := range first {
		if at.Before(start.Add(2 * time.Hour)) {
			early++
		}
	}
	require.Greater(t, early, 8, "young instances die")
	require.Less(t, early, 32)
}

func TestMetadataAsTheInstanceReadsIt(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	id := c.launch(t, order("t", zoneA))
	read := func(path string) (int, string) {
		res, err := c.srv.Client().Get(c.srv.URL + "/_sim/imds/" + id + "/latest/" + path)
		require.NoError(t, err)
		return res.StatusCode, body(t, res)
	}
	code, _ := read("meta-data/spot/instance-action")
	require.Equal(t, http.StatusNotFound, code)
	require.NoError(t, c.ctl.Interrupt(t.Context(), id, simclient.Rebalance, 0))
	require.NoError(t, c.ctl.Interrupt(t.Context(), id, simclient.Notice, 0))
	for path, want := range map[string]string{
		"meta-data/instance-id":                      id,
		"meta-data/placement/availability-zone":      zoneA,
		"meta-data/spot/instance-action":             `{"action":"terminate","time":"2026-06-01T12:02:00Z"}`,
		"meta-data/events/recommendations/rebalance": `{"noticeTime":"2026-06-01T12:00:00Z"}`,
	} {
		code, text := read(path)
		require.Equal(t, http.StatusOK, code)
		require.Equal(t, want, text)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
		c.srv.URL+"/_sim/imds/"+id+"/latest/api/token", http.NoBody)
	require.NoError(t, err)
	res, err := c.srv.Client().Do(req)
	require.NoError(t, err)
	require.Len(t, body(t, res), 40)
	require.Equal(t, "ami-", aws.ToString(c.describe(t, id).ImageId)[:4])
}
