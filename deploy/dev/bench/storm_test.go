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
	before := cpu(f.Stack)
	begun := time.Now()
	hit := f.strike(b, third)
	atAnswers := cpu(f.Stack)
	after()
	back := time.Now()
	f.await(b, lastLook, n, begunTerminations)
	followed := time.Since(back)
	f.await(b, lastLook, n, caredFor)
	cared := time.Since(begun)
	atEnd := cpu(f.Stack)
	f.requireOneChangeEach(b)
	heading(b, title)
	hit.show(b)
	show(b, "aftercare begun after answers or return (≤ 60 s)", "%v", followed.Round(10*time.Millisecond))
	show(b, "aftercare ended after (1,000: ≤ 120 s)", "%v", cared.Round(10*time.Millisecond))
	show(b, "  notice → old standby released", "%v", f.durations(b, released))
	show(b, "  notice → next standby launched", "%v", f.durations(b, relaunched))
	show(b, "  notice → next standby ready", "%v", f.durations(b, rebuilt))
	show(b, "CPU per failover until all had changed", "%s", atAnswers.per(before, n))
	show(b, "CPU per failover, aftercare included", "%s", atEnd.per(before, n))
}

// changes counts the changes of roles of a fleet.
const changes = `SELECT count(*) FROM role_changes WHERE client_id = $1`

func (f *fleet) requireOneChangeEach(b *testing.B) {
	b.Helper()
	n := len(f.agents)
	require.Equal(b, n, f.count(b, `SELECT count(*) FROM instances i
		WHERE i.client_id = $1 AND i.role = 'primary' AND EXISTS (SELECT FROM notices n WHERE n.agent_id = i.agent_id)`))
	require.Equal(b, n, f.count(b, changes), "none lost, none twice")
}

// hit is how the notices of a storm were answered.
type hit struct {
	answered       sample
	actions        map[string]int
	changed, ended time.Duration // from the first notice to the last change and the last answer
}

func (h *hit) show(b *testing.B) {
	b.Helper()
	show(b, "all primaries changed after", "%v", h.changed.Round(10*time.Millisecond))
	show(b, "all answered after (1,000: ≤ 8 s, 10,000: ≤ 60 s)", "%v", h.ended.Round(10*time.Millisecond))
	show(b, "answers", "%v  %v", h.answered, h.actions)
}

// strike sends the notices of all agents within one second, and returns when all are
// answered. An agent that gets no answer sends its notice again, as agents do. strike
// calls third after a third of the notices.
func (f *fleet) strike(b *testing.B, third func()) *hit {
	b.Helper()
	n := len(f.agents)
	begun := time.Now()
	var (
		mu  sync.Mutex
		out = hit{actions: map[string]int{}}
		wg  sync.WaitGroup
	)
	tick := time.NewTicker(time.Second / 100)
	defer tick.Stop()
	thirdDone := false
	// A ticker drops what its reader is late for, so what is due follows from the clock.
	for sent := 0; sent < n; {
		<-tick.C
		for due := min(n, int(time.Since(begun)*time.Duration(n)/time.Second)); sent < due; sent++ {
			if !thirdDone && sent >= n/3 {
				thirdDone = true
				third()
			}
			a := f.agents[sent]
			wg.Go(func() {
				first := time.Now()
				action := f.insist(b.Context(), a)
				took := time.Since(first)
				mu.Lock()
				defer mu.Unlock()
				out.actions[action]++
				out.answered = append(out.answered, took)
			})
		}
	}
	f.await(b, lastLook, n, changes)
	out.changed = time.Since(begun)
	wg.Wait()
	out.ended = time.Since(begun)
	return &out
}

// insist sends a notice until it is answered, three times at most, with a pause as
// agents make it. What went wrong stands before the action of one that was repeated.
func (f *fleet) insist(ctx context.Context, a agent) (action string) {
	again := ""
	for try := range 3 {
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(try) * time.Second):
		}
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // an agent's own time limit
		action, err := f.notify(ctx, a)
		cancel()
		if err == nil {
			return again + action
		}
		again = err.Error() + ", then "
	}
	return again + "given up"
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
