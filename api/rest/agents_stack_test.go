package rest_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/api/agents"
	"spotkeeper/api/rest"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/accounts"
	agentstore "spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/prices"
	"spotkeeper/workflows"
)

// probes ask the real Postgres and the played workflows.
func (s *stack) probes() []rest.Probe {
	return []rest.Probe{
		{Name: "postgres", Check: s.db.Ping},
		{Name: "temporal", Check: func(context.Context) error { return s.wf.ask("ping") }},
	}
}

func (p *playedWorkflows) Nudge(_ context.Context, in activities.Nudge) error {
	return p.ask(in)
}

// wake is a Wake that was asked for.
type wake struct{ agentID string }

func (p *playedWorkflows) Wake(_ context.Context, agentID, _ string) error {
	return p.ask(wake{agentID})
}

// fails makes every message fail from now on; nil ends it.
func (p *playedWorkflows) fails(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// messages are those of a type, in order.
func messages[T any](p *playedWorkflows) []T {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := []T{}
	for _, x := range p.asked {
		if in, ok := x.(T); ok {
			out = append(out, in)
		}
	}
	return out
}

// registration is the body of a register call from an instance.
func registration(logical, instance, az string) string {
	return `{"logical_agent_id":"` + logical + `","instance_id":"` + instance +
		`","instance_type":"t3.medium","region":"us-east-1","az":"` + az +
		`","mode":"spot","hostname":"h","public_ip":null}`
}

// register registers and returns the agent's id.
func (s *stack) register(token, logical, instance, az string) string {
	s.t.Helper()
	got := s.call(token, http.MethodPost, "/api/agents/register", registration(logical, instance, az))
	require.Equal(s.t, http.StatusOK, got.status, got.raw)
	return got.body["agent_id"].(string)
}

// role is the role of an instance.
func (s *stack) role(instance string) string {
	s.t.Helper()
	return s.value(`SELECT coalesce((SELECT role FROM instances WHERE id = $1), 'none')`, instance)
}

// bare asks without a body or content type.
func (s *stack) bare(method, path string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, httptest.NewRequestWithContext(s.t.Context(), method, path, http.NoBody))
	return rec
}

// ops asks a page that is not on the public listener.
func (s *stack) ops(path string) (out answer) {
	s.t.Helper()
	rec := httptest.NewRecorder()
	rest.ReadyPage(s.deps.Probes)(rec, httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, path, http.NoBody))
	out.status, out.raw = rec.Code, rec.Body.String()
	require.NoError(s.t, json.Unmarshal(rec.Body.Bytes(), &out.body), out.raw)
	return out
}

func TestReadyNamesWhoIsAway(t *testing.T) {
	t.Parallel()
	s := newStack(t)

	s.call("", "GET", "/health", "").holds(t, 200,
		`{"status":"healthy","database":"connected","decision_engine_loaded":true,"timestamp":"*"}`)
	s.call("", "GET", "/ready", "").holds(t, 200, `{"status":"ready"}`)
	s.wf.fails(workflows.Unreachable.New("away"))
	public := s.call("", "GET", "/ready", "")
	require.Equal(t, 503, public.status)
	require.Equal(t, map[string]any{"status": "not ready"}, public.body,
		"what it is made of is for operators of the deployment")
	got := s.ops("/ready")
	require.Equal(t, 503, got.status)
	require.Equal(t, false, got.body["checks"].(map[string]any)["temporal"].(map[string]any)["ok"])
	require.Equal(t, true, got.body["checks"].(map[string]any)["postgres"].(map[string]any)["ok"])
	s.call("", "GET", "/health", "").holds(t, 200, `{"status":"healthy"}`)
	s.wf.fails(nil)
	s.call("", "GET", "/ready", "").holds(t, 200, `{"status":"ready"}`)
	require.Equal(t, 404, s.bare("GET", "/metrics").Code)
}

// TestPostgresAway: no server listens where the database should be.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	gone, err := pg.Open(t.Context(), pg.Options{URL: "postgres://nobody@127.0.0.1:1/none"})
	require.NoError(t, err)
	t.Cleanup(gone.Close)
	s := &stack{t: t, db: gone, wf: &playedWorkflows{}}
	s.handler, err = rest.New(rest.Deps{
		Log:    slog.New(slog.DiscardHandler),
		Tokens: &accounts.Credentials{DB: gone},
		Probes: s.probes(),
		Agents: &agents.Agents{Store: &agentstore.Agents{DB: gone}},
	})
	require.NoError(t, err)

	got := s.call("token-of-a-stranger", "POST", "/api/agents/a1/heartbeat", `{}`)
	got.holds(t, 503, `{"code":"postgres.unavailable"}`)
	require.Equal(t, "5", got.header.Get("Retry-After"))
	require.NotContains(t, got.raw, "127.0.0.1", "what is wrong is for the log")
	require.Equal(t, 503, s.call("", "GET", "/health", "").status)
	require.Equal(t, "not ready", s.call("", "GET", "/ready", "").body["status"])
}

// TestNothingIsRedirected: a redirected POST comes back as a GET, which deployed
// agents take for success.
func TestNothingIsRedirected(t *testing.T) {
	t.Parallel()
	s := newStack(t)

	for path, want := range map[string]int{
		"/api/agents/register/":          404,
		"//api/agents/register":          404,
		"/api//agents/register":          404,
		"/api/Agents/register":           404,
		"/API/agents/register":           404,
		"/api/agents/../agents/register": 404,
		"/api":                           404,
		"/api/":                          404,
		"/nope":                          404,
		"/health/":                       404,
		"/api/agents/a1/config/":         404,
		"/api/agents/register":           401,
	} {
		got := s.call("", "POST", path, `{}`)
		require.Equal(t, want, got.status, path)
		require.NotEmpty(t, got.body["code"], path)
		require.Equal(t, "application/json", got.header.Get("Content-Type"), path)
	}
	got := s.call("", "DELETE", "/health", "")
	require.Equal(t, []any{405, "GET"}, []any{got.status, got.header.Get("Allow")})
	got = s.call(s.acme, "POST", "/api/agents/None/heartbeat", `{"status":"offline","monitored_instances":[]}`)
	require.Equal(t, 404, got.status, "a program that could not register says goodbye to this")
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec,
		httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/api/agents/register", strings.NewReader("")))
	require.Equal(t, 200, rec.Code)
}

// counted is the same API over a pool that counts its statements.
func (s *stack) counted() (*stack, func() int) {
	s.t.Helper()
	cfg := s.db.Pool.Config()
	tracer := &statements{}
	cfg.ConnConfig.Tracer = tracer
	pool, err := pgxpool.NewWithConfig(s.t.Context(), cfg)
	require.NoError(s.t, err)
	s.t.Cleanup(pool.Close)
	db := &pg.DB{Pool: pool}
	d := s.deps
	d.Metrics, d.Tokens = nil, &accounts.Credentials{DB: db}
	d.Agents = &agents.Agents{Store: &agentstore.Agents{DB: db}, Workflows: s.wf}
	d.Commands = &agents.Commands{
		Store:     &postgres.Commands{DB: db},
		Reports:   &postgres.SwitchReports{DB: db},
		Workflows: s.wf,
	}
	d.Pricing = &agents.Pricing{Store: &prices.Prices{DB: db}}
	h, err := rest.New(d)
	require.NoError(s.t, err)
	return &stack{t: s.t, db: db, handler: h, wf: s.wf}, func() int { return int(tracer.n.Load()) }
}

// statements counts statements that pgx sends.
type statements struct{ n atomic.Int64 }

func (c *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
