package rest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/replica"
	"spotkeeper/workflows"
)

const (
	todoRow = `
		INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, plan)
		VALUES ('r-todo', 'c1', 'a2', 'manual', 'i-2', 'requested', 'agent', '{"pool": "t3.medium.us-east-1c"}');
		INSERT INTO operations (id, kind, client_id, agent_id) VALUES ('replica/r-todo', 'replica', 'c1', 'a2')`
	readyRow = `
		INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode)
		VALUES ('i-r', 'c1', 'a1', 'replica', 't3.medium', 'us-east-1', 'us-east-1c', 't3.medium.us-east-1c', 'spot');
		INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, pool_id, instance_id,
			created_by, tags)
		VALUES ('11112222-3333', 'c1', 'a1', 'manual', 'i-1', 'ready', 'control-plane', 't3.medium.us-east-1c', 'i-r',
			'user@acme', '{"why":"test"}')`
)

func TestListReplicas(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(readyRow)
	s.exec(todoRow)

	got := s.call(s.acme, "GET", "/api/agents/a1/replicas", "")
	got.holds(t, 200, `{"total":1}`)
	one := got.body["replicas"].([]any)[0].(map[string]any)
	for k, v := range map[string]any{
		"id":                      "11112222-3333",
		"instance_id":             "i-r",
		"type":                    "manual",
		"status":                  "ready",
		"sync_status":             "initializing",
		"sync_latency_ms":         nil,
		"state_transfer_progress": 0.0,
		"created_by":              "user@acme",
		"ready_at":                nil,
		"terminated_at":           nil,
		"is_active":               true,
		"tags":                    map[string]any{"why": "test"},
		"cost":                    map[string]any{"hourly": nil, "total": 0.0},
		"pool": map[string]any{
			"id":            "t3.medium.us-east-1c",
			"name":          "t3.medium (us-east-1c)",
			"instance_type": "t3.medium",
			"region":        "us-east-1",
			"az":            "us-east-1c",
		},
	} {
		require.Equal(t, v, one[k], k)
	}
	require.Contains(t, one, "age_seconds")

	// What an agent launches is flat, and only what is its own to launch.
	launching := s.call(s.acme, "GET", "/api/agents/a2/replicas?status=launching", "")
	launching.holds(t, 200, `{"total":1}`)
	flat := launching.body["replicas"].([]any)[0].(map[string]any)
	require.Equal(t, []any{"r-todo", "t3.medium.us-east-1c", "us-east-1c"},
		[]any{flat["id"], flat["pool_id"], flat["az"]})
	s.call(s.acme, "GET", "/api/agents/a1/replicas?status=launching", "").holds(t, 200, `{"total":0,"replicas":[]}`)
	s.call(s.acme, "GET", "/api/agents/a2/replicas", "").holds(t, 200, `{"total":1}`)

	s.call(s.beta, "GET", "/api/agents/a1/replicas", "").holds(t, 404, `{"error":"Agent not found"}`)
	s.call(s.acme, "GET", "/api/agents/nope/replicas", "").holds(t, 404, `{}`)
	s.call(operatorToken, "GET", "/api/agents/nope/replicas", "").holds(t, 200, `{"replicas":[],"total":0}`)
	s.call(operatorToken, "GET", "/api/agents/a1/replicas?include_terminated=maybe", "").holds(t, 400, `{}`)
}

