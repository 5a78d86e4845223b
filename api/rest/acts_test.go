package rest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
)

// toldByStores are the changes that are told in their own transaction, or by the
// workflow that makes them.
var toldByStores = map[string]string{
	"createClient": "client_created", "deleteClient": "client_deleted", "removeClient": "client_deleted", "regenerateToken": "token_regenerated",
	"toggleAgent": "agent_toggled", "changeAgentSettings": "agent_settings_changed", "configureAgent": "agent_settings_changed", "deleteAgent": "agent_deleted",
	"forceSwitch": "manual_switch_requested", "createSink": "sink_created", "deleteSink": "sink_deleted",
	"pauseMoves": "moves_paused", "pauseAgent": "moves_paused", "pauseClient": "moves_paused", "resumeMoves": "moves_resumed", "resumeAgent": "moves_resumed", "resumeClient": "moves_resumed",
	"setMovingLimit": "moving_limit_changed", "uploadEngine": "decision_engine_uploaded", "uploadModels": "ml_models_uploaded",
}

// toldAsWhatFollows are reports of agents, whose consequences are told, and what
// changes nothing that anybody would ask about.
var toldAsWhatFollows = map[string]bool{
	"bindReplica": true, "reportReplicaStatus": true, "reportReplicaSync": true, "createEmergencyReplica": true, "terminationImminent": true,
	"markRead": true, "testSink": true,
}

// TestEveryChangeIsTold: a route through which an operator or a tenant changes
// something leaves an event, and a new one has to say which.
func TestEveryChangeIsTold(t *testing.T) {
	t.Parallel()

	for _, r := range (rest.Deps{}).Routes() {
		if r.Method == http.MethodGet || r.Auth == rest.Agent || r.Auth == rest.Anonymous || toldAsWhatFollows[r.ID] {
			continue
		}
		require.NotEqual(t, r.Event == "", toldByStores[r.ID] == "", "%s: which event tells it?", r.ID)
	}
}

func TestActsAreTold(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(readyRow)
	s.exec(someOperations)
	s.wf.replica.ReplicaID = "11112222-3333"

	s.call(operatorToken, "POST", "/api/admin/schedules/price-dedup/pause", `{"note":"looking"}`)
	s.call(s.acme, "DELETE", "/api/agents/a1/replicas/11112222-3333", "")
	s.call(s.beta, "DELETE", "/api/agents/a1/replicas/11112222-3333", "")
	s.call(s.acme, "POST", "/api/notifications/mark-all-read", `{}`)
	require.Equal(t, "operator:ops", s.value(`SELECT actor FROM events WHERE type = 'job_paused'`))
	require.Equal(t, "price-dedup looking", s.value(`SELECT metadata->>'job' || ' ' || (metadata->'asked'->>'note') FROM events WHERE type = 'job_paused'`))
	require.Equal(t, "client:Acme c1 a1 1", s.value(`SELECT max(actor) || ' ' || max(client_id) || ' ' || max(agent_id) || ' ' || count(*) FROM events WHERE type = 'replica_removed'`))
	require.Equal(t, "c1", s.value(`SELECT client_id FROM events WHERE type = 'notifications_read'`))
}
