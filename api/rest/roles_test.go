package rest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/api/web"
	"spotkeeper/internal/domain/operators"
)

// leastRoles says, for every route that operators call, the least role that may. What is
// not here is a read, which a viewer may.
var leastRoles = map[operators.Role][]string{
	operators.Operator: {
		"createReplica", "bindReplica", "deleteReplica", "promoteReplica", "reportReplicaStatus", "reportReplicaSync",
		"createEmergencyReplica", "terminationImminent", "toggleAgent", "changeAgentSettings", "configureAgent",
		"forceSwitch", "setRequirements", "setClientRequirements", "decideLeftOver", "cancelOperation",
		"cancelOperations", "createSink", "rotateSink", "deleteSink", "testSink",
		"adoptInstance", "approveMove", "rejectMove", "pauseAgent", "resumeAgent", "pauseAgents", "resumeAgents", "pauseClient", "resumeClient",
		"blockPool", "unblockPool",
		"markRead", "markAllRead", "triggerJob", "pauseJob", "resumeJob", "backfillJob", "pauseMoves", "resumeMoves",
		"activateModels", "fallBack", "startRollout", "promoteRollout", "pauseRollout", "resumeRollout",
		"abortRollout", "rollbackRollout", "decodePayloads",
	},
	operators.Admin: {
		"createClient", "changeClientAccount", "setLimits", "setJoinRules", "setMoveRules", "endOperatorSession", "deleteClient", "removeClient",
		"regenerateToken", "showToken", "setMovingLimit", "uploadEngine", "uploadModels", "createCredential",
		"revokeCredential", "setLegacyToken", "deleteAgent",
	},
}

func leastRoleOf(id string) operators.Role {
	for role, ids := range leastRoles {
		if slices.Contains(ids, id) {
			return role
		}
	}
	return operators.Viewer
}

// TestRoles asks each route in each role: with less than the least one it is refused, and
// nothing happens.
func TestRoles(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	paths := strings.NewReplacer("{agent_id}", "a1", "{client_id}", "c1", "{instance_id}", "i-1", "{replica_id}",
		"11112222-3333", "{operation_id}", "switch%2F1", "{command_id}", "x", "{notification_id}", "n", "{job}",
		"price-dedup", "{sink_id}", "s1", "{credential_id}", "k1", "{session_id}", "s-live", "{pool_id}",
		"t3.medium.us-east-1a", "{approval_id}", "q1")
	tokens := map[operators.Role]string{operators.Viewer: guestToken, operators.Operator: oncallToken}
	listed := 0
	for _, r := range (rest.Deps{}).Routes() {
		if r.Auth != web.Admin && r.Auth != web.Client {
			require.Empty(t, r.LeastRole(), "%s is not for operators", r.ID)
			continue
		}
		least := leastRoleOf(r.ID)
		require.Equal(t, least, r.LeastRole(), r.ID)
		if least != operators.Viewer {
			listed++
		} else {
			require.Equal(t, http.MethodGet, r.Method, "%s changes something", r.ID)
		}
		for role, token := range tokens {
			if role.Includes(least) {
				continue
			}
			got := s.call(token, r.Method, paths.Replace(web.DocumentPath(r)), `{}`)
			got.holds(t, 403, `{"code":"auth.role_too_small"}`)
			require.Contains(t, got.raw, string(least), "it says what is needed")
		}
	}
	require.Len(t, slices.Concat(leastRoles[operators.Operator], leastRoles[operators.Admin]), listed,
		"a row names a route that is gone, or one is named twice")
	require.Zero(t, s.wf.count(), "no workflow heard of any of it")
}

// TestTheTrailSaysTheRole of who did something, and of who was refused.
func TestTheTrailSaysTheRole(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const toggle = "/api/client/agents/a1/toggle-enabled"

	s.call(guestToken, "POST", toggle, `{"enabled":false}`).holds(t, 403, `{"needs":"operator","role":"viewer"}`)
	s.call(oncallToken, "POST", toggle, `{"enabled":false}`).holds(t, 200, `{"success":true}`)
	require.Equal(t, "operator:guest viewer refused", s.value(
		`SELECT concat_ws(' ', actor, actor_role, outcome) FROM trail WHERE actor_id = 'guest'`))
	require.Equal(t, "operator:oncall operator done", s.value(
		`SELECT concat_ws(' ', actor, actor_role, outcome) FROM trail WHERE type = 'agent_toggled'`))
}

// TestAViewerSeesNoSecrets: what a viewer reads has no token in it.
func TestAViewerSeesNoSecrets(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(readyRow)
	made := s.call(operatorToken, "POST", "/api/client/c1/credentials", `{"kind":"tenant","name":"ci","scope":"read"}`)
	require.Equal(t, 201, made.status, made.raw)
	sink := s.call(operatorToken, "POST", "/api/client/c1/sinks", `{"kind":"log"}`)
	require.Equal(t, 201, sink.status, sink.raw)
	secrets := []string{s.acme, s.beta, operatorToken, oncallToken, made.body["token"].(string),
		sink.body["secret"].(string)}
	paths := strings.NewReplacer("{agent_id}", "a1", "{client_id}", "c1", "{instance_id}", "i-1", "{replica_id}",
		"11112222-3333", "{operation_id}", "switch%2F1", "{pool_id}", "t3.medium.us-east-1a")
	read := 0
	for _, r := range (rest.Deps{}).Routes() {
		if r.LeastRole() != operators.Viewer || strings.HasPrefix(r.ID, "stream") {
			continue
		}
		read++
		rec := browse(t, s.handler, r.Method, paths.Replace(web.DocumentPath(r))+asks[r.ID], "", func(req *http.Request) {
			req.Header.Set("Authorization", "Bearer "+guestToken)
		})
		require.NotContains(t, []int{401, 403}, rec.Code, "%s %s", r.ID, rec.Body)
		for _, secret := range secrets {
			if secret != "" {
				require.NotContains(t, rec.Body.String(), secret, r.ID)
			}
		}
	}
	require.Greater(t, read, 40)
}

// TestASessionSaysWhatItMayDo, so that a page leaves out the rest.
func TestASessionSaysWhatItMayDo(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	may := func(token string) []any { return s.call(token, "GET", "/api/session", "").body["may"].([]any) }

	require.Empty(t, may(guestToken))
	require.Contains(t, may(oncallToken), "pauseMoves")
	require.NotContains(t, may(oncallToken), "createClient")
	require.Contains(t, may(operatorToken), "createClient")
	require.NotContains(t, may(operatorToken), "heartbeat", "an operator is no agent")
	require.Contains(t, may(s.acme), "createCredential", "the old token may do all that a tenant may")
	require.NotContains(t, may(s.acme), "createClient")
	s.call(guestToken, "GET", "/api/session", "").holds(t, 200, `{"operator":true,"role":"viewer"}`)

	made := s.call(s.acme, "POST", "/api/client/c1/credentials", `{"kind":"tenant","name":"desk","scope":"operate"}`)
	desk := made.body["token"].(string)
	require.Contains(t, may(desk), "pauseAgent")
	require.NotContains(t, may(desk), "createCredential")
	s.call(desk, "GET", "/api/session", "").holds(t, 200, `{"operator":false,"role":null,"scope":"operate"}`)
}
