package bench

import (
	"fmt"
	"net/http"
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
// it, with every scheduled job running beside them. Requests come when they are
// due, whether or not the one before was answered.
func BenchmarkCrowd(b *testing.B) {
	s := devtest.Start(b, devtest.Options{OnDisk: true})
	f := crowd(b, s)
	const during = 3 * time.Minute
	var (
		wg             sync.WaitGroup
		mu             sync.Mutex
		beats, reports sample
		failed         int
	)
	send := func(into *sample, path string, body any) {
		due := time.Now()
		wg.Go(func() {
			status, err := f.Call(b.Context(), http.MethodPost, path, f.token, body, nil)
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || status != http.StatusOK {
				failed++
			}
			*into = append(*into, took)
		})
	}
	before := cpu(s)
	begun := time.Now()
	tick := time.NewTicker(heartbeatEvery / crowdSize)
	defer tick.Stop()
	// A ticker drops what its reader is late for, so what is due follows from the clock.
	for sent := 0; time.Since(begun) < during; {
		<-tick.C
		for due := int(time.Since(begun) * crowdSize / heartbeatEvery); sent < due; sent++ {
			a := f.agents[sent%crowdSize]
			send(&beats, "/api/agents/"+a.id+"/heartbeat", map[string]any{"status": "online", "instance_id": a.instance, "mode": "spot", "az": "us-east-1a"})
			if sent%beatsPerReport == 0 {
				a = f.agents[sent/beatsPerReport%crowdSize]
				send(&reports, "/api/agents/"+a.id+"/pricing-report", pricesAt(a, time.Now().UTC()))
			}
		}
	}
	wg.Wait()
	took := time.Since(begun)
	after := cpu(s)
	heading(b, fmt.Sprintf("%d agents, a heartbeat every %v, a report every %v, for %v", crowdSize, heartbeatEvery, heartbeatEvery*beatsPerReport, during))
	show(b, "heartbeats (p99 ≤ 50 ms)", "%v", beats)
	show(b, "pricing reports", "%v", reports)
	show(b, "not answered with 200", "%d", failed)
	show(b, "CPU per second", "%s", after.per(before, int(took.Seconds())))
	show(b, "memory of api + worker (≤ 512 MiB)", "%d + %d MiB", resident(s.PID(devtest.API)), resident(s.PID(devtest.Worker)))
}

// crowd registers ten thousand agents of one client. Nobody launched their
// instances: nothing here is about EC2.
func crowd(b *testing.B, s *devtest.Stack) *fleet {
	b.Helper()
	f := newFleet(b, s, "crowd", 0, false)
	f.agents = make([]agent, crowdSize)
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(connections)
	for i := range f.agents {
		g.Go(func() error { return f.register(ctx, i, fmt.Sprintf("i-%017x", i)) })
	}
	require.NoError(b, g.Wait())
	return f
}
