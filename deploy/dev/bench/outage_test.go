package bench

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	simclient "spotkeeper/internal/ec2sim/client"
	ec2tags "spotkeeper/internal/fleet"
)

// BenchmarkZoneOutage takes a zone away at EC2's worst: its RunInstances answers 500, the
// account's Describe calls are throttled to nothing, and 200 agents are noticed within ten
// seconds, half of them without a standby. It prints how many had a successor by their
// deadline, and how many seconds were left.
func BenchmarkZoneOutage(b *testing.B) {
	const each = 100
	s := devtest.Start(b, devtest.Options{OnDisk: true})
	held := newFleet(b, s, "held", each, true)
	bare := newFleet(b, s, "bare", each, false)
	for _, f := range []*fleet{held, bare} {
		f.await(b, 5*time.Minute, each, `SELECT count(*) FROM launch_templates l
			JOIN agents a ON a.id = l.agent_id WHERE a.client_id = $1`)
	}
	held.settleBelow(b, .5, 5*time.Minute)

	httpc := &http.Client{Timeout: 15 * time.Second}
	b.Cleanup(httpc.CloseIdleConnections)
	sim := simclient.NewClient(s.EC2, httpc)
	require.NoError(b, sim.SetDelays(b.Context(), simclient.AWSDelays()))
	require.NoError(b, sim.AddFault(b.Context(), simclient.Fault{
		Action: "RunInstances",
		Pool:   "*.us-east-1a",
		Code:   "InternalError",
		Status: http.StatusInternalServerError,
		Times:  -1,
	}))
	for _, action := range []string{"DescribeInstances", "DescribeInstanceStatus", "DescribeInstanceAttribute",
		"DescribeImages", "DescribeSubnets", "DescribeAvailabilityZones", "DescribeInstanceTypes"} {
		require.NoError(b, sim.SetThrottle(b.Context(), simclient.Throttle{Action: action}))
	}
	booting, powerOff := context.WithCancel(b.Context())
	var boots sync.WaitGroup
	b.Cleanup(func() { powerOff(); boots.Wait() })
	for _, f := range []*fleet{held, bare} {
		boots.Go(func() { f.bootSuccessors(booting, sim) })
	}
	noticeWithin(b, 10*time.Second, held, bare)
	const answered = `SELECT count(*) FROM notices n
		WHERE n.client_id = $1 AND (n.result <> '' OR n.deadline < clock_timestamp())`
	heading(b, "zone outage: 200 notices in ten seconds, Describe throttled to nothing, one zone sick")
	for _, half := range []struct {
		what  string
		fleet *fleet
	}{{"with a standby", held}, {"without a standby", bare}} {
		half.fleet.await(b, 4*time.Minute, each, answered)
		left := half.fleet.durations(b, `SELECT n.deadline - c.changed_at FROM notices n
			JOIN role_changes c ON c.agent_id = n.agent_id AND c.old_id = n.instance_id
			WHERE n.client_id = $1 AND n.kind = 'termination-notice'`)
		inTime := half.fleet.count(b, `SELECT count(*) FROM notices n
			JOIN role_changes c ON c.agent_id = n.agent_id AND c.old_id = n.instance_id
			WHERE n.client_id = $1 AND n.kind = 'termination-notice' AND c.changed_at <= n.deadline`)
		show(b, half.what+": successors by the deadline", "%d of %d", inTime, each)
		show(b, half.what+": time left (p50 … max)", "%v", left)
		show(b, half.what+": least time left", "%v", left.at(0).Round(10*time.Millisecond))
	}
	sick := bare.count(b, `SELECT count(*) FROM launches l WHERE l.client_id = $1 AND l.pool_id LIKE '%.us-east-1a'`)
	show(b, "launches tried in the sick zone", "%d", sick)
	var states string
	require.NoError(b, bare.db.QueryRow(b.Context(), `SELECT coalesce(string_agg(line, ', '), 'none') FROM (
		SELECT state || coalesce(' ' || nullif(error_code, ''), '') || ' ' || count(*) AS line
		FROM replicas WHERE client_id = $1 GROUP BY state, error_code) x`, bare.client).Scan(&states))
	show(b, "replicas of those without a standby", "%s", states)
}

// bootTime is how long the agent of a new instance takes to report after EC2 calls the
// instance running.
const bootTime = 20 * time.Second

// bootSuccessors starts an agent on each instance that is launched for the fleet's agents,
// as the copied user data does. Only the instance's own report shows that it is up,
// because EC2 cannot be asked.
func (f *fleet) bootSuccessors(ctx context.Context, sim *simclient.Client) {
	of, seen := map[string]int{}, map[string]bool{}
	for i, a := range f.agents {
		of[a.id], seen[a.instance] = i, true
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		live, err := sim.Live(ctx, f.account)
		if err != nil {
			continue
		}
		for _, x := range live {
			i, ours := of[x.Tags[ec2tags.TagAgent]]
			if !ours || seen[x.InstanceID] || x.State != "running" || time.Since(x.RunningTime) < bootTime {
				continue
			}
			if _, err := f.announce(ctx, i, x.InstanceID, x.Zone); err == nil {
				seen[x.InstanceID] = true
			}
		}
	}
}

// noticeWithin has the agents of all fleets report their notices, spread over a time.
func noticeWithin(b *testing.B, within time.Duration, fleets ...*fleet) {
	b.Helper()
	n := 0
	for _, f := range fleets {
		n += len(f.agents)
	}
	tick := time.NewTicker(within / time.Duration(n))
	defer tick.Stop()
	var wg sync.WaitGroup
	for i := range fleets[0].agents {
		for _, f := range fleets {
			<-tick.C
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second)
				defer cancel()
				_, _ = f.notify(ctx, f.agents[i]) // what became of it is read from the rows
			})
		}
	}
	wg.Wait()
}
