package rest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/workflows"
)

func TestTerminationImminent(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const ours, theirs = "/api/agents/a1/termination-imminent", "/api/agents/a2/termination-imminent"
	notices := func() string { return s.value(`SELECT count(*)::text FROM notices`) }

	s.call(s.acme, "POST", ours, `{}`).holds(t, 400, `{"error":"instance_id is required"}`)
	s.call(s.acme, "POST", "/api/agents/nope/termination-imminent", `{"instance_id":"i-1"}`).holds(t, 404,
		`{"error":"Agent not found"}`)
	s.call(s.beta, "POST", ours, `{"instance_id":"i-1"}`).holds(t, 404, `{"error":"Agent not found"}`)
	s.call(s.acme, "POST", ours, `{"instance_id":"i-1","replica_id":"nope"}`).holds(t, 404,
		`{"error":"Replica instance_id not found"}`)
	require.Equal(t, "0", notices())

	// A notice for an unknown instance is acknowledged and stores nothing; the agent
	// on it is not ordered to stop.
	s.call(s.acme, "POST", ours, `{"instance_id":"i-unknown"}`).holds(t, 200,
		`{"success":false,"action":"not_primary"}`)
	require.Equal(t, "0", notices())
	require.Zero(t, s.wf.count())

	// What AWS does with the instance is kept. A word that is not known loses no notice.
	s.wf.notice = workflows.NoticeAnswer{Status: workflows.NoticeInProgress}
	for word, kept := range map[string]string{`"hibernate"`: "hibernate", `"stop"`: "stop", `"reboot"`: "", `7`: "", `null`: "",
		`["stop"]`: ""} {
		s.call(s.acme, "POST", ours, `{"instance_id":"i-1","action":`+word+`}`).holds(t, 200, `{"success":true}`)
		require.Equal(t, kept, s.value(`SELECT action FROM notices`), word)
		s.exec(`DELETE FROM notices`)
	}

	// In progress: with our launcher the agent may stop, with its own it must live.
	s.wf.notice = workflows.NoticeAnswer{Status: workflows.NoticeInProgress, OperationID: "termination/a1/i-1"}
	deadline := time.Now().Add(100 * time.Second).UTC().Truncate(time.Second)
	s.call(s.acme, "POST", ours,
		`{"instance_id":"i-1","termination_time":"`+deadline.Format(time.RFC3339)+`","detected_at":"soon"}`).
		holds(t, 200, `{"success":true,"action":"failover_in_progress","operation_id":"termination/a1/i-1"}`)
	asked := last[workflows.NoticeInput](t, s.wf)
	require.Equal(t, []any{"i-1", time.Second, deadline}, []any{asked.InstanceID, asked.Wait, asked.Deadline})
	for _, status := range []workflows.NoticeStatus{workflows.NoticeInProgress, workflows.NoticeNoReplica,
		workflows.NoticeLost} {
		s.wf.notice = workflows.NoticeAnswer{Status: status}
		got := s.call(s.acme, "POST", theirs, `{"instance_id":"i-2","termination_time":null}`)
		got.holds(
			t,
			503,
			`{"success":false,"error":"No replica available","action":"emergency_snapshot_required","message":"Agent should create emergency state snapshot and upload to S3"}`,
		)
		require.NotEmpty(t, got.header.Get("Retry-After"))
		require.NotContains(t, got.body, "create_emergency_replica")
	}
	s.wf.notice = workflows.NoticeAnswer{
		Status:      workflows.NoticePromoted,
		NewPrimary:  "i-n",
		ReplicaID:   "r-n",
		OperationID: "termination/a1/i-1",
	}
	s.call(s.acme, "POST", ours, `{"instance_id":"i-1"}`).
		holds(t, 200,
			`{"success":true,"action":"replica_promoted","message":"Automatic failover completed","new_instance_id":"i-n","replica_id":"r-n","failover_time_ms":"*"}`)

	// Temporal is away: the notice is durable all the same.
	s.exec(`DELETE FROM notices`)
	s.wf.err = workflows.Unreachable.New("away")
	s.call(s.acme, "POST", ours, `{"instance_id":"i-1"}`).holds(t, 503, `{"code":"workflow.unreachable"}`)
	require.Equal(t, "1", notices())
	require.Equal(t, "1", s.value(`SELECT count(*)::text FROM notices WHERE delivered_at IS NULL`))

	// A known outcome is answered from Postgres alone, also to the restarted agent
	// on the old instance.
	s.exec(`UPDATE notices SET result = 'promoted', new_primary = 'i-n', replica_id = 'r-n', decided_at = now()`)
	s.exec(`UPDATE instances SET role = 'retiring', terminate_by = 'aws', retiring_since = now() WHERE id = 'i-1'`)
	s.exec(
		`
			INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id)
			VALUES ('i-n', 'c1', 'a1', 'primary', 't3.medium', 'us-east-1', 'us-east-1b', 't3.medium.us-east-1b')`,
	)
	before := s.wf.count()
	for range 3 {
		s.call(s.acme, "POST", ours, `{"instance_id":"i-1"}`).holds(t, 200,
			`{"success":true,"action":"replica_promoted","new_instance_id":"i-n"}`)
	}
	require.Equal(t, before, s.wf.count())
	// One that was switched away from may stop as well.
	s.call(s.acme, "POST", ours, `{"instance_id":"i-0"}`).holds(t, 200,
		`{"success":true,"action":"already_replaced","new_instance_id":"i-n"}`)
	// One whose successor is gone too is answered with the present primary.
	s.exec(`UPDATE notices SET new_primary = 'i-between' WHERE result = 'promoted'`)
	s.call(s.acme, "POST", ours, `{"instance_id":"i-1"}`).holds(t, 200,
		`{"success":true,"action":"already_replaced","new_instance_id":"i-n"}`)
	require.Equal(t, before, s.wf.count())
}

