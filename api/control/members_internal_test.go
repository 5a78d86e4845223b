package control

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/api/web"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/domain/preflight"
	"spotkeeper/internal/postgres/accounts"
	"spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/postgres/models"
	"spotkeeper/internal/postgres/notifications"
	"spotkeeper/internal/postgres/sweeps"
	"spotkeeper/internal/postgres/views"
	"spotkeeper/workflows"
)

// at is a moment of a test, some seconds after a fixed one.
func at(seconds int) time.Time { return time.Date(2026, 3, 1, 0, 0, seconds, 0, time.UTC) }

// requireJSON requires that an answer is written so. Each member has a value of its own, so
// that one which is filled from another's field fails.
func requireJSON(t *testing.T, want string, answer any) {
	t.Helper()
	got, err := web.EncodeJSON(answer)
	require.NoError(t, err)
	require.JSONEq(t, want, string(got))
}

// played answers with what a test says, as the stores and workflows that a route reads.
type played struct {
	PreflightStore
	JobWorkflows
	OperatorSessionStore

	state     agents.AdoptionState
	preflight sweeps.ClientPreflight
	jobs      []workflows.ScheduleState
	runs      []housekeeping.JobRun
	sessions  []accounts.Session
}

func (p *played) AskAgain(context.Context, string, string, string) (*agents.AdoptionState, error) {
	return &p.state, nil
}

func (p *played) ClientPreflight(context.Context, string) (*sweeps.ClientPreflight, error) {
	return &p.preflight, nil
}

func (p *played) Schedules(context.Context) ([]workflows.ScheduleState, error) { return p.jobs, nil }

func (p *played) Runs(context.Context, int) ([]housekeeping.JobRun, error) { return p.runs, nil }

func (p *played) Sessions(context.Context, time.Time, time.Duration) ([]accounts.Session, error) {
	return p.sessions, nil
}

// TestRolloutMembers: the plan, what was validated and what was measured of a rollout.
func TestRolloutMembers(t *testing.T) {
	t.Parallel()
	requireJSON(t, `{"session_id": "s1", "kind": "models", "phase": "canary", "percent": 1, "paused": true, "detail": "waits",
		"plan": {"shadow": "1h0m0s", "canary": [5, 25], "step": "2h0m0s", "watch": "3h0m0s", "immediate": false,
			"guards": {"failed_failovers": 2, "switches_per_agent_day": 3.5, "spend_percent": 4.5, "error_rate": 0.25,
				"min_decisions": 6}},
		"started_by": "operator:ann", "started_at": "2026-03-01T00:00:01Z", "stage_since": "2026-03-01T00:00:02Z",
		"ended_at": "2026-03-01T00:00:03Z", "previous_session_id": "s0",
		"validation": {"session_id": "s1", "runner": "onnx", "version": "7", "decisions": 8, "switches": 9, "total": 10.5,
			"never_total": 11.5, "rules_total": 12.5, "microseconds_per_decision": 13.5},
		"readings": {"since": "2026-03-01T00:00:04Z", "span": 14,
			"group": {"agents": 15, "decisions": 16, "errors": 17, "switches": 18, "failed_failovers": 19, "spend": 20.5,
				"reference": 21.5},
			"others": {"agents": 22, "decisions": 23, "errors": 24, "switches": 25, "failed_failovers": 26, "spend": 27.5,
				"reference": 28.5},
			"shadow": {"pairs": 8, "agree": 6, "errors": 31, "moves": 32, "live_moves": 33, "regret": 34.5}, "gone": true},
		"agreement": 0.75, "timeline": [{"at": "2026-03-01T00:00:05Z", "phase": "shadow", "detail": "began"}],
		"error_code": "mlmodel.bad", "failure": "why"}`, rolloutOf(models.RolloutView{
		SessionID: "s1", Kind: mlmodel.Models, Phase: mlmodel.Canary, Percent: 1, Paused: true, Detail: "waits",
		Plan: mlmodel.Plan{Shadow: time.Hour, Canary: []int{5, 25}, Step: 2 * time.Hour, Watch: 3 * time.Hour,
			Guards: mlmodel.Guards{FailedFailovers: 2, SwitchesPerAgentDay: 3.5, SpendPercent: 4.5, ErrorRate: .25,
				MinDecisions: 6}},
		StartedBy: "operator:ann", StartedAt: at(1), StageSince: new(at(2)), EndedAt: new(at(3)), Previous: new("s0"),
		Validation: &activities.Validation{SessionID: "s1", Runner: "onnx", Version: "7", Decisions: 8, Switches: 9,
			Total: 10.5, Never: 11.5, Rules: 12.5, Micros: 13.5},
		Readings: mlmodel.Readings{
			Since: at(4), Span: 14,
			Group: mlmodel.Measure{Agents: 15, Decisions: 16, Errors: 17, Switches: 18, FailedFailovers: 19, Spend: 20.5,
				Reference: 21.5},
			Others: mlmodel.Measure{Agents: 22, Decisions: 23, Errors: 24, Switches: 25, FailedFailovers: 26, Spend: 27.5,
				Reference: 28.5},
			Shadow: mlmodel.Comparison{Pairs: 8, Agree: 6, Errors: 31, Moves: 32, LiveMoves: 33, Regret: 34.5}, Gone: true,
		},
		Timeline: []activities.TimelineEntry{{At: at(5), Phase: mlmodel.Shadow, Detail: "began"}},
		Code:     "mlmodel.bad", Error: "why",
	}))
}

