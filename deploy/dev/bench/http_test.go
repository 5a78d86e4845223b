package bench

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"spotkeeper/deploy/dev/devtest"
)

const (
	connections = 16
	told        = 60 // price reports of each agent before the measurement, one in five minutes
)

var zones = []string{"a", "b", "c", "d", "e", "f"}

// pricesAt is a report of six pools at a time.
func pricesAt(a agent, at time.Time) map[string]any {
	var pools []map[string]any
	for i, z := range zones {
		pools = append(pools, map[string]any{
			"pool_id":       instanceType + ".us-east-1" + z,
			"instance_type": instanceType,
			"az":            "us-east-1" + z,
			"price":         0.01 + float64(i)/1000,
		})
	}
	return map[string]any{
		"instance": map[string]any{
			"instance_id":   a.instance,
			"instance_type": instanceType,
			"region":        "us-east-1",
			"az":            "us-east-1a",
			"mode":          "spot",
			"pool_id":       instanceType + ".us-east-1a",
		},
		"pricing": map[string]any{
			"on_demand_price":    0.0416,
			"current_spot_price": 0.01,
			"spot_pools":         pools,
			"collected_at":       at.Format(time.RFC3339Nano),
		},
	}
}

// sendReports sends each agent's reports of the last hours.
func sendReports(b *testing.B, f *fleet) {
	b.Helper()
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(connections)
	now := time.Now().UTC()
	for _, a := range f.agents {
		g.Go(func() error {
			for n := range told {
				status, err := f.Call(ctx, http.MethodPost, "/api/agents/"+a.id+"/pricing-report", f.token,
					pricesAt(a, now.Add(-time.Duration(n)*5*time.Minute)), nil)
				if err != nil || status != http.StatusOK {
					return fmt.Errorf("report: status %d: %w", status, err)
				}
			}
			return nil
		})
	}
	require.NoError(b, g.Wait())
}

func history(a agent) (method, path string, body any) {
	return http.MethodGet, "/api/client/instances/" + a.instance + "/price-history?days=7&interval=hour", nil
}

// remember fills six days of the pools' past.
func remember(b *testing.B, f *fleet) {
	b.Helper()
	const each = 10_638 / 6
	for _, z := range zones {
		_, err := f.db.Exec(b.Context(),
			`INSERT INTO price_buckets (pool_id, bucket, price, source_type, confidence, observed_at)
			SELECT $1, at, 0.01 + random() / 1000, 'collector', 0.9, at FROM generate_series(1, $2) n,
				LATERAL (SELECT date_bin('5 minutes', now(), 'epoch') - n * interval '5 minutes' AS at) x
				ON CONFLICT DO NOTHING`, instanceType+".us-east-1"+z, each)
		require.NoError(b, err)
	}
}

// BenchmarkHTTP loads the routes that agents and pages call all day long.
func BenchmarkHTTP(b *testing.B) {
	s := devtest.Start(b, devtest.Options{OnDisk: true})
	f := newFleet(b, s, "http", 200, false)
	// Its first run brings in ninety days of prices, in the middle of a measurement.
	status, err := f.Call(b.Context(), http.MethodPost, "/api/admin/schedules/price-collection/pause", "", nil, nil)
	require.NoError(b, err)
	require.Equal(b, http.StatusOK, status)
	sendReports(b, f)
	heading(b, fmt.Sprintf("HTTP, %d connections, %d agents, %d price reports each; CPU is per request", connections,
		len(f.agents), told))
	var asked atomic.Int64
	routes := []struct {
		name   string
		legacy string // CPU ms per request, application + database
		call   func(a agent) (method, path string, body any)
		before func(b *testing.B, f *fleet) // what must be there
	}{
		{"heartbeat", "1.9 + 1.1", func(a agent) (string, string, any) {
			return http.MethodPost, "/api/agents/" + a.id + "/heartbeat", map[string]any{
				"status":      "online",
				"instance_id": a.instance,
				"mode":        "spot",
				"az":          "us-east-1a",
			}
		}, nil},
		{"pricing-report, 6 pools", "5.1 + 4.0", func(a agent) (string, string, any) {
			return http.MethodPost, "/api/agents/" + a.id + "/pricing-report", pricesAt(a, time.Now().UTC())
		}, nil},
		{"pending-commands", "1.35 + 0.6", func(a agent) (string, string, any) {
			return http.MethodGet, "/api/agents/" + a.id + "/pending-commands", nil
		}, nil},
		{"client agents, 200 agents", "7.5 + 1.3", func(agent) (string, string, any) {
			return http.MethodGet, "/api/client/" + f.client + "/agents", nil
		}, nil},
		{"the same, no two callers asking the same", "7.5 + 1.3", func(agent) (string, string, any) {
			return http.MethodGet, fmt.Sprintf("/api/client/%s/agents?alone=%d", f.client, asked.Add(1)), nil
		}, nil},
		{"agents/decisions, 200 agents", "not measured", func(agent) (string, string, any) {
			return http.MethodGet, "/api/client/" + f.client + "/agents/decisions", nil
		}, nil},
		{"price-history, 7 days by the hour, 360 prices", "1.7 + 1.2", history, nil},
		{"price-history, 7 days by the hour, 10,638 prices", "3.5 + 15.4", history, remember},
		{"admin clients", "not measured",
			func(agent) (string, string, any) { return http.MethodGet, "/api/admin/clients", nil }, nil},
	}
	for _, r := range routes {
		if r.before != nil {
			r.before(b, f)
		}
		load(b, f, 2*time.Second, r.call) // warm
		before := cpu(s)
		took, failed := load(b, f, 10*time.Second, r.call)
		after := cpu(s)
		require.Zero(b, failed, r.name)
		show(b, r.name, "%.0f/s  p50 %v  p99 %v", float64(len(took))/10, took.at(.5).Round(10*time.Microsecond),
			took.at(.99).Round(10*time.Microsecond))
		if strings.HasPrefix(r.name, "pricing-report") {
			show(b, "", "%.0f submissions/s", float64(6*len(took))/10)
		}
		show(b, "", "%s  (legacy %s)", after.per(before, len(took)), r.legacy)
	}
	show(b, "memory of api + worker (≤ 512 MiB)", "%d + %d MiB", resident(s.PID(devtest.API)),
		resident(s.PID(devtest.Worker)))
}

// load calls from each connection in turn for a while.
func load(
	b *testing.B,
	f *fleet,
	during time.Duration,
	call func(agent) (string, string, any),
) (took sample, failed int) {
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
				token := f.token
				if strings.HasPrefix(path, "/api/admin/") {
					token = "" // an operator of the embedded stack
				}
				status, err := f.Call(b.Context(), method, path, token, body, nil)
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
