package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres"
	"spotkeeper/workflows"
)

// auditedByConsequence are agents' reports whose consequences are audited, and reports
// that change nothing.
var auditedByConsequence = map[string]bool{
	"bindReplica":            true,
	"reportReplicaStatus":    true,
	"reportReplicaSync":      true,
	"createEmergencyReplica": true,
	"terminationImminent":    true,
	"testSink":               true,
	"decodePayloads":         true,
}

// deed is a change by a route, and the event that records it.
type deed struct {
	event  string
	body   string
	path   string         // empty: the route's, about the things of the first tenant
	tenant bool           // who acts; else an operator
	before func(s *stack) // what must have happened
	does   func(s *stack) // what workflows do when they receive the report
	sends  func(s *stack) // in place of the request
}

// does is what a workflow does in Postgres.
func does(sql string) func(*stack) { return func(s *stack) { s.exec(sql) } }

func pauses(path string) func(*stack) {
	return func(s *stack) { require.Equal(s.t, 200, s.call(operatorToken, "POST", path, `{}`).status) }
}

const (
	newSession   = `INSERT INTO model_sessions (id, kind, state) VALUES ('s-new', 'models', 'uploaded')`
	someNews     = `INSERT INTO notifications (id, client_id, message) VALUES ('n', 'c1', 'x'), ('n2', 'c1', 'y')`
	rolloutMoves = `UPDATE model_rollouts SET paused = NOT paused`
)

