package rest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/workflows"
)

func TestFirstRegistrationMakesTheAgentAndItsPrimary(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(
		`
			INSERT INTO on_demand_prices (region, instance_type, price, source, observed_at)
			VALUES ('us-east-1', 't3.medium', 0.0416, 'pricing-api', now())`,
	)

	id := s.register(s.acme, "new-1", "i-new", "us-east-1f")
	require.Equal(t, id, s.register(s.acme, "new-1", "i-new", "us-east-1f"), "again is the same")
	require.Equal(t, "primary", s.role("i-new"))
	require.Equal(t, "t3.medium.us-east-1f 0.041600",
		s.value(`SELECT pool_id || ' ' || ondemand_price FROM instances WHERE id = 'i-new'`),
		"a zone that nobody knew yet")
	require.Equal(t, "1",
		s.value(`SELECT count(*)::text FROM notifications WHERE message = 'New agent registered: new-1'`))
	require.Equal(t, "0", s.value(`SELECT count(*)::text FROM pools WHERE id = 't3.medium.us-east-1f'`),
		"EC2 was not asked about it")
	require.NotEqual(t, id, s.register(s.beta, "new-1", "i-beta", "us-east-1a"),
		"another client's agent of the same name")
	require.Zero(t, s.wf.count())

	got := s.call(
		s.acme,
		"POST",
		"/api/agents/register",
		`{"logical_agent_id":"old","instance_id":"i-old","instance_type":"unknown","region":"us-east-1","az":"unknown","private_ip":"unknown"}`,
	)
	got.holds(t, 200, `{"client_id":"c1","agent_id":"*","config":"*"}`)
	require.Equal(t, "unknown", s.value(`SELECT mode FROM instances WHERE id = 'i-old'`),
		"the oldest program does not say how it is bought")
	require.Equal(t, "0", s.value(`SELECT count(*)::text FROM pools WHERE id LIKE 'unknown%'`))
}

func TestRegistrationOfWhatIsNotYours(t *testing.T) {
	t.Parallel()
	s := newStack(t)

	s.call(s.beta, "POST", "/api/agents/register", registration("thief", "i-1", "us-east-1a")).holds(t, 404,
		`{"code":"agent.instance_of_another_tenant"}`)
	s.call(s.acme, "POST", "/api/agents/register", registration("second", "i-1", "us-east-1a")).holds(t, 409,
		`{"code":"agent.instance_in_use","agent_id":"a1"}`)
	require.Equal(t, "0", s.value(`SELECT count(*)::text FROM agents WHERE logical_agent_id IN ('thief', 'second')`),
		"nothing is half-written")
	id := s.register(s.acme, "heir", "i-0", "us-east-1b")
	require.Equal(t, id, s.value(`SELECT agent_id FROM instances WHERE id = 'i-0'`),
		"a retired instance may start anew")
	require.Equal(t, "primary", s.role("i-0"))
}

func TestRegistrationFromAnotherInstanceChangesNoRole(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`UPDATE instances SET last_seen_at = now() WHERE id = 'i-1'`)

	require.Equal(t, "a1", s.register(s.acme, "web-1", "i-0", "us-east-1b"),
		"a program that was restarted on the instance it was failed over from")
	require.Equal(t, []string{"primary", "retired"}, []string{s.role("i-1"), s.role("i-0")})
	require.Equal(t, "a1", s.register(s.acme, "web-1", "i-stranger", "us-east-1c"))
	require.Equal(t, []string{"primary", "none"}, []string{s.role("i-1"), s.role("i-stranger")})
	require.Equal(t, "0", s.value(`SELECT epoch::text FROM agents WHERE id = 'a1'`))
	require.Equal(t, "1", s.value(`SELECT count(*)::text FROM events WHERE type = 'agent_outside'`))
	require.Zero(t, s.wf.count())
	require.Equal(t, "h1", s.value(`SELECT hostname FROM agents WHERE id = 'a1'`), "the primary's name stays")
}

