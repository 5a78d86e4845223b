package bench

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
)

var (
	storms   = flag.String("storms", "500,1000", "sizes of the storms")
	lastLook = 5 * time.Minute
)

// BenchmarkStorm sends every agent's notice within one second, each with a real held
// standby to release.
func BenchmarkStorm(b *testing.B) {
	for _, n := range stormSizes(b) {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := devtest.Start(b, devtest.Options{OnDisk: true})
			f := newFleet(b, s, "storm", n, true)
			f.rest(b)
			storm(b, f, fmt.Sprintf("storm: %d notices within a second, held standbys", n), nothing, nothing)
		})
	}
}

func stormSizes(b *testing.B) (sizes []int) {
	b.Helper()
	for size := range strings.SplitSeq(*storms, ",") {
		n, err := strconv.Atoi(size)
		require.NoError(b, err)
		sizes = append(sizes, n)
	}
	return sizes
}

// BenchmarkStormWithoutTemporal is the largest of the storms. It kills Temporal when a
// third of the notices are sent, and starts it again when all primaries have changed.
func BenchmarkStormWithoutTemporal(b *testing.B) {
	n := slices.Max(stormSizes(b))
	s := devtest.Start(b, devtest.Options{OnDisk: true})
	f := newFleet(b, s, "away", n, true)
	f.rest(b)
	storm(b, f,
		fmt.Sprintf("storm: %d notices within a second, Temporal killed in the middle and started again after it",
			n), func() {
			require.NoError(b, s.Kill(devtest.Temporal))
		}, func() {
			require.NoError(b, s.Restart(b.Context(), devtest.Temporal))
		})
}

func nothing() {}

// rest waits until the launches are over. A new standby is looked at every few seconds
// and then ever less often, so a thousand new ones leave a stack no full rest.
func (f *fleet) rest(b *testing.B) {
	b.Helper()
	f.settleBelow(b, .3, 5*time.Minute)
}

// storm measures a storm. It calls third after a third of the notices, and after when
// all are answered.
func storm(b *testing.B, f *fleet, title string, third, after func()) {
	b.Helper()
	n := len(f.agents)
	const changes = `SELECT count(*) FROM role_changes WHERE client_id = $1`
	before := cpu(f.Stack)
	begun := time.Now()
	var (
		mu       sync.Mutex
		answered sample
		actions  = map[string]int{}
		wg       sync.WaitGroup
	)
	tick := time.NewTicker(time.Second / time.Duration(n))
	defer tick.Stop()
	for i, a := range f.agents {
		<-tick.C
		if i == n/3 {
			third()
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second) // an agent's own time limit
			defer cancel()
			sent := time.Now()
			action, err := f.notify(ctx, a)
			took := time.Since(sent)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				action = err.Error()
			}
			actions[action]++
			answered = append(answered, took)
		})
	}
	f.await(b, lastLook, n, changes)
	all := time.Since(begun)
	wg.Wait()
	ended := time.Since(begun)
	atAnswers := cpu(f.Stack)
	after()
	back := time.Now()
	f.await(b, lastLook, n, begunTerminations)
	followed := time.Since(back)
	f.await(b, lastLook, n, caredFor)
	cared := time.Since(begun)
	atEnd := cpu(f.Stack)
	require.Equal(b, n, f.count(b, `SELECT count(*) FROM instances WHERE client_id = $1 AND role = 'primary'`))
	require.Equal(b, n, f.count(b, changes), "none lost, none twice")
	heading(b, title)
	show(b, "all primaries changed after", "%v", all.Round(10*time.Millisecond))
	show(b, "all answered after (1,000: ≤ 8 s)", "%v", ended.Round(10*time.Millisecond))
	show(b, "answers", "%v  %v", answered, actions)
	show(b, "aftercare begun after answers or return (≤ 60 s)", "%v", followed.Round(10*time.Millisecond))
	show(b, "aftercare ended after (1,000: ≤ 120 s)", "%v", cared.Round(10*time.Millisecond))
	show(b, "  notice → old standby released", "%v", f.durations(b, released))
	show(b, "  notice → next standby launched", "%v", f.durations(b, relaunched))
	show(b, "  notice → next standby ready", "%v", f.durations(b, rebuilt))
	show(b, "CPU per failover until all had changed", "%s", atAnswers.per(before, n))
	show(b, "CPU per failover, aftercare included", "%s", atEnd.per(before, n))
}

// caredFor counts the agents whose old instance only waits for AWS, and whose next
// standby is ready.
const caredFor = `SELECT count(*) FROM operations o
	WHERE o.client_id = $1 AND o.kind = 'termination' AND (o.phase = 'waiting_for_aws' OR o.state <> 'running')
	AND EXISTS (SELECT FROM replicas r WHERE r.agent_id = o.agent_id AND r.state = 'ready')`

// Moments of the aftercare of each failover, after its notice.
const (
	released = `SELECT s.at - n.received_at FROM notices n
		JOIN operation_steps s ON s.operation_id = 'termination/' || n.agent_id || '/' || n.instance_id
			AND s.name = 'replica released'
		WHERE n.client_id = $1`
	relaunched = `SELECT r.launched_at - n.received_at FROM notices n
		JOIN replicas r ON r.agent_id = n.agent_id AND r.created_at >= n.received_at
		WHERE n.client_id = $1 AND r.launched_at IS NOT NULL`
	rebuilt = `SELECT r.ready_at - n.received_at FROM notices n
		JOIN replicas r ON r.agent_id = n.agent_id AND r.created_at >= n.received_at
		WHERE n.client_id = $1 AND r.ready_at IS NOT NULL`
)
