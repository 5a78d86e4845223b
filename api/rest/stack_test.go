package rest_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/api/agents"
	"spotkeeper/api/control"
	"spotkeeper/api/pages"
	"spotkeeper/api/rest"
	"spotkeeper/api/web"
	"spotkeeper/internal/artifacts"
	"spotkeeper/internal/domain/approval"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/operators"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/accounts"
	agentstore "spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/postgres/audit"
	"spotkeeper/internal/postgres/decisions"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/postgres/models"
	"spotkeeper/internal/postgres/notifications"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/prices"
	"spotkeeper/internal/postgres/sweeps"
	"spotkeeper/internal/postgres/views"
	"spotkeeper/internal/testkit/postgrestest"
	"spotkeeper/internal/webhook"
	"spotkeeper/workflows"
)

// Who asks in a test.
const (
	operatorToken = "operator-token-0123456789"
	oncallToken   = "operator-token-of-oncall"
	guestToken    = "operator-token-of-guest"
)

// stack is the API over a real Postgres, with workflows that a test plays.
type stack struct {
	t         testing.TB
	db        *pg.DB
	handler   http.Handler
	wf        *playedWorkflows
	feed      *pages.Feed
	jobs      playedJobs
	models    playedRollouts
	aftercare aftercare
	cloud     playedCloud
	deps      rest.Deps
	joiner    *agents.Joiner
	from      string // address that asks; empty: httptest's
	acme      string // token of client c1, which owns a1 (ours launches) and a2 (the agent launches)
	beta      string // token of client c2, which owns b1
}

// tenants is what every test begins with.
const tenants = `
INSERT INTO agents (id, client_id, logical_agent_id, hostname, status, last_heartbeat_at, launcher, keeping) VALUES
	('a1', 'c1', 'web-1', 'h1', 'online', now(), 'control-plane', 'auto'),
	('a2', 'c1', 'web-2', 'h2', 'online', now(), 'agent', 'manual'),
	('b1', 'c2', 'web-1', 'hb', 'online', now(), 'control-plane', 'auto');
INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, proof, spot_price,
    ondemand_price) VALUES
	('i-1', 'c1', 'a1', 'primary', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a', 'spot', 'launched',
	0.0125, 0.0416),
	('i-0', 'c1', 'a1', 'retired', 't3.medium', 'us-east-1', 'us-east-1b', 't3.medium.us-east-1b', 'spot', 'launched',
	NULL, NULL),
	('i-2', 'c1', 'a2', 'primary', 't3.medium', 'us-east-1', 'us-east-1b', 't3.medium.us-east-1b', 'spot', 'launched',
	NULL, 0.0416),
	('i-b', 'c2', 'b1', 'primary', 'm5.large', 'us-east-1', 'us-east-1a', 'm5.large.us-east-1a', 'spot', 'launched',
	NULL, NULL);
INSERT INTO pools (id, instance_type, region, az)
SELECT 't3.medium.us-east-1' || z, 't3.medium', 'us-east-1', 'us-east-1' || z
FROM unnest(ARRAY['a', 'b', 'c']) z;
INSERT INTO pools (id, instance_type, region, az) VALUES ('m5.large.us-east-1a', 'm5.large', 'us-east-1', 'us-east-1a');
`

// approvalLinks sign the links of webhooks.
var approvalLinks = approval.Links{Base: "https://spotkeeper.example", Keys: [][]byte{[]byte("0123456789abcdef0123456789abcdef")}}

// loopback is where the receivers of the tests are.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func newStack(t testing.TB) *stack {
	t.Helper()
	return newStackOn(t, postgrestest.Open(t))
}