// deeds has every route through which an operator or a tenant changes something.
var deeds = map[string][]deed{
	"createClient":    {{event: "client_created", body: `{"name":"Gamma"}`}},
	"deleteClient":    {{event: "client_deleted"}},
	"removeClient":    {{event: "client_deleted", body: `{"confirm":"Acme"}`}},
	"regenerateToken": {{event: "token_regenerated"}},

	"toggleAgent": {{event: "agent_toggled", body: `{"enabled":false}`, tenant: true}},
	"changeAgentSettings": {{event: "agent_settings_changed", body: `{"min_savings_percent":20}`, tenant: true},
		{
			event:  "replica_mode_changed",
			body:   `{"auto_switch_enabled":false}`,
			tenant: true,
			does:   keeps(agent.KeepOff),
		}},
	"configureAgent": {{event: "agent_settings_changed", body: `{"terminateWaitMinutes":9}`},
		{event: "replica_mode_changed", body: `{"manualReplicaEnabled":true}`, does: keeps(agent.KeepManual)}},
	"deleteAgent": {{event: "agent_deleted", tenant: true, does: func(s *stack) {
		_, err := (&postgres.Roles{DB: s.db}).Remove(s.t.Context(), "a1", "client:Acme")
		require.NoError(s.t, err)
	}}},
	"rotateSink": {{event: "sink_secret_rotated", tenant: true, before: does(`
		INSERT INTO notification_sinks (id, client_id, kind, url, secret_sealed, min_severity)
		VALUES ('s1', 'c1', 'webhook', 'https://hooks.example/', 'x', 'error')`)}},
	"setMoveRules":          {{event: "move_rules_changed", body: `{"policies":{"to_spot":"ask"}}`, tenant: true}},
	"approveMove":           {{event: "move_approved", tenant: true, before: does(someQuestions)}},
	"rejectMove":            {{event: "move_rejected", before: does(someQuestions)}},
	"answerQuestion":        {{event: "move_rejected", before: does(someQuestions), sends: answersByLink}},
	"setRequirements":       {{event: "requirements_changed", body: `{"min_vcpus":2}`, tenant: true}},
	"setClientRequirements": {{event: "requirements_changed", body: `{"max_vcpus":8}`, tenant: true}},
	"decideLeftOver": {{
		event:  "left_over_decided",
		path:   "/api/client/instances/i-left/left-over",
		body:   `{"action":"keep"}`,
		tenant: true,
		before: does(leftOver),
	}},
	"forceSwitch": {{event: "manual_switch_requested", body: `{"target":"ondemand"}`, tenant: true}},
	"createReplica": {{
		event:  "replica_requested",
		path:   "/api/agents/a2/replicas",
		body:   `{"created_by":"another person"}`,
		tenant: true,
		does: does(
			`
				INSERT INTO replicas (id, client_id, agent_id, kind, made_for, launcher, created_by)
				VALUES ('11112222-3333', 'c1', 'a2', 'manual', 'i-2', 'agent', 'another person')`,
		),
	}},
	"deleteReplica": {{
		event:  "replica_removed",
		tenant: true,
		before: does(readyRow),
		does:   does(`UPDATE replicas SET state = 'retiring'`),
	}},
	"promoteReplica": {{
		event:  "replica_promotion_requested",
		before: does(readyRow),
		does:   does(`UPDATE agents SET epoch = epoch + 1`),
	}},
	"cancelOperation": {{
		event:  "operation_cancelled",
		path:   "/api/operations/switch%2F1/cancel",
		tenant: true,
		before: does(someOperations),
		does:   does(`UPDATE operations SET phase = 'undoing'`),
	}},

	"markRead":           {{event: "notification_read", tenant: true, before: does(someNews)}},
	"markAllRead":        {{event: "notifications_read", body: `{"client_id":"c1"}`, before: does(someNews)}},
	"createSink":         {{event: "sink_created", body: `{"kind":"log"}`, tenant: true}},
	"createCredential":   {{event: "credential_created", body: `{"kind":"enrolment"}`, tenant: true}},
	"revokeCredential":   {{event: "credential_revoked", tenant: true, before: does(oneCredential)}},
	"endOperatorSession": {{event: "operator_session_ended", before: does(oneSession)}},
	"setLimits": {{
		event: "client_limits_changed",
		body:  `{"agents":1,"open_replicas":2,"launches_per_hour":3}`,
	}},
	"setJoinRules": {{
		event:  "join_rules_changed",
		body:   `{"roles":["web-box"],"identity_documents":true}`,
		tenant: true,
	}},
	"setLegacyToken": {{event: "legacy_token_changed", body: `{"legacy_token":"agent"}`}},
	"deleteSink":     {{event: "sink_deleted", tenant: true, before: does(logSink)}},

	"changeClientAccount": {{event: "client_account_changed", body: `{"own_account":true}`}},

	"adoptInstance": {{
		event:  "adoption_requested",
		tenant: true,
		before: does(`UPDATE instances SET proof = 'unproven'`),
	}},

	"blockPool": {{
		event:  "pool_blocked",
		path:   "/api/pools/t3.medium.us-east-1a/block",
		body:   `{"scope":"client","client_id":"c1","reason":"AWS"}`,
		tenant: true,
	}},
	"unblockPool": {{
		event: "pool_unblocked",
		path:  "/api/pools/t3.medium.us-east-1a/unblock",
		body:  `{"client_id":"c1"}`,
		before: func(s *stack) {
			const block = "/api/pools/t3.medium.us-east-1a/block"
			require.Equal(s.t, 200, s.call(s.acme, "POST", block, `{"reason":"AWS"}`).status)
		},
	}},
	"pauseMoves": {{event: "moves_paused", body: `{"scope":"global"}`}},
	"resumeMoves": {{event: "moves_resumed", path: "/api/admin/pauses?scope=global", before: func(s *stack) {
		require.Equal(s.t, 200, s.call(operatorToken, "POST", "/api/admin/pauses", `{"scope":"global"}`).status)
	}}},
	"pauseAgents": {{event: "moves_paused", body: `{"agent_ids":["a1"]}`, tenant: true}},
	"resumeAgents": {{
		event:  "moves_resumed",
		body:   `{"agent_ids":["a1"]}`,
		before: pauses("/api/client/agents/a1/pause"),
	}},
	"cancelOperations": {{
		event:  "operation_cancelled",
		body:   `{"operation_ids":["switch/1"]}`,
		tenant: true,
		before: does(someOperations),
		does:   does(`UPDATE operations SET phase = 'undoing'`),
	}},
	"pauseAgent":     {{event: "moves_paused", tenant: true}},
	"resumeAgent":    {{event: "moves_resumed", before: pauses("/api/client/agents/a1/pause")}},
	"pauseClient":    {{event: "moves_paused", tenant: true}},
	"resumeClient":   {{event: "moves_resumed", before: pauses("/api/client/c1/pause")}},
	"setMovingLimit": {{event: "moving_limit_changed", body: `{"max_moving_percent":7}`}},

	"triggerJob":  {{event: "job_triggered"}},
	"pauseJob":    {{event: "job_paused", body: `{"reason":"looking"}`}},
	"resumeJob":   {{event: "job_resumed"}},
	"backfillJob": {{event: "job_backfilled", body: `{"from":"2026-03-01T00:00:00Z","until":"2026-03-01T02:00:00Z"}`}},

	"uploadEngine": {{
		event: "decision_engine_uploaded",
		sends: func(s *stack) { s.send(uploadEngine, "engine.py", 9) },
	}},
	"uploadModels":   {{event: "ml_models_uploaded", sends: func(s *stack) { s.send(uploadModels, "model.onnx", 9) }}},
	"activateModels": {{event: "model_activation_requested", body: `{"sessionId":"s-new"}`, before: does(newSession)}},
	"fallBack":       {{event: "model_fallback_requested", before: does(someSessions)}},
	"startRollout":   {{event: "model_rollout_requested", body: `{"session_id":"s-new"}`, before: does(newSession)}},
	"promoteRollout": {{
		event:  "model_rollout_promotion_requested",
		before: does(someSessions),
		does:   does(rolloutMoves),
	}},
	"pauseRollout":  {{event: "model_rollout_paused", before: does(someSessions), does: does(rolloutMoves)}},
	"resumeRollout": {{event: "model_rollout_resumed", before: does(someSessions), does: does(rolloutMoves)}},
	"abortRollout":  {{event: "model_rollout_abort_requested", before: does(someSessions), does: does(rolloutMoves)}},
	"rollbackRollout": {{
		event:  "model_rollout_rollback_requested",
		before: does(someSessions),
		does:   does(rolloutMoves),
	}},
}

