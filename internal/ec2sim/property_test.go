package ec2sim_test

import (
	"errors"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
)

// TestNoHistoryBreaksTheRules drives a small cloud at random and holds it to
// its promises: one token is one instance per account, whatever was lost,
// refused or repeated; a pool never holds more than it may.
func TestNoHistoryBreaksTheRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		sim := ec2sim.New(ec2sim.Options{
			Now:    func() time.Time { return start },
			Delays: simclient.Delays{Pending: 3, ShuttingDown: 5},
		})
		srv := httptest.NewServer(sim)
		defer srv.Close()
		c := &cloud{ctl: simclient.NewClient(srv.URL, srv.Client()), srv: srv}
		callers := map[string]*ec2.Client{account: c.as(account, east), other: c.as(other, east)}
		made := map[string]string{} // account and token: the instance
		limit := map[string]int{}
		first, err := callers[account].RunInstances(t.Context(), order("0", zoneA))
		require.NoError(rt, err, "a simulator that refuses everything breaks no rule")
		made[account+"/0"] = *first.Instances[0].InstanceId
		codes := []string{"InternalError", "RequestLimitExceeded", "InsufficientInstanceCapacity"}
		rt.Repeat(map[string]func(*rapid.T){
			"launch": func(rt *rapid.T) {
				who := rapid.SampledFrom([]string{account, other}).Draw(rt, "account")
				token := strconv.Itoa(rapid.IntRange(1, 6).Draw(rt, "token"))
				out, err := callers[who].RunInstances(t.Context(), order(token, zoneA))
				key := who + "/" + token
				if refused, ok := errors.AsType[smithy.APIError](err); ok {
					require.Contains(rt, append(codes, "IdempotentInstanceTerminated"), refused.ErrorCode())
				}
				if err != nil {
					return
				}
				id := *out.Instances[0].InstanceId
				if former, ok := made[key]; ok {
					require.Equal(rt, former, id)
				}
				made[key] = id
			},
			"terminate": func(rt *rapid.T) {
				live, err := c.ctl.Live(t.Context(), "")
				require.NoError(rt, err)
				if len(live) == 0 {
					return
				}
				i := rapid.SampledFrom(live).Draw(rt, "instance")
				_, err = callers[i.Account].TerminateInstances(t.Context(),
					&ec2.TerminateInstancesInput{InstanceIds: []string{i.InstanceID}})
				require.NoError(rt, err, "no fault is set for it")
				state, err := c.ctl.State(t.Context())
				require.NoError(rt, err)
				for _, other := range state.Instances {
					if other.InstanceID == i.InstanceID {
						require.Contains(rt, []string{"shutting-down", "terminated"}, other.State)
					}
				}
			},
			"fault": func(rt *rapid.T) {
				require.NoError(rt, c.ctl.AddFault(t.Context(), simclient.Fault{
					Action: "RunInstances",
					Mode: rapid.SampledFrom([]string{simclient.FaultError, simclient.FaultLost, simclient.FaultAfter,
						simclient.FaultStillborn}).Draw(rt, "mode"),
					Code: rapid.SampledFrom(codes).Draw(rt, "code"),
				}))
			},
			"capacity": func(rt *rapid.T) {
				n := rapid.IntRange(0, 4).Draw(rt, "limit")
				_, err := c.ctl.SetCapacity(t.Context(), simclient.Capacity{Pool: poolA, Limit: n, Market: simclient.Spot})
				require.NoError(rt, err)
				live, err := c.ctl.Live(t.Context(), "")
				require.NoError(rt, err)
				limit[poolA] = max(n, holding(live))
			},
			"interrupt": func(rt *rapid.T) {
				_, err := c.ctl.Signal(t.Context(), simclient.Interruption{
					Pool: poolA,
					Kind: rapid.SampledFrom([]string{simclient.Rebalance, simclient.Notice, simclient.Terminate}).Draw(rt,
						"kind"),
					InSeconds: 1,
				})
				require.NoError(rt, err)
			},
			"time": func(rt *rapid.T) {
				_, err := c.ctl.Advance(t.Context(),
					time.Duration(rapid.IntRange(1, 200).Draw(rt, "seconds"))*time.Second)
				require.NoError(rt, err)
			},
			"": func(rt *rapid.T) {
				state, err := c.ctl.State(t.Context())
				require.NoError(rt, err)
				owner := map[string]string{}
				for _, i := range state.Instances {
					key := i.Account + "/" + i.ClientToken
					require.NotContains(rt, owner, key, "two instances of one token")
					owner[key] = i.InstanceID
				}
				for key, id := range made {
					require.Equal(rt, id, owner[key], "an answered launch is forgotten")
				}
				if most, ok := limit[poolA]; ok {
					require.LessOrEqual(rt, holding(state.Instances), most)
				}
				for _, p := range state.Pools {
					require.GreaterOrEqual(rt, p.SpotFree, -1)
				}
				counts, err := c.ctl.Counts(t.Context())
				require.NoError(rt, err)
				require.EqualValues(rt, len(owner), counts.Launched)
				require.Equal(rt, counts.Launched, counts.Tokens)
				require.Equal(rt, counts.Launched, counts.Live+counts.Terminated)
			},
		})
	})
}

func holding(instances []simclient.InstanceInfo) int {
	n := 0
	for _, i := range instances {
		if i.State == "pending" || i.State == "running" {
			n++
		}
	}
	return n
}