// newStackOn is the stack over a database that the test opened.
func newStackOn(t testing.TB, db *pg.DB) *stack {
	t.Helper()
	store, err := accounts.NewClients(db, []byte("0123456789abcdef0123456789abcdef"))
	require.NoError(t, err)
	sinks, err := notifications.NewSinks(db, []byte("0123456789abcdef0123456789abcdef"))
	require.NoError(t, err)
	s := &stack{t: t, db: db, wf: &playedWorkflows{}}
	_, s.acme, err = store.Create(t.Context(), clients.NewClient{ID: "c1", Name: "Acme", LegacyToken: "all"}, "test")
	require.NoError(t, err)
	_, s.beta, err = store.Create(t.Context(), clients.NewClient{ID: "c2", Name: "Beta", LegacyToken: "all"}, "test")
	require.NoError(t, err)
	s.exec(tenants)
	tokens := &accounts.Credentials{DB: db}
	s.models.store = &models.Rollouts{Models: models.Models{DB: db}}
	log := slog.New(slog.DiscardHandler)
	s.feed = pages.NewFeed(&views.Changes{DB: db}, log)
	views := &views.Views{DB: db}
	s.feed.Interval = 10 * time.Millisecond
	s.joiner = &agents.Joiner{Store: &accounts.Joins{DB: db}, Gate: web.NewThrottle(time.Now), Now: time.Now}
	registered := &agents.Agents{
		Store:       &agentstore.Agents{DB: db},
		Credentials: tokens,
		Workflows:   s.wf,
		Joiner:      s.joiner,
	}
	d := rest.Deps{
		Log: log, Tokens: tokens, Quick: time.Minute, // what is slow here is the machine
		Operators: map[string]operators.Account{
			"ops":    {Token: operatorToken, Role: operators.Admin},
			"oncall": {Token: oncallToken, Role: operators.Operator},
			"guest":  {Token: guestToken, Role: operators.Viewer},
		},
		SessionKeys: [][]byte{
			[]byte(
				"0123456789abcdef0123456789abcdef",
			)}, Sessions: &accounts.Sessions{DB: db}, Audit: &audit.Log{DB: db},
		Probes: s.probes(),
		Agents: registered,
		Commands: &agents.Commands{
			Store:     &postgres.Commands{DB: db},
			Reports:   &postgres.SwitchReports{DB: db},
			Workflows: s.wf,
		},
		Pricing: &agents.Pricing{Store: &prices.Prices{DB: db}, Agents: registered},
		Decisions: &agents.Decisions{
			Store:     &decisions.Decisions{DB: db},
			Settings:  &agentstore.Agents{DB: db},
			Types:     &agentstore.Requirements{DB: db},
			Pools:     views,
			Commands:  &postgres.Commands{DB: db},
			Notices:   &postgres.Notices{DB: db},
			Workflows: s.wf,
		},
		Replicas: &agents.Replicas{
			Views:      views,
			Store:      &postgres.Roles{DB: db},
			Sync:       &agentstore.Syncs{DB: db},
			Notices:    &postgres.Notices{DB: db},
			Aftercare:  &s.aftercare,
			Workflows:  s.wf,
			Now:        time.Now,
			NoticeWait: time.Second,
			ReportWait: 20 * time.Millisecond,
		},
		Operations: &control.Operations{
			Views:     views,
			Evidence:  views,
			Roles:     &postgres.Roles{DB: db},
			Workflows: s.wf,
		},
		Events:        &pages.Events{Feed: s.feed, Heartbeat: 20 * time.Millisecond, Recheck: 20 * time.Millisecond},
		Settings:      &control.Settings{Views: views, Store: &agentstore.Preferences{DB: db}, Workflows: s.wf},
		Credentials:   &control.Credentials{Store: tokens},
		JoinRules:     &control.JoinRules{Store: &accounts.Joins{DB: db}},
		Limits:        &control.Limits{Store: &accounts.Quotas{DB: db}},
		Quotas:        &accounts.Quotas{DB: db},
		Accounts:      &control.Accounts{Store: store, Views: views, Workflows: s.wf, Ending: 300 * time.Millisecond},
		ClientPages:   &pages.ClientPages{Views: views, Now: time.Now},
		InstancePages: &pages.InstancePages{Views: views, Now: time.Now},
		AdminPages:    &pages.AdminPages{Views: views, Database: db, Now: time.Now},
		Notifications: &pages.Notifications{Store: &notifications.Notifications{DB: db}},
		Sinks:         &control.Sinks{Store: sinks, Sender: webhook.New(loopback), Allowed: loopback},
		Models: &control.Models{
			Store:     &models.Models{DB: db},
			Files:     artifacts.Directory{Root: t.TempDir()},
			Off:       s.models.off,
			Workflows: &s.models,
			Log:       log,
		},
		ModelRollouts: &control.ModelRollouts{
			Store:     &models.Rollouts{Models: models.Models{DB: db}},
			Workflows: &s.models,
		},
		Workers:   &control.Workers{Workflows: &s.jobs},
		Schedules: &control.Schedules{Runs: &housekeeping.Jobs{DB: db}, Workflows: &s.jobs, Now: time.Now},
		Pauses: &control.Pauses{
			Store:  &decisions.Pauses{DB: db},
			Shares: &agentstore.Preferences{DB: db},
			Now:    time.Now,
		},
		PoolBlocks: &control.PoolBlocks{Store: &decisions.PoolBlocks{DB: db}, Now: time.Now},
		Approvals: &control.Approvals{
			Store: &decisions.Approvals{DB: db},
			Rules: &decisions.MoveRules{DB: db},
			Links: approvalLinks,
			Now:   time.Now,
		},
		Requirements: &control.Requirements{Store: &agentstore.Requirements{DB: db}},
		Preflight: &control.Preflight{
			Store:  &sweeps.Preflights{DB: db},
			Checks: &activities.Preflights{Store: &sweeps.Preflights{DB: db}, Fleet: uncheckable{}},
			Quotas: &activities.Quotas{Store: &sweeps.Preflights{DB: db}, Fleet: uncheckable{}, Log: log},
		},
		Switches:       &control.Switches{Views: views, Commands: &postgres.Commands{DB: db}, Workflows: s.wf},
		LeftOvers:      &control.LeftOvers{Store: &sweeps.LeftOvers{DB: db}, Workflows: s.wf},
		ClientAccounts: &control.ClientAccounts{Store: &accounts.ClientAccounts{DB: db}, Cloud: &s.cloud},
		Adoptions:      &control.Adoptions{Store: &agentstore.Adoptions{DB: db}},
		Logins:         &control.OperatorSessions{Store: &accounts.Sessions{DB: db}, Now: time.Now},
	}
	d.Fleet = &control.Fleet{Pauses: d.Pauses, Operations: d.Operations, Audit: d.Audit}
	d.Console = &pages.Console{Views: views, Events: d.Events, About: pages.About{Started: time.Now()}, Now: time.Now}
	s.deps = d
	s.handler, err = rest.New(d)
	require.NoError(t, err)
	return s
}

