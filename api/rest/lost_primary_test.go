package rest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/workflows"
)

// lateBeat and latePrices are all that the oldest agent says after its registration.
const lateBeat = `{"status":"online","monitored_instances":["i-n"]}`

func latePrices() string {
	const pools = `[{"pool_id":"t3.medium.us-east-1c","instance_type":"t3.medium","az":"us-east-1c","price":0.0131}]`
	said := reported(time.Time{}, "0.0416", pools)["C"]
	return strings.NewReplacer(`"i-1"`, `"i-n"`, "us-east-1a", "us-east-1c").Replace(said)
}

// silence makes the primaries fall silent for longer than an agent's restart takes.
func (s *stack) silence() {
	s.t.Helper()
	s.exec(`UPDATE instances
		SET last_seen_at = now() - interval '6 minutes', primary_since = now() - interval '1 day',
			installed_at = now() - interval '1 day'
		WHERE role = 'primary'`)
}

// unfilled opens a replica of a2 that its agent is to launch.
func (s *stack) unfilled() {
	s.t.Helper()
	s.exec(`INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, pool_id)
		VALUES ('r1', 'c1', 'a2', 'manual', 'i-2', 'requested', 'agent', 't3.medium.us-east-1c')`)
}

// followed requires that i-n took the place of i-2, and that nothing waits for an
// instance any more.
func (s *stack) followed() {
	s.t.Helper()
	require.Equal(s.t, []string{"primary", "retired"}, []string{s.role("i-n"), s.role("i-2")})
	require.Equal(s.t, "1 takeover", s.value(`SELECT a.epoch || ' ' || c.cause
		FROM agents a JOIN role_changes c ON c.agent_id = a.id AND c.epoch = a.epoch WHERE a.id = 'a2'`))
	require.Equal(s.t, "retired true",
		s.value(`SELECT state || ' ' || (ended_at IS NOT NULL)::text FROM replicas WHERE id = 'r1'`))
	require.Equal(s.t, workflows.ReplicaReport{
		ReplicaID: "r1",
		Status:    "terminated",
		Message:   "i-n took the place of the lost primary",
	},
		last[workflows.ReplicaReport](s.t, s.wf))
	require.Equal(s.t, wake{"a2"}, last[wake](s.t, s.wf))
	require.Equal(s.t, "true", s.value(`SELECT (review_at IS NOT NULL)::text FROM agents WHERE id = 'a2'`),
		"the sweep wakes the Guardian when that message is lost")
	require.Equal(s.t, "t3.medium.us-east-1c us-east-1",
		s.value(`SELECT pool_id || ' ' || region FROM instances WHERE id = 'i-n'`))
	require.Equal(s.t, "0", s.value(`SELECT count(*)::text FROM outside_instances`))
}

// TestAnInstanceStartedByHandIsFollowed plays an owner who replaces a dead machine
// of an agent that launches for itself. The standby of manual mode is open and no
// agent fills it.
func TestAnInstanceStartedByHandIsFollowed(t *testing.T) {
	t.Parallel()

	t.Run("by its registration", func(t *testing.T) {
		t.Parallel()
		s := newStack(t)
		s.unfilled()
		s.silence()
		s.register(s.acme, "web-2", "i-n", "us-east-1c")
		s.followed()
		s.register(s.acme, "web-2", "i-2", "us-east-1b")
		s.register(s.acme, "web-2", "i-n", "us-east-1c")
		s.followed()
	})
	t.Run("by a heartbeat that names it only as monitored", func(t *testing.T) {
		t.Parallel()
		s := newStack(t)
		s.exec(`UPDATE instances SET last_seen_at = now()`)
		s.unfilled()
		s.exec(`UPDATE replicas SET pool_id = 't3.medium.us-east-1a'`)
		s.register(s.acme, "web-2", "i-n", "us-east-1c")
		s.call(s.acme, "POST", "/api/agents/a2/heartbeat", lateBeat).holds(t, 200, `{"success":true}`)
		require.Equal(t, "none", s.role("i-n"), "the primary was heard of just now")
		s.silence()
		s.call(s.acme, "POST", "/api/agents/a2/heartbeat", goodbye).holds(t, 200, `{"success":true}`)
		stranger := strings.Replace(lateBeat, "i-n", "i-never-registered", 1)
		s.call(s.acme, "POST", "/api/agents/a2/heartbeat", stranger).holds(t, 200, `{"success":true}`)
		require.Equal(t, "none", s.role("i-never-registered"), "its type is not known")
		s.silence()
		s.call(s.acme, "POST", "/api/agents/a2/heartbeat", lateBeat).holds(t, 200, `{"success":true}`)
		s.followed()
		require.Equal(t, "spot", s.value(`SELECT mode FROM instances WHERE id = 'i-n'`),
			"as it said when it registered")
	})
	t.Run("by its prices", func(t *testing.T) {
		t.Parallel()
		s := newStack(t)
		s.exec(`UPDATE instances SET last_seen_at = now()`)
		s.unfilled()
		s.call(s.acme, "POST", "/api/agents/a2/pricing-report", latePrices()).holds(t, 200,
			`{"success":true,"accepted":1}`)
		require.Equal(t, "none", s.role("i-n"))
		s.silence()
		s.call(s.acme, "POST", "/api/agents/a2/pricing-report", latePrices()).holds(t, 200, `{"success":true}`)
		s.followed()
		s.call(s.acme, "POST", "/api/agents/a2/pricing-report", latePrices()).holds(t, 200, `{"success":true}`)
		require.Equal(t, "spot 0.013100", s.value(`SELECT mode || ' ' || spot_price FROM instances WHERE id = 'i-n'`))
	})
}

