package bench

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
)

const connections = 16

// BenchmarkHTTP loads the routes that agents call all day long.
func BenchmarkHTTP(b *testing.B) {
	s := devtest.Start(b, devtest.Options{})
	f := newFleet(b, s, "http", 200, false)
	heading(b, fmt.Sprintf("HTTP, %d connections, %d agents; CPU is per request", connections, len(f.agents)))
	zones := []string{"a", "b", "c", "d", "e", "f"}
	routes := []struct {
		name   string
		legacy string // CPU ms per request, application + database
		call   func(a agent) (method, path string, body any)
	}{
		{"heartbeat", "1.9 + 1.1", func(a agent) (string, string, any) {
			return http.MethodPost, "/api/agents/" + a.id + "/heartbeat", map[string]any{"status": "online", "instance_id": a.instance, "mode": "spot", "az": "us-east-1a"}
		}},
		{"pricing-report, 6 pools", "5.1 + 4.0", func(a agent) (string, string, any) {
			at := time.Now().UTC()
			var pools []map[string]any
			for i, z := range zones {
				pools = append(pools, map[string]any{"pool_id": instanceType + ".us-east-1" + z, "instance_type": instanceType, "az": "us-east-1" + z, "price": 0.01 + float64(i)/1000})
			}
			return http.MethodPost, "/api/agents/" + a.id + "/pricing-report", map[string]any{
				"instance": map[string]any{"instance_id": a.instance, "instance_type": instanceType, "region": "us-east-1", "az": "us-east-1a", "mode": "spot", "pool_id": instanceType + ".us-east-1a"},
				"pricing":  map[string]any{"on_demand_price": 0.0416, "current_spot_price": 0.01, "spot_pools": pools, "collected_at": at.Format(time.RFC3339Nano)},
			}
		}},
		{"pending-commands", "1.35 + 0.6", func(a agent) (string, string, any) {
			return http.MethodGet, "/api/agents/" + a.id + "/pending-commands", nil
		}},
		{"client agents, 200 agents", "7.5 + 1.3", func(agent) (string, string, any) {
			return http.MethodGet, "/api/client/" + f.client + "/agents", nil
		}},
	}
	for _, r := range routes {
		load(b, f, 2*time.Second, r.call) // warm
		before := cpu(s)
		took, failed := load(b, f, 10*time.Second, r.call)
		after := cpu(s)
		require.Zero(b, failed, r.name)
		show(b, r.name, "%.0f/s  p50 %v  p99 %v", float64(len(took))/10, took.at(.5).Round(10*time.Microsecond), took.at(.99).Round(10*time.Microsecond))
		if strings.HasPrefix(r.name, "pricing-report") {
			show(b, "", "%.0f submissions/s", float64(6*len(took))/10)
		}
		show(b, "", "%s  (legacy %s)", after.per(before, len(took)), r.legacy)
	}
	show(b, "memory of api + worker (≤ 512 MiB)", "%d + %d MiB", resident(s.PID(devtest.API)), resident(s.PID(devtest.Worker)))
}

// load calls from each connection in turn for a while.
func load(b *testing.B, f *fleet, during time.Duration, call func(agent) (string, string, any)) (took sample, failed int) {
	b.Helper()
	var (
		mu sync.Mutex
		wg sync.WaitGroup
	)
	end := time.Now().Add(during)
	for c := range connections {
		wg.Go(func() {
			var mine sample
			bad := 0
			for i := c; time.Now().Before(end); i += connections {
				method, path, body := call(f.agents[i%len(f.agents)])
				begun := time.Now()
				status, err := f.Call(b.Context(), method, path, f.token, body, nil)
				if err != nil || status != http.StatusOK {
					bad++
					continue
				}
				mine = append(mine, time.Since(begun))
			}
			mu.Lock()
			defer mu.Unlock()
			took, failed = append(took, mine...), failed+bad
		})
	}
	wg.Wait()
	return took, failed
}