// TestOperationMembers: an operation, its steps and its changes of the primary.
func TestOperationMembers(t *testing.T) {
	t.Parallel()
	requireJSON(t, `{"id": "switch/1", "href": "/api/operations/switch%2F1", "kind": "switch", "client_id": "c1",
		"agent_id": "a1", "agent_name": "", "state": "running", "phase": "launching", "summary": "moves", "cause": "cheaper",
		"instance_id": "i-1", "new_instance_id": "i-2", "replica_id": "r1", "deadline": "2026-03-01T00:00:01Z",
		"error_code": "launch.refused", "error_message": "no", "started_at": "2026-03-01T00:00:02Z",
		"updated_at": "2026-03-01T00:00:03Z", "ended_at": "2026-03-01T00:00:04Z", "tries": 5,
		"next_try_at": "2026-03-01T00:00:06Z", "waits_for": null, "asks": null, "trace_id": "4bf9"}`,
		operationOf(views.OperationView{
			ID: "switch/1", Kind: "switch", ClientID: "c1", AgentID: "a1", State: "running", Phase: "launching",
			Summary: "moves", Cause: "cheaper", InstanceID: "i-1", NewInstanceID: "i-2", ReplicaID: "r1", Deadline: new(at(1)),
			ErrorCode: new("launch.refused"), Error: new("no"), StartedAt: at(2), UpdatedAt: at(3), EndedAt: new(at(4)),
			Tries: 5, NextTryAt: new(at(6)), TraceID: "4bf9",
		}))
	requireJSON(t, `{"epoch": 7, "old_primary": "i-1", "new_primary": "i-2", "cause": "termination",
		"operation_id": "termination/a1/i-1", "at": "2026-03-01T00:00:08.000Z"}`, newRoleChange(views.RoleChangeView{
		Epoch: 7, OldID: "i-1", NewID: "i-2", ReplicaID: "r1", Cause: "termination", OperationID: "termination/a1/i-1",
		ChangedAt: at(8),
	}))
	requireJSON(t, `{"name": "launch", "status": "done", "detail": "in us-east-1a", "seconds_left": 9.5,
		"at": "2026-03-01T00:00:10Z", "exact_at": "2026-03-01T00:00:10.250Z", "since_ms": 2250}`,
		newStep("launch", "done", "in us-east-1a", new(9.5), at(10).Add(250*time.Millisecond), at(8)))
	require.Nil(t, newStep("launch", "done", "", new(99999.0), at(10), at(8)).SecondsLeft, "no deadline")
}

