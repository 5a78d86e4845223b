package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/api/web"
	"spotkeeper/workflows"
)

// access says, for every route, who may call it. A route that is not here fails.
//
//	open   every caller
//	agent  the tenant's own token; an operator is not an agent
//	owner  the owning tenant, or an operator; other callers get 404
//	own    each tenant sees its own, an operator all
//	admin  operators
//	join   an enrolment
var access = map[string][]string{
	"open": {"health", "ready", "validateToken", "getDocument", "showLogin", "login", "logout", "showDocs",
		"getDocsFile", "beginLogin", "finishLogin", "challengeAgent", "joinAgentByRole", "joinAgentByDocument",
		"showQuestion", "answerQuestion"},
	"agent": {
		"heartbeat", "agentConfig", "replicaConfig", "reportTermination", "reportCleanup", "reportHookResults", "pendingCommands",
		"commandExecuted", "markCommandExecuted",
		"reportSwitch", "decide", "switchRecommendation", "issueSwitchCommand", "reportRebalance", "reportPrices",
	},
	"agent, own": {"registerAgent", "getPricingHistory"},
	"owner": {
		"createReplica", "listReplicas", "bindReplica", "deleteReplica", "promoteReplica", "reportReplicaStatus",
		"reportReplicaSync",
		"createEmergencyReplica", "terminationImminent", "getAgentState", "getLaunchDescription", "streamEvents", "toggleAgent",
		"changeAgentSettings", "configureAgent", "deleteAgent",
		"forceSwitch", "getPreflight", "getClientPreflight", "decideLeftOver", "getRequirements", "setRequirements",
		"getClientRequirements", "setClientRequirements", "getClient", "listClientAgents",
		"listAgentDecisions", "listAgentHistory", "listClientInstances", "listClientReplicas", "listSavings",
		"exportSavings", "listSwitches", "getCharts", "listReportedPrices", "getInstancePricing",
		"getInstanceMetrics", "getInstancePriceHistory",
		"getInstanceOptions", "getOperation", "cancelOperation",
		"listCredentials", "createCredential", "revokeCredential", "getLegacyToken", "setLegacyToken", "getLimits",
		"getJoinRules", "setJoinRules", "getMoveRules", "setMoveRules", "getApproval", "approveMove", "rejectMove",
		"listSinks", "rotateSink", "createSink", "deleteSink", "testSink",
		"adoptInstance", "getAccountSetup", "pauseAgent", "resumeAgent", "listPauses", "pauseClient", "resumeClient", "explainAgent",
	},
	"join": {"joinAgent"},
	"own": {
		"listOperations", "listNotifications", "markRead", "markAllRead", "getSession", "getVersion", "getOverview",
		"listNotices", "listFleet", "listApprovals",
		"pauseAgents", "resumeAgents", "cancelOperations", "listPools", "getPoolPrices", "listPoolBlocks", "blockPool", "unblockPool",
		"listFailovers", "summarizeDecisions", "listEvents", "search",
		"listSavingsByMonth", "listSavingsByTag", "exportEvents",
	},
	"admin": {
		"createClient", "showClientAccount", "changeClientAccount", "setLimits", "listOperatorSessions",
		"endOperatorSession", "deleteClient", "removeClient", "regenerateToken", "showToken", "getStats",
		"listClients", "getGrowth", "listInstances", "listAgents", "listActivity", "getSystemHealth",
		"listSchedules", "listWorkers", "listEventQueues", "listComponents", "triggerJob", "pauseJob", "resumeJob", "backfillJob", "decodePayloads",
		"streamAllEvents", "listDependencies", "listAllPauses", "pauseMoves", "resumeMoves", "listMovingLimits",
		"setMovingLimit",
		"uploadEngine", "uploadModels", "activateModels", "fallBack", "listSessions", "startRollout", "listRollouts",
		"getRollout", "promoteRollout", "pauseRollout",
		"resumeRollout", "abortRollout", "rollbackRollout",
	},
}

func classOf(id string) string {
	for class, ids := range access {
		if slices.Contains(ids, id) {
			return class
		}
	}
	return ""
}

// bodyFor is good enough for every route to get as far as asking whose it is.
const bodyFor = `{"instance_id":"i-1","old_instance":{"instance_id":"i-1"},"new_instance":{"instance_id":"i-9"},"instance":{},
	"pricing":{"spot_pools":[{"pool_id":"t3.medium.us-east-1a","az":"us-east-1a","price":0.01}],"on_demand_price":0.05},
	"target":"ondemand","action":"end","signal_type":"termination-notice","command_id":"x","target_mode":"ondemand"}`