func TestCreateReplica(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/agents/a2/replicas"

	s.call(s.acme, "POST", "/api/agents/a1/replicas", `{"pool_id":"t3.medium.us-east-1b"}`).
		holds(t, 400,
			`{"error":"Manual replicas not enabled for this agent","hint":"Enable manual_replica_enabled in agent settings"}`)
	s.call(s.acme, "POST", path, `{"pool_id":"nope"}`).holds(t, 404, `{"error":"Pool not found"}`)
	s.call(s.acme, "POST", path, `{"pool_id":"m5.large.us-east-1a"}`).
		holds(t, 400, `{"error":"Pool instance type mismatch","agent_type":"t3.medium","pool_type":"m5.large"}`)
	s.call(s.beta, "POST", path, `{}`).holds(t, 404, `{"error":"Agent not found or offline"}`)
	s.call(s.acme, "POST", "/api/agents/nope/replicas", `{}`).holds(t, 404, `{"error":"Agent not found or offline"}`)
	require.Zero(t, s.wf.count(), "what is refused reaches no workflow")

	s.exec(todoRow)
	s.call(s.acme, "POST", path, `{"pool_id":"t3.medium.us-east-1c"}`).
		holds(t, 400,
			`{"error":"Replica already exists for this agent","current_count":1,"max_allowed":1,"note":"Manual replica mode maintains exactly 1 replica. Delete existing replica first."}`)
	s.exec(`UPDATE replicas SET kind = 'rebalance'`) // one for an emergency is not the standby
	s.wf.replica = workflows.ReplicaAnswer{ReplicaID: "r-todo", OperationID: "replica/r-todo"}
	s.call(s.acme, "POST", path,
		`{"pool_id":"t3.medium.us-east-1c","created_by":"user@acme","tags":{"why":"test"},"exclude_zones":["us-east-1a"],"max_hourly_cost":0.5}`).
		holds(t, 201,
			`{"success":true,"replica_id":"r-todo","instance_id":"emergency-rtodo","hourly_cost":null,"status":"launching",
			"message":"Replica is launching. Connect your agent to establish sync.",
			"pool":{"id":"t3.medium.us-east-1c","name":"t3.medium (us-east-1c)","instance_type":"t3.medium","region":"us-east-1","az":"us-east-1c"}}`)
	asked := last[workflows.CreateReplicaInput](t, s.wf)
	require.Equal(t, "user@acme", asked.CreatedBy)
	require.Equal(t, replica.Plan{
		Pool:          "t3.medium.us-east-1c",
		Mode:          "spot",
		ExcludeZones:  []string{"us-east-1a"},
		MaxHourlyCost: 0.5,
	}, asked.Plan)

	// An instance that the agent launched is bound whatever the mode and the limit.
	s.exec(`UPDATE agents SET status = 'offline', keeping = 'off'`)
	s.call(
		s.acme,
		"POST",
		path,
		`{"instance_id":"i-new","replica_type":"emergency","parent_instance_id":"i-2","pool_id":"t3.medium.us-east-1b","status":"ready"}`,
	).holds(t, 201, `{"replica_id":"r-todo"}`)
	asked = last[workflows.CreateReplicaInput](t, s.wf)
	require.Equal(t, []any{"i-new", "i-2", replica.Rebalance, true, "t3.medium.us-east-1b"},
		[]any{asked.InstanceID, asked.ParentID, asked.Kind, asked.Ready, asked.Plan.Pool})
	s.call(s.acme, "POST", path, `{"tags":[]}`).holds(t, 400, `{}`)
}