func (s *stack) exec(sql string, args ...any) {
	s.t.Helper()
	_, err := s.db.Pool.Exec(s.t.Context(), sql, args...)
	require.NoError(s.t, err)
}

func (s *stack) value(sql string, args ...any) (out string) {
	s.t.Helper()
	require.NoError(s.t, s.db.Pool.QueryRow(s.t.Context(), sql, args...).Scan(&out))
	return out
}

// answer is what a request got.
type answer struct {
	status int
	body   map[string]any
	list   []any
	header http.Header
	raw    string
	route  string // id of the operation; empty where the test named none
}

// call asks with a token ("" for none) and a body ("" for none).
func (s *stack) call(token, method, path, body string) answer {
	s.t.Helper()
	req := httptest.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if s.from != "" {
		req.RemoteAddr = s.from
	}
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, req)
	out := answer{status: rec.Code, header: rec.Header(), raw: rec.Body.String(), route: operationAt(method, path)}
	if strings.HasPrefix(rec.Header().Get("Content-Type"), "text/csv") {
		return out
	}
	if strings.HasPrefix(strings.TrimSpace(out.raw), "[") {
		require.NoError(s.t, json.Unmarshal(rec.Body.Bytes(), &out.list), out.raw)
	} else {
		require.NoError(s.t, json.Unmarshal(rec.Body.Bytes(), &out.body), out.raw)
	}
	return out
}