// TestAdoptionMembers: what EC2 said of an instance, and nothing of it once it is proven.
func TestAdoptionMembers(t *testing.T) {
	t.Parallel()
	store := &played{state: agents.AdoptionState{Proof: adoption.Unproven, Cause: "no_tag", Reason: "why", Repair: "how",
		OperationID: "adoption/i-1"}}
	a := &Adoptions{Store: store}
	got, err := a.ask(t.Context(), &adoptRequest{InstancePath: web.InstancePath{InstanceID: "i-1"}})
	require.NoError(t, err)
	text, err := web.EncodeJSON(got)
	require.NoError(t, err)
	var unproven map[string]any
	require.NoError(t, json.Unmarshal(text, &unproven))
	require.Nil(t, unproven["adopted_at"])
	require.Equal(t, "adoption/i-1", unproven["operation_id"])
	require.Equal(t, "why", unproven["unproven"].(map[string]any)["reason"])
	store.state = agents.AdoptionState{Proof: "adopted", AdoptedAt: new(at(1)), Reason: "before"}
	got, err = a.ask(t.Context(), &adoptRequest{InstancePath: web.InstancePath{InstanceID: "i-1"}})
	require.NoError(t, err)
	requireJSON(t, `{"instance_id": "i-1", "proof": "adopted", "unproven": null, "adopted_at": "2026-03-01T00:00:01Z",
		"operation_id": null}`, got)
}

// TestClientPreflightMembers: agents by result, regions, and the agents that are not well.
func TestClientPreflightMembers(t *testing.T) {
	t.Parallel()
	p := &Preflight{Store: &played{preflight: sweeps.ClientPreflight{
		Agents:    map[preflight.Result]int{preflight.OK: 1, preflight.Warning: 2, preflight.Unknown: 3, preflight.Failed: 4},
		Unchecked: 5,
		Regions: []sweeps.RegionPreflight{{Region: "us-east-1", Result: preflight.Warning, CheckedAt: at(6),
			Checks: []preflight.Check{{Name: "vCPUs", Result: preflight.Warning, Detail: "few", Repair: "ask"}}}},
		Troubled: []sweeps.AgentPreflight{{AgentID: "a1", LogicalID: "web-1", Result: preflight.Failed, CheckedAt: at(7)}},
	}}}
	got, err := p.getOfClient(t.Context(), &clientPreflightRequest{ClientPath: web.ClientPath{ClientID: "c1"}})
	require.NoError(t, err)
	requireJSON(t, `{"client_id": "c1", "result": "failed",
		"agents": {"ok": 1, "warning": 2, "unknown": 3, "failed": 4, "unchecked": 5},
		"regions": [{"region": "us-east-1", "result": "warning", "checked_at": "2026-03-01T00:00:06Z",
			"checks": [{"name": "vCPUs", "result": "warning", "detail": "few", "repair": "ask"}]}],
		"troubled": [{"agent_id": "a1", "logical_agent_id": "web-1", "result": "failed", "checked_at": "2026-03-01T00:00:07Z",
			"checks": []}]}`, got)
}

// TestScheduleMembers: a job with its schedule at Temporal and its runs.
func TestScheduleMembers(t *testing.T) {
	t.Parallel()
	store := &played{
		jobs: []workflows.ScheduleState{{Job: "price-dedup", Cron: "5 * * * *", Note: "what it does", Paused: true,
			Reason: "looking", Next: []time.Time{at(1)}, Running: []string{"job/1"}, Missed: 2, Skipped: 3, Absent: true}},
		runs: []housekeeping.JobRun{
			{Job: "price-dedup", Period: at(4), State: "failed", Counts: json.RawMessage(`{"rows":5}`), Error: new("why"),
				Attempts: 6, StartedAt: at(7), EndedAt: new(at(8))},
			{Job: "another", Period: at(9)},
		},
	}
	got, err := (&Schedules{Runs: store, Workflows: store}).list(t.Context(), nil)
	require.NoError(t, err)
	requireJSON(t, `{"schedules": [{"id": "price-dedup", "cron": "5 * * * *", "note": "what it does", "paused": true,
		"reason": "looking", "absent": true, "next_runs": ["2026-03-01T00:00:01Z"], "running": ["job/1"], "missed": 2,
		"skipped": 3, "last_runs": [{"period": "2026-03-01T00:00:04Z", "state": "failed", "counts": {"rows": 5}, "error": "why",
			"attempts": 6, "started_at": "2026-03-01T00:00:07Z", "ended_at": "2026-03-01T00:00:08Z"}]}]}`, got)
}

