package bench

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	gopath "path"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"spotkeeper/deploy/dev/devtest"
)

// What agents do all day.
const (
	crowdSize      = 10_000
	heartbeatEvery = 30 * time.Second
	beatsPerReport = 10 // five minutes
)

// BenchmarkCrowd is a day like any other of ten thousand agents, three minutes of
// it, with every scheduled job running beside them.
func BenchmarkCrowd(b *testing.B) {
	s := devtest.Start(b, devtest.Options{OnDisk: true})
	f := crowd(b, s)
	const during = 3 * time.Minute
	before := cpu(s)
	d := f.live(b, during)
	after := cpu(s)
	heading(b, fmt.Sprintf("%d agents, a heartbeat every %v, a report every %v, for %v", crowdSize, heartbeatEvery,
		heartbeatEvery*beatsPerReport, during))
	d.show(b)
	show(b, "CPU per second", "%s", after.per(before, int(d.took.Seconds())))
	show(b, "memory of api + worker (≤ 512 MiB)", "%d + %d MiB", resident(s.PID(devtest.API)),
		resident(s.PID(devtest.Worker)))
}

// day is what the requests of a crowd took.
type day struct {
	beats, reports sample
	failed         map[string]int // not answered with 200, by what came instead
	took           time.Duration
}

func (d *day) show(b *testing.B) {
	b.Helper()
	show(b, "heartbeats (p99 ≤ 50 ms)", "%v", d.beats)
	show(b, "pricing reports", "%v", d.reports)
	failed := 0
	for _, n := range d.failed {
		failed += n
	}
	show(b, "not answered with 200", "%d", failed)
	for _, what := range slices.Sorted(maps.Keys(d.failed)) {
		show(b, "", "%d times %s", d.failed[what], what)
	}
}

// live sends what the agents send. Requests come when they are due, whether or not
// the one before was answered.
func (f *fleet) live(b *testing.B, during time.Duration) *day {
	b.Helper()
	var (
		d     = day{failed: map[string]int{}}
		wg    sync.WaitGroup
		mu    sync.Mutex
		begun = time.Now()
	)
	send := func(into *sample, path string, body any) {
		due := time.Now()
		wg.Go(func() {
			var text string
			status, err := f.Call(b.Context(), http.MethodPost, path, f.token, body, &text)
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				var at *url.Error
				if errors.As(err, &at) { // without the address, which differs each time
					err = at.Err
				}
				d.failed[gopath.Base(path)+": "+err.Error()]++
			case status != http.StatusOK:
				d.failed[fmt.Sprintf("%s: %d %s", gopath.Base(path), status, text[:min(len(text), 160)])]++
			}
			*into = append(*into, took)
		})
	}
	tick := time.NewTicker(heartbeatEvery / crowdSize)
	defer tick.Stop()
	// A ticker drops what its reader is late for, so what is due follows from the clock.
	for sent := 0; time.Since(begun) < during; {
		<-tick.C
		for due := int(time.Since(begun) * crowdSize / heartbeatEvery); sent < due; sent++ {
			a := f.agents[sent%crowdSize]
			send(&d.beats, "/api/agents/"+a.id+"/heartbeat", map[string]any{
				"status":      "online",
				"instance_id": a.instance,
				"mode":        "spot",
				"az":          "us-east-1a",
			})
			if sent%beatsPerReport == 0 {
				a = f.agents[sent/beatsPerReport%crowdSize]
				send(&d.reports, "/api/agents/"+a.id+"/pricing-report", pricesAt(a, time.Now().UTC()))
			}
		}
	}
	wg.Wait()
	d.took = time.Since(begun)
	return &d
}

// crowd registers ten thousand agents of one client. No launch of ours made their
// instances: nothing here is about EC2.
func crowd(b *testing.B, s *devtest.Stack) *fleet {
	b.Helper()
	f := newFleet(b, s, "crowd", 0, false)
	f.agents = make([]agent, crowdSize)
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(connections)
	for i := range f.agents {
		g.Go(func() error { return f.register(ctx, i, fmt.Sprintf("i-%017x", i), "us-east-1a") })
	}
	require.NoError(b, g.Wait())
	return f
}
