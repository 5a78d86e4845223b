package rest_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/pricing"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/postgres/prices"
	"spotkeeper/internal/testkit/cpu"
)

// BenchmarkReads asks for what a client's pages show, sixteen callers at once and,
// unless it says so, no two the same. It reports the processor time of a request here
// and in Postgres. The fleet is 200 agents of one client that report six pools every five seconds, beside
// 200 agents of another client. Run it with
// go test ./api/rest -run '^$' -bench Reads -benchtime 3s.
func BenchmarkReads(b *testing.B) {
	s := newStack(b)
	s.busyFleet()
	for _, route := range []struct{ name, path string }{
		{"an instance, which costs next to nothing", "/api/client/instances/i-1/pricing?"},
		{"client agents", "/api/client/c1/agents?"},
		{"agents decisions", "/api/client/c1/agents/decisions?"},
		{"agents decisions, all callers the same", "/api/client/c1/agents/decisions"},
		{"price history of a week", "/api/client/instances/i-1/price-history?days=7&interval=hour&"},
		{"pricing history of a week", "/api/client/pricing-history?days=7&agent_id=a1&"},
	} {
		b.Run(route.name, func(b *testing.B) {
			cpu.PerCall(b, s.db.Pool, func(n int) {
				path := route.path
				if strings.HasSuffix(path, "?") || strings.HasSuffix(path, "&") {
					path += "alone=" + strconv.Itoa(n)
				}
				req := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, http.NoBody)
				req.Header.Set("Authorization", "Bearer "+s.acme)
				answer := &unread{}
				s.handler.ServeHTTP(answer, req)
				if answer.status != http.StatusOK || answer.bytes == 0 {
					b.Error(answer.status, answer.bytes)
				}
			})
		})
	}
}

// unread is an answer that nothing keeps.
type unread struct {
	header        http.Header
	status, bytes int
}

func (u *unread) Header() http.Header {
	if u.header == nil {
		u.header = http.Header{}
	}
	return u.header
}

func (u *unread) WriteHeader(status int) { u.status = status }

func (u *unread) Write(b []byte) (int, error) {
	u.bytes += len(b)
	return len(b), nil
}

// busyFleet fills the stack with the fleet of BenchmarkReads.
func (s *stack) busyFleet() {
	s.t.Helper()
	_, err := (&housekeeping.Housekeeping{DB: s.db}).EnsurePartitions(s.t.Context(), time.Now().AddDate(0, 0, -1), 3)
	require.NoError(s.t, err)
	const fleet = `FROM generate_series(1, 400) n, LATERAL (SELECT CASE WHEN n <= 200 THEN 'c1' ELSE 'c2' END) c(client)`
	s.exec(
		`
			INSERT INTO agents (id, client_id, logical_agent_id, last_heartbeat_at)
			SELECT 'f' || n, client, 'f' || n, now() ` + fleet,
	)
	for _, role := range []string{"primary", "retired", "retired"} {
		s.exec(`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode)
			SELECT gen_random_uuid(), client, 'f' || n, $1, 't3.medium', 'us-east-1', 'us-east-1a',
				't3.medium.us-east-1a', 'spot' `+fleet, role)
	}
	s.exec(
		`
			INSERT INTO pools (id, instance_type, region, az)
			SELECT 't3.medium.us-east-1' || z, 't3.medium', 'us-east-1', 'us-east-1' || z
			FROM unnest(ARRAY['d', 'e', 'f']) z`,
	)
	s.exec(
		`
		INSERT INTO price_submissions (submission_id, bucket, pool_id, instance_type, region, az, price, ondemand_price,
			source_type, client_id, agent_id, observed_at, received_at)
		SELECT 'p' || n || '/' || k || z, at, 't3.medium.us-east-1' || z, 't3.medium', 'us-east-1', 'us-east-1' || z,
			0.0125, 0.0416, 'primary', client, 'f' || n, at, at ` + fleet + `
			,
			generate_series(1, 240) k, unnest(ARRAY['a', 'b', 'c', 'd', 'e', 'f']) z,
			LATERAL (SELECT now() - k * interval '5 seconds') t(at)`,
	)
	s.exec(
		`
		INSERT INTO decisions (client_id, agent_id, action, current_mode, risk_score, expected_savings, engine,
			engine_version, scores, inputs, created_at)
		SELECT client, 'f' || n, 'stay_spot', 'spot', 0.3, 0.029, 'rules', '1',
			to_jsonb(array_fill(md5(n::text), ARRAY[20])), to_jsonb(array_fill(md5(k::text), ARRAY[20])),
			now() - (100 - k) * interval '5 minutes' ` + fleet + `, generate_series(1, 100) k`,
	)
	s.exec(`INSERT INTO agent_decisions (agent_id, at, actions, modes, risks, savings)
		SELECT agent_id, array_agg(created_at), array_agg(action), array_agg(current_mode), array_agg(risk_score),
			array_agg(expected_savings)
		FROM (SELECT *, row_number() OVER (PARTITION BY agent_id ORDER BY id DESC) AS place
			FROM decisions
			ORDER BY id DESC) d
		WHERE place <= 5
		GROUP BY agent_id`)
	s.exec(
		`
			INSERT INTO events (client_id, agent_id, type, severity, message)
			SELECT client, 'f' || n, 'agent_registered', 'info', 'Agent f' || n || ' has registered' ` + fleet + `, generate_series(1, 20)`,
	)
	s.exec(`INSERT INTO price_buckets (pool_id, bucket, price, ondemand_price, source_type, confidence, observed_at)
		SELECT id, at, 0.01 + extract(minute FROM at) / 1e5, 0.0416, 'collector', 0.95, at
		FROM pools,
			generate_series(date_bin('5 minutes', now(), 'epoch') - interval '7 days', now(), interval '5 minutes') at
		WHERE instance_type = 't3.medium'`)
	prices := &prices.Prices{DB: s.db}
	var g errgroup.Group
	g.SetLimit(8)
	price, reference := 0.0125, 0.0416
	for n := range 200 {
		g.Go(func() error {
			id := "f" + strconv.Itoa(n+1)
			for range 24 {
				r := pricing.Report{
					InstanceType: "t3.medium",
					Region:       "us-east-1",
					AZ:           "us-east-1a",
					Mode:         agent.Spot,
					OnDemand:     &reference,
					CurrentSpot:  &price,
					CollectedAt:  time.Now(),
				}
				for _, z := range []string{"a", "b", "c", "d", "e", "f"} {
					r.Pools = append(r.Pools, pricing.PoolReport{PoolID: "t3.medium.us-east-1" + z, Price: &price})
				}
				if _, err := prices.Report(s.t.Context(), "c1", id, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(s.t, g.Wait())
	s.exec(`VACUUM ANALYZE`)
}