// TestARefusedEmergencyKeepsItsNotice: outside auto mode the agent's request for a
// replica is refused, and the notice that came with it is acted on all the same.
func TestARefusedEmergencyKeepsItsNotice(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.wf.err = agent.AutoOff.New("Emergency replica creation disabled")
	for range 2 {
		s.call(s.acme, "POST", "/api/agents/a2/create-emergency-replica",
			`{"signal_type":"termination-notice","instance_id":"i-2"}`).
			holds(t, 403, `{"error":"Emergency replica creation disabled"}`)
	}
	require.Equal(
		t,
		"termination-notice 2",
		s.value(
			`SELECT kind || ' ' || arrivals FROM notices WHERE agent_id = 'a2' AND instance_id = 'i-2' AND result = ''`,
		),
	)
	require.Equal(t, "true", s.value(`SELECT (review_at IS NOT NULL)::text FROM agents WHERE id = 'a2'`))
	require.Equal(t, "running", s.value(`SELECT state FROM operations WHERE id = 'termination/a2/i-2'`))
}

func TestEmergencyReplica(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/agents/a1/create-emergency-replica"
	const rebalance = `{"signal_type":"rebalance-recommendation","instance_id":"i-1"}`

	for _, body := range []string{`{"signal_type":"x"}`, `{}`, ``, `{"signal_type":7}`} {
		s.call(s.acme, "POST", path, body).holds(t, 400, `{"error":"Invalid signal_type"}`)
	}
	s.call(s.beta, "POST", path, rebalance).holds(t, 404, `{"error":"Agent not found"}`)
	s.call(s.acme, "POST", "/api/agents/a2/create-emergency-replica", `{"signal_type":"rebalance-recommendation"}`).
		holds(t, 403, `{"error":"Emergency replica creation disabled","hint":"*","reason":"*"}`)
	s.call(s.acme, "POST", path, `{"signal_type":"rebalance-recommendation","instance_id":"i-unknown"}`).holds(t, 200,
		`{"success":true,"replica_id":null}`)
	s.call(s.acme, "POST", path, `{"signal_type":"termination-notice","instance_id":"i-0"}`).holds(t, 200,
		`{"success":true,"replica_id":null,"urgency":"critical"}`)
	require.Zero(t, s.wf.count())

	s.exec(
		`
			INSERT INTO replicas (id, client_id, agent_id, kind, made_for, launcher)
			VALUES ('abcd1234-9', 'c1', 'a1', 'rebalance', 'i-1', 'control-plane')`,
	)
	s.wf.replica = workflows.ReplicaAnswer{ReplicaID: "abcd1234-9", OperationID: "replica/abcd1234-9"}
	s.call(s.acme, "POST", path, rebalance).
		holds(t, 201,
			`{"success":true,"replica_id":"abcd1234-9","instance_id":"emergency-abcd1234","pool":null,"hourly_cost":null,"urgency":"high","message":"*"}`)
	require.Equal(t, interruption.Rebalance, last[workflows.EmergencyInput](t, s.wf).Kind)
	s.wf.replica.Existing = true
	s.call(s.acme, "POST", path, rebalance).holds(t, 201,
		`{"replica_id":"abcd1234-9","message":"There is a replica for this instance already."}`)
	s.call(s.acme, "POST", path,
		`{"signal_type":"termination-notice","instance_id":"i-1","termination_time":"2026-11-22T10:47:00Z"}`).holds(t,
		201, `{"urgency":"critical"}`)
	// A final notice is not subject to the mode.
	s.call(s.acme, "POST", "/api/agents/a2/create-emergency-replica",
		`{"signal_type":"termination-notice","instance_id":"i-2"}`)
	require.Equal(t, "i-2", last[workflows.EmergencyInput](t, s.wf).InstanceID)
	require.Equal(t, "4", s.value(`SELECT count(*)::text FROM notices`),
		"the retired instance's, both of i-1, and i-2's")
	s.wf.err = workflows.Unreachable.New("away")
	s.call(s.acme, "POST", path, rebalance).holds(t, 503, `{}`)
}