// asks are the queries without which a route has nothing to answer.
var asks = map[string]string{"search": "?q=web"}

// someQuestions wait for answers: q1 about an agent of the first tenant, q2 of the second.
const someQuestions = `
INSERT INTO move_rules (client_id, to_spot, answer_minutes) VALUES ('c1', 'ask', 60), ('c2', 'ask', 60);
INSERT INTO move_approvals (id, client_id, agent_id, instance_id, kind, mode, pool_id, reason, asked_by, expires_at) VALUES
	('q1', 'c1', 'a1', 'i-1', 'to_spot', 'spot', 't3.medium.us-east-1c', 'It is cheaper.', 'fleet-decisions',
		now() + interval '1 hour'),
	('q2', 'c2', 'b1', 'i-b', 'to_spot', 'spot', 'm5.large.us-east-1a', 'It is cheaper.', 'fleet-decisions',
		now() + interval '1 hour')`

// TestAccess calls every route without a token, with a wrong one, with another
// tenant's, with its own for another tenant's thing, and as an operator.
func TestAccess(t *testing.T) {
	t.Parallel()

	s := newStack(t)
	s.exec(readyRow)
	s.exec(someOperations)
	s.exec(someSessions)
	s.exec(someQuestions)
	mine := strings.NewReplacer("{agent_id}", "a1", "{client_id}", "c1", "{instance_id}", "i-1", "{replica_id}",
		"11112222-3333", "{operation_id}", "switch%2F1", "{command_id}", "x", "{notification_id}", "n", "{job}",
		"price-dedup", "{file}", "swagger-ui.css", "{sink_id}", "s1", "{credential_id}", "k1",
		"{approval_id}", "q1", "{session_id}", "s-live", "{pool_id}", "t3.medium.us-east-1a")
	theirs := strings.NewReplacer("{agent_id}", "b1", "{client_id}", "c2", "{instance_id}", "i-b", "{replica_id}",
		"11112222-3333", "{approval_id}", "q2", "{operation_id}", "termination%2Fb1%2Fi-b", "{command_id}", "x", "{notification_id}", "n")
	s.wf.fails(workflows.Unreachable.New("away")) // nothing of this is to have consequences
	s.models.refuses = workflows.Unreachable.New("away")
	asked := 0
	send := func(r web.Route, path *strings.Replacer, dress func(*http.Request)) int {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if strings.HasSuffix(r.ID, "Sink") {
			s.exec(logSink) // it may have been deleted by the one before
		}
		if r.ID == "endOperatorSession" {
			s.exec(oneSession)
		}
		if r.ID == "revokeCredential" {
			s.exec(oneCredential)
		}
		body := bodyFor
		if r.Strict {
			body = `{}`
		}
		switch r.ID {
		case "approveMove": // whatever was answered before
			s.exec(`UPDATE move_approvals SET state = 'pending', answered_at = NULL, answered_by = ''`)
		case "rejectMove":
			s.exec(`UPDATE move_approvals SET state = 'pending', answered_at = NULL, answered_by = ''`)
		case "blockPool":
			body = `{"reason":"AWS"}`
		case "pauseAgents", "resumeAgents":
			body = `{"agent_ids":["a1"]}`
		case "cancelOperations":
			body = `{"operation_ids":["switch/1"]}`
		case "reportReplicaStatus":
			body = `{"status":"ready"}`
		case "reportHookResults":
			body = `{"instance_id":"i-1","notice_id":"n","kind":"drain","hooks":[{"name":"drain/10-stop","attempt":1}]}`
		case "bindReplica":
			body = `{"instance_id":"i-r"}`
		case "terminationImminent": // one of the primary would move the agent
			body = `{"instance_id":"i-unknown"}`
		case "createEmergencyReplica":
			body = `{"instance_id":"i-unknown","signal_type":"termination-notice"}`
		case "createClient", "markAllRead":
			body = `{}`
		case "createSink":
			body = `{"kind":"log"}`
		case "createCredential":
			body = `{"kind":"enrolment"}`
		case "setLimits":
			body = `{"agents":1000,"open_replicas":100,"launches_per_hour":100}`
		case "setLegacyToken":
			body = `{"legacy_token":"all"}`
		case "removeClient":
			body = `{"confirm":"another name"}`
		}
		req := httptest.NewRequestWithContext(ctx, r.Method,
			path.Replace(web.DocumentPath(r))+asks[r.ID], strings.NewReader(body))
		asked++
		req.RemoteAddr = fmt.Sprintf("192.0.2.%d:1234", asked%250) // guessing from one address is slowed down
		dress(req)
		if (r.ID == "streamEvents" || r.ID == "streamAllEvents") &&
			(req.Header.Get("Cookie") != "" || strings.Contains(req.Header.Get("Authorization"), operatorToken)) {
			ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond) // it would go on for ever
			defer cancel()
			req = req.WithContext(ctx)
		}
		rec := httptest.NewRecorder()
		s.handler.ServeHTTP(rec, req)
		return rec.Code
	}
	ask := func(token string, r web.Route, path *strings.Replacer) int {
		return send(r, path, func(req *http.Request) {
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
		})
	}
	cookie := s.login(t)
	browse := func(r web.Route, cookie, origin string) int {
		return send(r, mine, func(req *http.Request) {
			req.Header.Set("Cookie", cookie)
			req.Header.Set("Origin", origin)
			req.Header.Set("X-Spotkeeper-CSRF", "1")
		})
	}
	routes := (rest.Deps{}).Routes()
	for _, r := range routes {
		class := classOf(r.ID)
		require.NotEmpty(t, class, "%s has no row: say who may call it", r.ID)
		if class == "open" {
			// There is no provider here, and a link is its own credential.
			if !slices.Contains([]string{"beginLogin", "finishLogin", "showQuestion", "answerQuestion"}, r.ID) {
				require.NotContains(t, []int{403, 404}, ask("", r, mine), r.ID)
			}
			continue
		}
		require.Equal(t, 401, browse(r, "spotkeeper_session=e30.AAAA", "http://example.com"),
			"%s with a made-up session", r.ID)
		require.Equal(t, 401, ask("", r, mine), "%s without a token", r.ID)
		require.Equal(t, 401, ask("token-wrong", r, mine), "%s with a wrong token", r.ID)
		switch class {
		case "agent":
			require.Equal(t, 404, ask(s.beta, r, mine), "%s with another tenant's token", r.ID)
			require.Equal(t, 404, ask(s.acme, r, theirs), "%s for another tenant's agent", r.ID)
			require.Equal(t, 401, ask(operatorToken, r, mine), "%s as an operator", r.ID)
		case "join":
			require.Equal(t, 403, ask(s.acme, r, mine), "%s with a legacy token", r.ID)
			require.Equal(t, 401, ask(operatorToken, r, mine), "%s as an operator", r.ID)
		case "agent, own":
			require.Equal(t, 401, ask(operatorToken, r, mine), "%s as an operator", r.ID)
		case "owner":
			require.Equal(t, 404, ask(s.beta, r, mine), "%s with another tenant's token", r.ID)
			require.Equal(t, 404, ask(s.acme, r, theirs), "%s for another tenant's thing", r.ID)
		case "own":
			require.Equal(t, 200, ask(s.beta, r, mine), r.ID)
		case "admin":
			require.Equal(t, 403, ask(s.acme, r, mine), "%s for a tenant", r.ID)
		}
	}
	for _, r := range routes {
		class := classOf(r.ID)
		if class == "open" {
			continue
		}
		if strings.HasPrefix(class, "agent") || class == "join" {
			require.Equal(t, 401, browse(r, cookie, "http://example.com"), "%s with an operator's session", r.ID)
			continue
		}
		require.NotContains(t, []int{401, 403, 404}, ask(operatorToken, r, mine), "%s as an operator", r.ID)
		require.NotContains(t, []int{401, 403, 404}, browse(r, cookie, "http://example.com"),
			"%s with an operator's session", r.ID)
		if r.Method != http.MethodGet {
			require.Equal(t, 403, browse(r, cookie, "https://elsewhere.example"),
				"%s with a session from a page of another origin", r.ID)
			require.Equal(t, 403, browse(r, cookie, ""), "%s with a session from who knows where", r.ID)
		}
	}
	listed := 0
	for _, ids := range access {
		listed += len(ids)
	}
	require.Len(t, routes, listed, "a row names a route that is gone, or one is named twice")
}

const oneSession = `
	INSERT INTO operator_sessions (id, operator, expires_at)
	VALUES ('s-live', 'ann', now() + interval '1 hour')
	ON CONFLICT (id) DO NOTHING`

const oneCredential = `INSERT INTO credentials (id, client_id, kind, name, scope, token_hash)
	VALUES ('k1', 'c1', 'tenant', 'ci', 'read', sha256('k1')) ON CONFLICT (id) DO NOTHING`