func TestRegistrationIsAReplicasSignOfLife(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(
		`
			INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id)
			VALUES ('i-r', 'c1', 'a1', 'replica', 't3.medium', 'us-east-1', 'us-east-1c', 't3.medium.us-east-1c')`,
	)
	s.exec(
		`
			INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, instance_id)
			VALUES ('r1', 'c1', 'a1', 'rebalance', 'i-1', 'running', 'control-plane', 'i-r')`,
	)

	s.register(s.acme, "web-1", "i-r", "us-east-1c")
	require.Equal(t, workflows.ReplicaReport{
		ReplicaID:  "r1",
		InstanceID: "i-r",
		Status:     "ready",
	}, last[workflows.ReplicaReport](t, s.wf))
	require.Equal(t, "replica", s.role("i-r"))
	require.Equal(t, "true", s.value(`SELECT (last_seen_at IS NOT NULL)::text FROM instances WHERE id = 'i-r'`))

	s.wf.fails(workflows.Unreachable.New("away"))
	s.register(s.acme, "web-1", "i-r", "us-east-1c")
	s.exec(`UPDATE replicas SET state = 'ready' WHERE id = 'r1'`)
	before := s.wf.count()
	s.register(s.acme, "web-1", "i-r", "us-east-1c")
	require.Equal(t, before, s.wf.count(), "one that is ready needs to be told nothing")
	s.wf.fails(nil)

	for _, row := range []struct{ sql, operation string }{
		{`INSERT INTO promotions (replica_id, client_id, agent_id, demote, requested_by, wait_until)
			VALUES ('r1', 'c1', 'a1', false, 'operator:local', now() + interval '5 minutes')`, "promotion/r1"},
		{`UPDATE replicas SET kind = 'switch', made_for = 'cmd' WHERE id = 'r1'`, "switch/cmd"},
	} {
		s.exec(row.sql)
		s.register(s.acme, "web-1", "i-r", "us-east-1c")
		require.Equal(t, activities.Nudge{
			OperationID: row.operation,
			AgentID:     "a1",
		}, last[activities.Nudge](t, s.wf), "it waits for the word of the agent on the replica")
	}
}

// TestRegistrationNamesTheReplicaThatItsAgentLaunched: the image carries the
// agent, which may register before the primary names the instance.
func TestRegistrationNamesTheReplicaThatItsAgentLaunched(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(
		`
			INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, pool_id)
			VALUES ('r2', 'c1', 'a2', 'manual', 'i-2', 'launching', 'agent', 't3.medium.us-east-1c')`,
	)

	s.register(s.acme, "web-2", "i-elsewhere", "us-east-1a")
	require.Empty(t, messages[workflows.ReplicaReport](s.wf), "another zone")
	s.register(s.acme, "web-2", "i-n", "us-east-1c")
	require.Equal(t, workflows.ReplicaReport{
		ReplicaID:  "r2",
		InstanceID: "i-n",
		Status:     "ready",
	}, last[workflows.ReplicaReport](t, s.wf))
}

func TestRegistrationBindsTheSwitchThatItsAgentPerforms(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(
		`
			INSERT INTO commands (id, client_id, agent_id, instance_id, launcher, target_mode)
			VALUES ('cmd', 'c1', 'a2', 'i-2', 'agent', 'ondemand')`,
	)

	s.register(s.acme, "web-2", "i-n", "us-east-1c")
	require.Empty(t, messages[activities.Nudge](s.wf), "the command was not delivered yet")
	require.Len(t, s.call(s.acme, "GET", "/api/agents/a2/pending-commands", "").list, 1)
	s.register(s.acme, "web-2", "i-n", "us-east-1c")
	require.Equal(t, activities.Nudge{
		OperationID: "switch/cmd",
		AgentID:     "a2",
		Start:       true,
		Launcher:    agent.ByAgent,
	}, last[activities.Nudge](t, s.wf))
	s.register(s.acme, "web-2", "i-later", "us-east-1c")
	require.Equal(t, "i-n", s.value(`SELECT new_instance_id FROM commands`),
		"the switch reads it there; the first one counts")
	s.exec(`UPDATE commands SET leased_until = leased_until - interval '10 minutes'`)
	require.Empty(t, s.call(s.acme, "GET", "/api/agents/a2/pending-commands", "").list,
		"performed, so it is not delivered again")
}