// TestBindReplica holds that an instance is kept before a message about it goes out, so that
// an agent is not asked to launch it again because Temporal was away.
func TestBindReplica(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(todoRow)
	s.exec(readyRow)
	const path = "/api/agents/a2/replicas/r-todo"

	s.call(s.acme, "PUT", path, `{"status":"syncing"}`).holds(t, 400, `{"error":"instance_id is required"}`)
	s.call(s.acme, "PUT", path, ``).holds(t, 400, `{}`)
	s.call(s.acme, "PUT", path, `{"instance_id":"i-x","status":"banana"}`).holds(t, 400, `{}`)
	s.call(s.acme, "PUT", "/api/agents/a1/replicas/r-todo", `{"instance_id":"i-x"}`).holds(t, 404,
		`{"error":"Replica not found"}`)
	s.call(s.beta, "PUT", path, `{"instance_id":"i-x"}`).holds(t, 404, `{}`)
	s.call(s.acme, "PUT", path, `{"instance_id":"i-b"}`).holds(t, 404, `{"code":"agent.instance_of_another_tenant"}`)
	s.call(s.acme, "PUT", path, `{"instance_id":"i-2"}`).holds(t, 409, `{"code":"roles.is_primary"}`)
	s.call(s.acme, "PUT", "/api/agents/a1/replicas/11112222-3333", `{"instance_id":"i-x"}`).holds(t, 409,
		`{"code":"replica.launched_by_control_plane"}`)

	s.wf.err = workflows.Unreachable.New("away")
	s.call(s.acme, "PUT", path, `{"instance_id":"i-new"}`).holds(t, 503, `{}`)
	require.Equal(t, "i-new", s.value(`SELECT instance_id FROM replicas WHERE id = 'r-todo'`))
	require.Equal(t, "replica", s.value(`SELECT role FROM instances WHERE id = 'i-new'`))
	s.call(s.acme, "GET", "/api/agents/a2/replicas?status=launching", "").holds(t, 200, `{"total":0}`)

	s.wf.err = nil
	s.call(s.acme, "PUT", path, `{"instance_id":"i-new"}`).holds(t, 200,
		`{"success":true,"replica_id":"r-todo","instance_id":"i-new","status":"syncing"}`)
	require.Equal(t, workflows.ReplicaReport{
		ReplicaID:  "r-todo",
		InstanceID: "i-new",
		Status:     "syncing",
	}, last[workflows.ReplicaReport](t, s.wf))
	s.call(s.acme, "PUT", path, `{"instance_id":"i-other"}`).holds(t, 409, `{"code":"replica.other_instance"}`)
}

func TestReportReplica(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(readyRow)
	const path = "/api/agents/a1/replicas/11112222-3333"

	s.call(s.acme, "POST", path+"/status", `{}`).holds(t, 400, `{"error":"status is required"}`)
	s.call(s.acme, "POST", path+"/status", `{"status":"promoted"}`).holds(t, 400, `{"error":"Invalid status"}`)
	s.call(s.beta, "POST", path+"/status", `{"status":"ready"}`).holds(t, 404, `{"error":"Replica not found"}`)
	s.call(s.acme, "POST", path+"/status",
		`{"status":"failed","error_message":"launch failed","sync_started_at":"2026-11-22T10:00:00+00:00"}`).
		holds(t, 200, `{"success":true,"replica_id":"11112222-3333","status":"failed"}`)
	require.Equal(t, workflows.ReplicaReport{
		ReplicaID:  "11112222-3333",
		InstanceID: "i-r",
		Status:     "failed",
		Message:    "launch failed",
	}, last[workflows.ReplicaReport](t, s.wf))

	for body, status := range map[string]int{
		`{"sync_status":"banana"}`:         400,
		`{"state_transfer_progress":"50"}`: 400,
		`{"state_transfer_progress":1000}`: 400,
		`{"sync_latency_ms":-1}`:           400,
		`{}`:                               200,
		``:                                 200,
	} {
		require.Equal(t, status, s.call(s.acme, "POST", path+"/sync-status", body).status, body)
	}
	asked := s.wf.count()
	s.call(s.acme, "POST", path+"/sync-status",
		`{"sync_status":"syncing","sync_latency_ms":150,"state_transfer_progress":40.5}`).holds(t, 200,
		`{"success":true,"message":"Sync status updated"}`)
	require.Equal(t, "syncing 150 40.50",
		s.value(`SELECT sync_status || ' ' || sync_latency_ms || ' ' || sync_progress FROM replicas`))
	require.Equal(t, asked, s.wf.count())
	s.call(s.acme, "POST", path+"/sync-status", `{"sync_status":"synced","state_transfer_progress":100}`).holds(t,
		200, `{}`)
	require.Equal(t, "ready", last[workflows.ReplicaReport](t, s.wf).Status)
	s.call(s.acme, "POST", "/api/agents/a1/replicas/nope/sync-status", `{}`).holds(t, 404, `{}`)

	// A promoted replica that reports 100 % does not fall back.
	s.exec(`UPDATE replicas SET state = 'promoted'`)
	asked = s.wf.count()
	s.call(s.acme, "POST", path+"/sync-status", `{"state_transfer_progress":100}`).holds(t, 200, `{}`)
	require.Equal(t, asked, s.wf.count())
}