func keeps(k agent.StandbyMode) func(*stack) {
	return func(s *stack) {
		in := last[workflows.ConfigureInput](s.t.(*testing.T), s.wf)
		_, err := (&postgres.Roles{DB: s.db}).SetKeeping(s.t.Context(), "a1", k, in.By)
		require.NoError(s.t, err)
	}
}

// TestEveryChangeIsAudited does everything that an operator or a tenant can change,
// and finds one event for it that says who did it, what was and what is. A new
// route without a row fails.
func TestEveryChangeIsAudited(t *testing.T) {
	t.Parallel()
	mine := strings.NewReplacer("{agent_id}", "a1", "{client_id}", "c1", "{instance_id}", "i-1", "{replica_id}",
		"11112222-3333", "{notification_id}", "n", "{job}", "price-dedup", "{sink_id}", "s1", "{credential_id}", "k1",
		"{session_id}", "s-live", "{approval_id}", "q1")
	for _, r := range (rest.Deps{}).Routes() {
		if r.Method == http.MethodGet || r.Auth == web.Agent || r.Auth == web.Joining || r.Auth == web.Anonymous ||
			auditedByConsequence[r.ID] {
			continue
		}
		require.NotEmpty(t, deeds[r.ID], "%s: which event tells it?", r.ID)
		for _, d := range deeds[r.ID] {
			t.Run(r.ID+" "+d.event, func(t *testing.T) {
				t.Parallel()
				s := newStack(t)
				s.wf.replica.ReplicaID, s.wf.promote.Changed = "11112222-3333", true
				if d.before != nil {
					d.before(s)
				}
				s.exec(`DELETE FROM events`)
				if d.does != nil {
					s.wf.effect = func() { d.does(s) }
					s.models.effect = s.wf.effect
				}
				token, who := operatorToken, "operator:ops"
				if d.tenant {
					token, who = s.acme, "client:Acme"
				}
				path := d.path
				if path == "" {
					path = mine.Replace(web.DocumentPath(r))
				}
				if d.sends != nil {
					d.sends(s)
				} else {
					got := s.call(token, r.Method, path, d.body)
					require.Less(t, got.status, 300, got.raw)
				}
				require.Equal(t, who, s.value(`SELECT string_agg(actor, ', ') FROM events WHERE type = $1`, d.event))
				require.Equal(
					t,
					"true true true",
					s.value(
						`
							SELECT concat_ws(' ', (metadata ? 'before')::text, (metadata ? 'after')::text,
								(metadata->'before' <> metadata->'after')::text)
							FROM events
							WHERE type = $1`,
						d.event,
					),
					s.value(`SELECT metadata::text FROM events WHERE type = $1`, d.event),
				)
			})
		}
	}
}