func TestALostPrimaryIsFollowed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(
		`
			UPDATE instances
			SET last_seen_at = now() - interval '6 minutes', installed_at = now() - interval '1 day',
				primary_since = now() - interval '1 day'`,
	)
	s.exec(
		`
			INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher)
			VALUES ('r1', 'c1', 'a1', 'rebalance', 'i-1', 'launching', 'control-plane')`,
	)

	s.register(s.acme, "web-1", "i-n", "us-east-1c")
	require.Equal(t, "none", s.role("i-n"), "a replica is on its way: the Guardian decides")
	s.exec(`UPDATE replicas SET state = 'failed'`)
	s.register(s.acme, "web-1", "i-0", "us-east-1b")
	require.Equal(t, "retired", s.role("i-0"), "one that was replaced does not come back")
	s.register(s.acme, "web-1", "i-n", "us-east-1c")
	require.Equal(t, []string{"primary", "retired"}, []string{s.role("i-n"), s.role("i-1")})
	require.Equal(t, "1", s.value(`SELECT epoch::text FROM agents WHERE id = 'a1'`))
	require.Equal(t, "takeover i-1 i-n",
		s.value(`SELECT cause || ' ' || old_id || ' ' || new_id FROM role_changes WHERE agent_id = 'a1' AND epoch = 1`))
	require.Equal(t, "nobody", s.value(`SELECT terminate_by FROM instances WHERE id = 'i-1'`),
		"what may be alive after all is not ended")
	require.Equal(t, wake{"a1"}, last[wake](t, s.wf))
	s.register(s.acme, "web-1", "i-1", "us-east-1a")
	require.Equal(t, []string{"primary", "retired"}, []string{s.role("i-n"), s.role("i-1")})

	beat := `{"status":"online","instance_id":"i-m","instance_type":"t3.medium","az":"us-east-1a","mode":"spot"}`
	s.call(s.acme, "POST", "/api/agents/a1/heartbeat", beat).holds(t, 200, `{"success":true}`)
	require.Equal(t, "none", s.role("i-m"), "the primary was heard of just now")
	s.exec(
		`
			UPDATE instances
			SET last_seen_at = now() - interval '6 minutes', primary_since = now() - interval '1 hour',
				installed_at = now() - interval '1 hour'`,
	)
	s.call(s.acme, "POST", "/api/agents/a1/heartbeat", beat).holds(t, 200, `{"success":true}`)
	require.Equal(t, []string{"primary", "retired"}, []string{s.role("i-m"), s.role("i-n")},
		"an instance that registered too early follows by its heartbeat")
	require.Equal(t, "2", s.value(`SELECT epoch::text FROM agents WHERE id = 'a1'`))
}

func TestADeletedAgentStaysQuiet(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(
		`
			UPDATE agents
			SET status = 'deleted', enabled = false
			WHERE id = 'a1';
			UPDATE instances
			SET role = 'retired'
			WHERE id = 'i-1'`,
	)

	got := s.call(s.acme, "POST", "/api/agents/register", registration("web-1", "i-1", "us-east-1a"))
	got.holds(t, 200, `{"agent_id":"a1"}`)
	require.Equal(t, false, got.body["config"].(map[string]any)["enabled"])
	s.call(s.acme, "GET", "/api/agents/a1/config", "").holds(t, 200, `{"enabled":false}`)
	s.call(s.acme, "POST", "/api/agents/a1/heartbeat", `{}`).holds(t, 404, `{"error":"Agent not found"}`)
	s.call(s.acme, "POST", "/api/agents/a1/termination", `{}`).holds(t, 404, `{}`)
	require.Empty(t, s.call(s.acme, "GET", "/api/agents/a1/pending-commands", "").list)
	require.Equal(t, "deleted retired",
		s.value(`SELECT a.status || ' ' || i.role FROM agents a JOIN instances i ON i.id = 'i-1' WHERE a.id = 'a1'`))
	require.Zero(t, s.wf.count())
}

func TestTwoFirstRegistrationsAtOnceMakeOneAgent(t *testing.T) {
	t.Parallel()
	s := newStack(t)

	ids := make(chan string, 8)
	for range cap(ids) {
		go func() {
			got := s.call(s.acme, "POST", "/api/agents/register", registration("twin", "i-twin", "us-east-1a"))
			id, _ := got.body["agent_id"].(string)
			ids <- id
		}()
	}
	first := <-ids
	require.NotEmpty(t, first)
	for range cap(ids) - 1 {
		require.Equal(t, first, <-ids)
	}
	require.Equal(t, "1", s.value(`SELECT count(*)::text FROM instances WHERE id = 'i-twin' AND role = 'primary'`))
}
