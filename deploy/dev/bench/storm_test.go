package bench

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
)

// BenchmarkStorm sends every agent's notice within one second, each with a real
// held standby to release.
func BenchmarkStorm(b *testing.B) {
	for _, n := range []int{500, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := devtest.Start(b, devtest.Options{OnDisk: true})
			storm(b, newFleet(b, s, "storm", n, true))
		})
	}
}

func storm(b *testing.B, f *fleet) {
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
	for _, a := range f.agents {
		<-tick.C
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
	f.await(b, 3*time.Minute, n, changes)
	all := time.Since(begun)
	wg.Wait()
	after := cpu(f.Stack)
	require.Equal(b, n, f.count(b, `SELECT count(*) FROM instances WHERE client_id = $1 AND role = 'primary'`))
	require.Equal(b, n, f.count(b, changes), "none lost, none twice")
	within := 0
	for _, d := range answered {
		if d <= 20*time.Second {
			within++
		}
	}
	heading(b, fmt.Sprintf("storm: %d notices within a second, held standbys", n))
	show(b, "all primaries changed after (1,000: ≤ 45 s)", "%v", all.Round(10*time.Millisecond))
	show(b, "answers", "%v", answered)
	show(b, "answered within 20 s", "%d of %d  %v", within, n, actions)
	show(b, "CPU per failover until all had changed", "%s", after.per(before, n))
}
