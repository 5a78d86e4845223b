package ec2sim_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
)

func TestTheClockOnlyGoesForward(t *testing.T) {
	t.Parallel()
	real := start
	c := newCloud(t, ec2sim.Options{Now: func() time.Time { return real }})
	now := func() time.Time {
		clock, err := c.ctl.Clock(t.Context())
		require.NoError(t, err)
		return clock.Now
	}
	real = real.Add(time.Second)
	require.Equal(t, start.Add(time.Second), now())
	_, err := c.ctl.ChangeClock(t.Context(), simclient.ClockChange{Scale: aws.Float64(60)})
	require.NoError(t, err)
	real = real.Add(time.Second)
	require.Equal(t, start.Add(61*time.Second), now())
	_, err = c.ctl.Freeze(t.Context())
	require.NoError(t, err)
	real = real.Add(time.Hour)
	require.Equal(t, start.Add(61*time.Second), now())
	to := start.Add(24 * time.Hour)
	_, err = c.ctl.ChangeClock(t.Context(), simclient.ClockChange{Now: &to})
	require.NoError(t, err)
	require.Equal(t, to, now())
	real = start // the machine's clock is set back
	require.Equal(t, to, now())
	for _, in := range []simclient.ClockChange{{Now: &start}, {AdvanceSeconds: aws.Float64(-1)},
		{Scale: aws.Float64(-1)}} {
		_, err := c.ctl.ChangeClock(t.Context(), in)
		var e *simclient.ControlError
		require.ErrorAs(t, err, &e)
	}
}

func TestBadControlRequests(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	for _, tc := range []struct {
		method, route, body string
		status              int
	}{
		{"POST", "capacity", `{"pool":"m5.large.us-east-1z","limit":0}`, 400},
		{"POST", "capacity", `{"pool":"[","limit":0}`, 400},
		{"POST", "capacity", `{"pool":"m5.*","market":"barter"}`, 400},
		{"POST", "capacity", `{"pools":"m5.*"}`, 400},
		{"POST", "capacity", `nonsense`, 400},
		{"POST", "quota", `{"account":"me"}`, 400},
		{"POST", "fault", `{"mode":"worse"}`, 400},
		{"POST", "throttle", `{"burst":1}`, 400},
		{"POST", "delays", `{"pending_seconds":-1}`, 400},
		{"POST", "price", `{"pool":"x.y","price":1}`, 400},
		{"POST", "hazard", `{"factor":-1}`, 400},
		{"POST", "role", `{"arn":"me"}`, 400},
		{"POST", "impair", `{"instance_id":"i-0"}`, 404},
		{"GET", "imds/i-0", ``, 404},
		{"GET", "imds/i-0/latest/meta-data/ami-id", ``, 404},
		{"GET", "nothing", ``, 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method,
			c.srv.URL+"/_sim/"+tc.route, strings.NewReader(tc.body))
		require.NoError(t, err)
		res, err := c.srv.Client().Do(req)
		require.NoError(t, err)
		text := body(t, res)
		require.Equal(t, tc.status, res.StatusCode, "%s: %s", tc.route, text)
		var e map[string]string
		require.NoError(t, json.Unmarshal([]byte(text), &e))
		require.NotEmpty(t, e["error"])
		require.True(t, strings.HasPrefix(e["code"], "ec2sim."))
	}
}

func TestDelaysChangeOneByOne(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Delays: simclient.Delays{Pending: 1, Checks: 2}})
	res, err := c.srv.Client().Post(c.srv.URL+"/_sim/delays", "application/json",
		strings.NewReader(`{"checks_seconds": 7}`))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	state, err := c.ctl.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, simclient.Delays{Pending: 1, Checks: 7}, state.Delays)
	require.NoError(t, c.ctl.SetDelays(t.Context(), simclient.Delays{Notice: 60}))
	require.NoError(t, c.ctl.SetHazard(t.Context(), simclient.Hazard{Factor: 0}))
	state, err = c.ctl.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, simclient.Delays{Notice: 60}, state.Delays)
}

func TestStateShowsPools(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	c.launch(t, order("1", zoneA))
	c.launch(t, onDemand("2", zoneA))
	for limit, free := range map[int]int{5: 4, 0: 0} {
		_, err := c.ctl.SetCapacity(t.Context(), simclient.Capacity{Pool: poolA, Market: simclient.Spot, Limit: limit})
		require.NoError(t, err)
		state, err := c.ctl.State(t.Context())
		require.NoError(t, err)
		require.Len(t, state.Pools, 1)
		p := state.Pools[0]
		require.Equal(t, []int{free, 1, -1, 1}, []int{p.SpotFree, p.SpotLive, p.OnDemandFree, p.OnDemandLive})
		require.InDelta(t, 0.096, p.OnDemandPrice, 1e-9)
		require.Less(t, p.SpotPrice, p.OnDemandPrice)
	}
}
