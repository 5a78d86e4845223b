package rest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/workflows"
)

func (s *stack) command(id, agentID, instance, launcher string) {
	s.t.Helper()
	s.exec(
		`
			INSERT INTO commands (id, client_id, agent_id, instance_id, launcher, target_mode, target_pool_id, priority)
			VALUES ($1, 'c1', $2, $3, $4, 'spot', 't3.medium.us-east-1c', 75)`,
		id,
		agentID,
		instance,
		launcher,
	)
}

func TestACommandIsLeasedToThePrimaryItIsMeantFor(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/agents/a2/pending-commands"
	poll := func() []any {
		got := s.call(s.acme, "GET", path, "")
		require.Equal(t, 200, got.status, got.raw)
		require.Equal(t, byte('['), got.raw[0], "a list, never null")
		return got.list
	}

	require.Empty(t, poll())
	s.command("cmd", "a2", "i-2", "agent")
	got := poll()
	require.Len(t, got, 1)
	first := got[0].(map[string]any)
	require.NotEmpty(t, first["created_at"])
	delete(first, "created_at")
	require.Equal(t, map[string]any{
		"id":                     "cmd",
		"instance_id":            "i-2",
		"command_type":           "switch",
		"target_mode":            "spot",
		"target_pool_id":         "t3.medium.us-east-1c",
		"priority":               75.0,
		"terminate_wait_seconds": 0.0,
	}, first)
	require.Empty(t, poll(), "two live agents with one id: only one performs it")
	s.exec(`UPDATE commands SET leased_until = now() - interval '1 second'`)
	require.Len(t, poll(), 1, "the answer was lost")
	s.exec(`UPDATE commands SET leased_until = NULL, instance_id = 'i-gone'`)
	require.Empty(t, poll(), "it was meant for an instance that is not the primary any more")
	s.exec(`UPDATE commands SET instance_id = 'i-2', launcher = 'control-plane'`)
	require.Empty(t, poll(), "the control plane launches")
	s.call(s.acme, "GET", "/api/agents/nope/pending-commands", "").holds(t, 404, `{}`)
}

func TestHowACommandWent(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.command("cmd", "a2", "i-2", "agent")
	const path = "/api/agents/a2/commands/cmd/executed"

	s.call(s.acme, "POST", path, `{"success":"yes"}`).holds(t, 400, `{}`)
	s.call(s.acme, "POST", path, `{"message":{}}`).holds(t, 400, `{}`)
	s.call(s.acme, "POST", "/api/agents/a1/commands/cmd/executed", `{}`).holds(t, 404,
		`{"code":"switch.command_not_found"}`)
	s.call(s.acme, "POST", path, `{"success":false,"message":"Switch failed"}`).holds(t, 200, `{"success":true}`)
	nudge := activities.Nudge{OperationID: "switch/cmd", AgentID: "a2", Start: true, Launcher: agent.ByAgent}
	require.Equal(t, []activities.Nudge{nudge}, messages[activities.Nudge](s.wf))
	s.call(s.acme, "POST", path, `{"success":false}`).holds(t, 200, `{}`)
	require.Len(t, messages[activities.Nudge](s.wf), 1, "the same again is no news")
	s.call(s.acme, "POST", path, `{"success":true}`).holds(t, 409,
		`{"code":"switch.command_already_done","status":"failed"}`)
	require.Equal(t, "failed", s.value(`SELECT status FROM commands WHERE id = 'cmd'`))
}

// TestTheOldestProgramsSayOnlyThatItIsOver: whether it went well shows in the
// report that they send before.
func TestTheOldestProgramsSayOnlyThatItIsOver(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/agents/a2/mark-command-executed"
	s.command("lost", "a2", "i-2", "agent")

	s.call(s.acme, "POST", path, `{"command_id":"nope"}`).holds(t, 404, `{}`)
	s.call(s.acme, "POST", path, `{}`).holds(t, 400, `{}`)
	s.call(s.acme, "POST", path, `{"command_id":12}`).holds(t, 404, `{}`)
	s.call(s.acme, "POST", path, `{"command_id":"lost"}`).holds(t, 200, `{"success":true}`)
	require.Equal(t, "failed", s.value(`SELECT status FROM commands WHERE id = 'lost'`))
	s.command("won", "a2", "i-2", "agent")
	s.call(s.acme, "GET", "/api/agents/a2/pending-commands", "")
	s.call(s.acme, "POST", "/api/agents/a2/switch-report", report("i-2", "i-n")).holds(t, 200, `{}`)
	s.call(s.acme, "POST", path, `{"command_id":"won"}`).holds(t, 200, `{}`)
	s.call(s.acme, "POST", path, `{"command_id":"won"}`).holds(t, 200, `{}`)
	require.Equal(t, "completed", s.value(`SELECT status FROM commands WHERE id = 'won'`))
}

// report is what the current agent sends.
func report(from, to string) string {
	return `{"old_instance":{"instance_id":"` + from +
		`","instance_type":"t3.medium","region":"us-east-1","az":"us-east-1b","ami_id":"ami-1","mode":"spot","pool_id":"t3.medium.us-east-1b"},
		"new_instance":{"instance_id":"` + to +
		`","instance_type":"t3.medium","region":"us-east-1","az":"us-east-1c","ami_id":"ami-1","mode":"spot","pool_id":"t3.medium.us-east-1c"},
		"snapshot":{"used":false},"prices":{"on_demand":0.0416,"old_spot":0.0131,"new_spot":0.0119},
		"timing":{"switch_initiated_at":"2026-11-22T19:08:37.239689+00:00","new_instance_launched_at":"2026-11-22T19:08:40+00:00","new_instance_ready_at":"2026-11-22T19:09:14.864067Z","traffic_switched_at":"2026-11-22T19:09:16"},"trigger":"manual"}`
}

func TestASwitchReportIsKeptOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/agents/a2/switch-report"
	s.command("cmd", "a2", "i-2", "agent")
	s.call(s.acme, "GET", "/api/agents/a2/pending-commands", "")

	for range 2 {
		s.call(s.acme, "POST", path, report("i-2", "i-n")).holds(t, 200, `{"success":true}`)
	}
	require.Equal(t, []activities.Nudge{{
		OperationID: "switch/cmd",
		AgentID:     "a2",
		Start:       true,
		Launcher:    agent.ByAgent,
	}}, messages[activities.Nudge](s.wf), "once")
	require.Equal(t, "cmd i-2 i-n 0.001200 launching",
		s.value(`SELECT id || ' ' || old_id || ' ' || new_id || ' ' || savings_impact || ' ' || phase FROM switches`))
	require.Equal(t, "2026-11-22 19:08:37",
		s.value(`SELECT to_char(initiated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') FROM switches`))
	require.Equal(t, "1",
		s.value(`SELECT count(*)::text FROM notifications WHERE message = 'Instance switched: i-n - Saved $0.0012/hr'`))
	require.Equal(t, "primary", s.role("i-2"), "the switch decides, not the report")
}

func TestSwitchReportsInEverySpelling(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/agents/a2/switch-report"
	body := func(to, more string) string {
		return `{"old_instance":{"instance_id":"i-2","mode":"ondemand","pool_id":null},"new_instance":{"instance_id":"` + to + `","mode":"terminate"},` + more + `}`
	}

	s.call(s.acme, "POST", path,
		body(
			"i-a",
			`"pricing":{"on_demand":0.0416,"old_spot":null,"new_spot":0.0119},"timing":{"initiated_at":"2026-11-22 10:00:00","instance_launched_at":"2026-11-22 10:01:00","old_terminated_at":null}`,
		)).holds(t, 200, `{}`)
	require.Equal(t, "0.029700 done", s.value(`SELECT savings_impact || ' ' || phase FROM switches WHERE id = 'i-a'`),
		"nobody ordered it: the report is all there is")
	s.call(s.acme, "POST", path, body("i-x", `"prices":{"on_demand":0.0,"old_spot":0.0,"new_spot":0.0119}`)).holds(t,
		200, `{}`)
	require.Equal(t, "unknown",
		s.value(`SELECT coalesce(savings_impact::text, 'unknown') FROM switches WHERE id = 'i-x'`),
		"the oldest program says 0 for a price it did not find")
	s.call(s.acme, "POST", path, body("i-c", `"snapshot":{"used":true,"snapshot_id":"snap-1","volume_id":"vol-1"}`)).
		holds(t, 200, `{}`)
	require.Contains(t, s.value(`SELECT snapshot::text FROM switches WHERE id = 'i-c'`), "vol-1")

	for name, more := range map[string]string{
		"strings":  `"prices":{"old_spot":"0.1"}`,
		"negative": `"prices":{"old_spot":-1}`,
		"time":     `"timing":{"switch_initiated_at":"soon"}`,
		"trigger":  `"trigger":"twenty-one characters"`,
	} {
		require.Equal(t, 400, s.call(s.acme, "POST", path, body("i-d", more)).status, name)
	}
	s.call(s.acme, "POST", path, body("i-d", `"command_id":"nope"`)).holds(t, 404,
		`{"code":"switch.command_not_found"}`)
	s.call(s.acme, "POST", path, body("i-2", `"trigger":"x"`)).holds(t, 400, `{}`)
	s.call(s.acme, "POST", path, body("i-b", `"trigger":"x"`)).holds(t, 404,
		`{"code":"agent.instance_of_another_tenant"}`)
	require.Equal(t, "0", s.value(`SELECT count(*)::text FROM switches WHERE new_id IN ('i-d', 'i-b')`),
		"nothing is half-written")
}

// TestWhatAnAgentReportsWhileTemporalIsAwayIsNotLost: an agent reports once. The
// operation is open, by which the sweep starts the switch.
func TestWhatAnAgentReportsWhileTemporalIsAwayIsNotLost(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.command("cmd", "a2", "i-2", "agent")
	s.call(s.acme, "GET", "/api/agents/a2/pending-commands", "")

	s.wf.fails(workflows.Unreachable.New("away"))
	s.call(s.acme, "POST", "/api/agents/a2/switch-report", report("i-2", "i-n")).holds(t, 200, `{"success":true}`)
	require.Equal(t, "running", s.value(`SELECT state FROM operations WHERE id = 'switch/cmd' AND tend_at IS NOT NULL`))
	s.exec(`UPDATE operations SET state = 'failed', ended_at = now(), tend_at = NULL`)
	s.call(s.acme, "POST", "/api/agents/a2/commands/cmd/executed", `{"success":true}`).holds(t, 200, `{"success":true}`)
	require.Equal(t, "running", s.value(`SELECT state FROM operations WHERE id = 'switch/cmd' AND tend_at IS NOT NULL`))
}