// TestSessionMembers: who logged in, how and from where.
func TestSessionMembers(t *testing.T) {
	t.Parallel()
	s := &OperatorSessions{Now: time.Now, Store: &played{sessions: []accounts.Session{{ID: "s1", Operator: "ann",
		Role: "viewer", Via: "oidc", ClientID: "c1", ClientName: "Acme", CredentialID: "k1", Address: "192.0.2.1",
		StartedAt: at(1), LastSeenAt: at(2), ExpiresAt: at(3)}}}}
	got, err := s.list(t.Context(), nil)
	require.NoError(t, err)
	requireJSON(t, `{"sessions": [{"id": "s1", "operator": "ann", "role": "viewer", "via": "oidc", "client_id": "c1",
		"client_name": "Acme", "address": "192.0.2.1", "started_at": "2026-03-01T00:00:01Z",
		"last_seen_at": "2026-03-01T00:00:02Z", "expires_at": "2026-03-01T00:00:03Z"}]}`, got)
}

// TestCredentialMembers: what a credential is for, and when and from where it was used.
func TestCredentialMembers(t *testing.T) {
	t.Parallel()
	v := &accounts.CredentialView{ID: "k1", ClientID: "c1", Kind: "agent", Name: "box", Scope: "operate",
		LogicalID: new("web-1"), AgentID: new("a1"), InstanceID: new("i-1"), Uses: 1, Used: 2, ExpiresAt: new(at(3)),
		LastUsedAt: new(at(4)), LastAddress: "192.0.2.1", CreatedBy: "operator:ann", CreatedAt: at(6)}
	requireJSON(t, `{"id": "k1", "kind": "agent", "name": "box", "scope": "operate", "logical_agent_id": "web-1",
		"agent_id": "a1", "instance_id": "i-1", "uses": 1, "used": 2, "state": "expired",
		"expires_at": "2026-03-01T00:00:03Z", "last_used_at": "2026-03-01T00:00:04Z", "last_address": "192.0.2.1",
		"revoked_at": null, "created_by": "operator:ann", "created_at": "2026-03-01T00:00:06Z"}`, credentialAnswerOf(v, at(3)))
	require.Equal(t, "good", credentialAnswerOf(v, at(2)).State)
	v.RevokedAt = new(at(5))
	require.Equal(t, "revoked", credentialAnswerOf(v, at(9)).State)
}

// TestSinkMembers: where notifications go, and how the last deliveries went.
func TestSinkMembers(t *testing.T) {
	t.Parallel()
	requireJSON(t, `{"id": "s1", "kind": "webhook", "url": "https://hooks", "min_severity": "error", "state": "failing",
		"failures": 1, "last_error": "503", "retry_after": "2026-03-01T00:00:02Z",
		"last_delivered_at": "2026-03-01T00:00:03Z", "pending": 4, "created_at": "2026-03-01T00:00:05Z"}`,
		newSinkAnswer(notifications.SinkView{ID: "s1", ClientID: "c1", Kind: "webhook", URL: "https://hooks",
			MinSeverity: "error", Failures: 1, RetryAfter: new(at(2)), LastError: new("503"), LastDeliveredAt: new(at(3)),
			Pending: 4, CreatedAt: at(5)}))
}