// holds requires the status and, of the body, what is wanted; "*" is anything.
func (a answer) holds(t *testing.T, status int, want string) {
	t.Helper()
	require.Equal(t, status, a.status, a.raw)
	var w map[string]any
	require.NoError(t, json.Unmarshal([]byte(want), &w))
	for k, v := range w {
		require.Contains(t, a.body, k, a.raw)
		if v != "*" {
			require.Equal(t, v, a.body[k], "%s in %s", k, a.raw)
		}
	}
	if status >= 400 {
		require.NotEmpty(t, a.body["code"], a.raw)
		requireDocumented(t, a)
	}
}

// playedWorkflows gives the answers that a test sets, and records the calls it gets.
type playedWorkflows struct {
	mu      sync.Mutex
	asked   []any
	replica workflows.ReplicaAnswer
	notice  workflows.NoticeAnswer
	promote workflows.PromoteAnswer
	live    *workflows.Progress

	guardian *workflows.GuardianState // nil: at rest
	err      error
	effect   func() // what a workflow that took the message would have done
}

func (p *playedWorkflows) ask(in any) error {
	p.mu.Lock()
	p.asked = append(p.asked, in)
	effect, err := p.effect, p.err
	p.mu.Unlock()
	if effect != nil {
		effect()
	}
	return err
}

// last is the last message of a type.
func last[T any](t testing.TB, p *playedWorkflows) T {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.asked) - 1; i >= 0; i-- {
		if in, ok := p.asked[i].(T); ok {
			return in
		}
	}
	var none T
	require.Failf(t, "not asked", "no %T", none)
	return none
}

func (p *playedWorkflows) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

func (p *playedWorkflows) CreateReplica(
	_ context.Context,
	_ string,
	in workflows.CreateReplicaInput,
) (*workflows.ReplicaAnswer, error) {
	return &p.replica, p.ask(in)
}

func (p *playedWorkflows) EmergencyReplica(
	_ context.Context,
	_ string,
	in workflows.EmergencyInput,
) (*workflows.ReplicaAnswer, error) {
	return &p.replica, p.ask(in)
}

func (p *playedWorkflows) TerminationNotice(
	_ context.Context,
	_ string,
	in workflows.NoticeInput,
) (*workflows.NoticeAnswer, error) {
	return &p.notice, p.ask(in)
}

func (p *playedWorkflows) Promote(
	_ context.Context,
	_ string,
	in workflows.PromoteInput,
) (*workflows.PromoteAnswer, error) {
	return &p.promote, p.ask(in)
}

func (p *playedWorkflows) DeleteReplica(
	_ context.Context,
	_ string,
	in workflows.DeleteReplicaInput,
) (*workflows.ReplicaAnswer, error) {
	return &p.replica, p.ask(in)
}

func (p *playedWorkflows) ReplicaReport(_ context.Context, in workflows.ReplicaReport) error {
	return p.ask(in)
}

func (p *playedWorkflows) RequestSwitch(
	_ context.Context,
	_ string,
	in workflows.RequestSwitchInput,
) (*workflows.OperationAnswer, error) {
	return &workflows.OperationAnswer{OperationID: "switch/" + in.CommandID}, p.ask(in)
}

func (p *playedWorkflows) Configure(
	_ context.Context,
	_ string,
	in workflows.ConfigureInput,
) (*workflows.ConfigureAnswer, error) {
	return &workflows.ConfigureAnswer{Keeping: in.Keeping}, p.ask(in)
}

func (p *playedWorkflows) RemoveAgent(
	_ context.Context,
	agentID string,
	in workflows.RemoveAgentInput,
) (*workflows.OperationAnswer, error) {
	return &workflows.OperationAnswer{OperationID: "removal/" + agentID}, p.ask(in)
}

func (p *playedWorkflows) OperationState(_ context.Context, operationID string) (*workflows.Progress, error) {
	return p.live, p.ask(operationID)
}

func (p *playedWorkflows) GuardianState(context.Context, string) (*workflows.GuardianState, error) {
	if p.guardian != nil {
		return p.guardian, nil
	}
	return nil, workflows.NoOperation.New("at rest")
}

func (p *playedWorkflows) CancelOperation(_ context.Context, operationID, _ string) error {
	return p.ask(operationID)
}