// TestANoticeWithoutAnHeirLetsAnotherFollow at once: the primary need not be silent
// for five minutes first. A notice that can still be answered goes first.
func TestANoticeWithoutAnHeirLetsAnotherFollow(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		result, deadline, seen string
		role                   string
	}{
		"lost":                                {"lost", "-1 minute", "-2 minutes", "primary"},
		"past its deadline and not closed":    {"", "-1 minute", "-2 minutes", "primary"},
		"past its deadline, and heard of now": {"", "-1 minute", "0", "none"},
		"not past its deadline":               {"", "1 minute", "-6 minutes", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.unfilled()
			s.exec(`UPDATE instances
				SET last_seen_at = now() + $1::interval, primary_since = now() - interval '1 hour',
					installed_at = now() - interval '1 hour'
				WHERE id = 'i-2'`, c.seen)
			s.exec(`INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline, result)
				VALUES ('c1', 'a2', 'i-2', 'termination-notice', now() + $1::interval, $2)`, c.deadline, c.result)

			own := strings.ReplaceAll(beat("online", "i-n"), "us-east-1a", "us-east-1c")
			s.call(s.acme, "POST", "/api/agents/a2/heartbeat", own).holds(t, 200, `{}`)
			require.Equal(t, c.role, s.role("i-n"))
			if c.role == "primary" {
				s.followed()
				require.Equal(t, "not_primary", s.value(`SELECT result FROM notices`), "the agent is healed")
			}
		})
	}
}

// TestWhatIsOnItsWayGoesFirst: while something may bring a successor, an outside
// instance stays outside, whichever way it reports.
func TestWhatIsOnItsWayGoesFirst(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		begin string
		role  string
	}{
		"a replica with an instance": {
			`INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, instance_id)
			VALUES ('r1', 'c1', 'a2', 'manual', 'i-2', 'running', 'agent', 'i-r')`, "none"},
		"a launch of the control plane": {
			`INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher)
			VALUES ('r1', 'c1', 'a2', 'termination', 'i-2', 'requested', 'control-plane')`, "none"},
		"a switch's replica": {`INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher)
			VALUES ('r1', 'c1', 'a2', 'switch', 'cmd', 'requested', 'agent')`, "none"},
		"a switch that was ordered": {
			`INSERT INTO commands (id, client_id, agent_id, instance_id, launcher, target_mode)
			VALUES ('cmd', 'c1', 'a2', 'i-2', 'agent', 'ondemand')`, "none"},
		"a switch in flight": {
			`INSERT INTO switches (id, client_id, agent_id, phase) VALUES ('cmd', 'c1', 'a2', 'waiting_until_ready')`,
			"none"},
		"not a launch that waits because former ones failed": {`
			INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, not_before)
			VALUES ('r1', 'c1', 'a2', 'termination', 'i-2', 'requested', 'control-plane', now() + interval '4 minutes')`, "primary"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.silence()
			s.exec(c.begin)
			s.register(s.acme, "web-2", "i-n", "us-east-1c")
			s.call(s.acme, "POST", "/api/agents/a2/heartbeat", lateBeat)
			s.call(s.acme, "POST", "/api/agents/a2/pricing-report", latePrices()).holds(t, 200, `{}`)
			require.Equal(t, c.role, s.role("i-n"))
			if c.role == "primary" {
				s.followed()
			}
		})
	}
}

// TestNoTakeoverOfWhatIsNotYours: an instance of another client, or of another
// agent, follows no lost primary, and its reports are taken all the same.
func TestNoTakeoverOfWhatIsNotYours(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.silence()
	s.exec(`UPDATE instances SET last_seen_at = now() WHERE id IN ('i-1', 'i-b')`)

	for _, other := range []string{"i-1", "i-b"} {
		s.call(s.acme, "POST", "/api/agents/a2/pricing-report", strings.ReplaceAll(latePrices(), "i-n", other)).
			holds(t, 200, `{"success":true}`)
		s.call(s.acme, "POST", "/api/agents/a2/heartbeat", beat("online", other)).holds(t, 200, `{"success":true}`)
	}
	long := strings.ReplaceAll(latePrices(), "i-n", strings.Repeat("i", 65))
	s.call(s.acme, "POST", "/api/agents/a2/pricing-report", long).holds(t, 200, `{"success":true}`)
	require.Equal(t, "a1 b1 i-2", s.value(`SELECT concat_ws(' ',
		(SELECT agent_id FROM instances WHERE id = 'i-1'),
		(SELECT agent_id FROM instances WHERE id = 'i-b'),
		(SELECT id FROM instances WHERE agent_id = 'a2' AND role = 'primary'))`))
}