func TestAuditEntries(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(readyRow)
	s.exec(someOperations)
	s.wf.replica.ReplicaID = "11112222-3333"

	s.call(operatorToken, "POST", "/api/admin/schedules/price-dedup/pause", `{"reason":"looking"}`)
	s.call(s.acme, "DELETE", "/api/agents/a1/replicas/11112222-3333", "")
	s.call(s.beta, "DELETE", "/api/agents/a1/replicas/11112222-3333", "")
	s.call(operatorToken, "POST", "/api/operations/switch%2F1/cancel", ``)
	require.Equal(t, "operator:ops", s.value(`SELECT actor FROM events WHERE type = 'job_paused'`))
	require.Equal(
		t,
		"price-dedup looking",
		s.value(
			`SELECT metadata->>'job' || ' ' || (metadata->'asked'->>'reason') FROM events WHERE type = 'job_paused'`,
		),
	)
	require.Equal(
		t,
		"client:Acme c1 a1 1",
		s.value(
			`
				SELECT max(actor) || ' ' || max(client_id) || ' ' || max(agent_id) || ' ' || count(*)
				FROM events
				WHERE type = 'replica_removed'`,
		),
	)
	require.Equal(
		t,
		"ready i-1",
		s.value(
			`
				SELECT (metadata->'before'->'replicas'->0->>'state') || ' ' || (metadata->'before'->'primary'->>'id')
				FROM events
				WHERE type = 'replica_removed'`,
		),
	)
	require.Equal(t, "c1 a1",
		s.value(`SELECT client_id || ' ' || agent_id FROM events WHERE type = 'operation_cancelled'`),
		"whose operation an operator called off")
}

// TestWhatMayHaveBeenDoneIsAudited: an act that was not answered in time may be done
// all the same, and one that was refused is not.
func TestWhatMayHaveBeenDoneIsAudited(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(readyRow)
	s.wf.fails(workflows.NoAnswer.New("late"))
	s.call(s.acme, "DELETE", "/api/agents/a1/replicas/11112222-3333", "").holds(t, 503, `{"code":"workflow.no_answer"}`)
	require.Equal(t, "unknown: workflow.no_answer",
		s.value(`SELECT string_agg(metadata->>'outcome', ', ') FROM events WHERE type = 'replica_removed'`))
	s.wf.fails(workflows.Unreachable.New("away"))
	s.call(s.acme, "DELETE", "/api/agents/a1/replicas/11112222-3333", "").holds(t, 503,
		`{"code":"workflow.unreachable"}`)
	require.Equal(t, "1", s.value(`SELECT count(*)::text FROM events WHERE type = 'replica_removed'`))
}