func TestPromoteAndDeleteReplica(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(readyRow)
	s.exec(todoRow)
	const path = "/api/agents/a1/replicas/11112222-3333"

	s.call(s.acme, "POST", "/api/agents/a2/replicas/r-todo/promote", `{}`).
		holds(t, 400,
			`{"error":"Replica not ready for promotion","current_status":"launching","required_status":"ready or syncing"}`)
	s.call(s.acme, "POST", "/api/agents/a1/replicas/nope/promote", `{}`).holds(t, 404,
		`{"error":"Replica not found or inactive"}`)
	s.call(s.beta, "POST", path+"/promote", `{}`).holds(t, 404, `{}`)
	s.wf.promote = workflows.PromoteAnswer{
		OperationID: "promotion/x",
		Changed:     true,
		OldPrimary:  "i-1",
		NewPrimary:  "i-r",
		At:          time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
	}
	s.call(s.acme, "POST", path+"/promote", `{"demote_old_primary":false}`).
		holds(t, 200,
			`{"success":true,"message":"Replica promoted to primary","new_instance_id":"i-r","old_instance_id":"i-1","demoted":false,"switch_time":"2026-03-01T00:00:00Z"}`)
	asked := last[workflows.PromoteInput](t, s.wf)
	require.Equal(t, workflows.PromoteInput{ReplicaID: "11112222-3333", By: "client:Acme"}, asked)
	s.wf.promote = workflows.PromoteAnswer{OperationID: "promotion/x", OldPrimary: "i-1"}
	s.call(s.acme, "POST", path+"/promote", `{"wait_for_sync":true}`).holds(t, 200,
		`{"success":true,"pending":true,"demoted":true,"switch_time":null,"new_instance_id":"i-r"}`)
	require.Positive(t, last[workflows.PromoteInput](t, s.wf).Wait)

	s.call(s.beta, "DELETE", path, "").holds(t, 404, `{"error":"Replica not found"}`)
	s.call(s.acme, "DELETE", path, "").holds(t, 200,
		`{"success":true,"message":"Replica terminated","replica_id":"11112222-3333","terminated_at":"*"}`)
	require.Equal(t, "11112222-3333", last[workflows.DeleteReplicaInput](t, s.wf).ReplicaID)
	s.exec(`UPDATE replicas SET state = 'retired', ended_at = '2026-03-01 00:00Z' WHERE id = '11112222-3333'`)
	s.call(s.acme, "DELETE", path, "").holds(t, 400,
		`{"error":"Replica already terminated","terminated_at":"2026-03-01T00:00:00Z"}`)
	s.call(s.acme, "POST", path+"/promote", `{}`).holds(t, 404, `{"error":"Replica not found or inactive"}`)

	// The running primary is not deleted as a replica.
	s.exec(
		`
			UPDATE instances
			SET role = 'retired'
			WHERE id = 'i-1';
			UPDATE instances
			SET role = 'primary'
			WHERE id = 'i-r';
			UPDATE replicas
			SET state = 'promoted', ended_at = NULL
			WHERE id = '11112222-3333'`,
	)
	asked2 := s.wf.count()
	s.call(s.acme, "DELETE", path, "").holds(t, 400, `{"current_status":"promoted"}`)
	s.call(s.acme, "POST", path+"/promote", ``).holds(t, 400, `{"current_status":"promoted"}`)
	require.Equal(t, asked2, s.wf.count())
}
