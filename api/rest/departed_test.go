package rest_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// left makes instances that a2 left, each to be ended by another.
func (s *stack) left() {
	s.t.Helper()
	s.exec(`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, terminate_by,
			retiring_since, last_seen_at)
		SELECT 'i-old-' || who, 'c1', 'a2', 'retiring', 't3.medium', 'us-east-1', 'us-east-1c', 't3.medium.us-east-1c',
			who, now(), now()
		FROM unnest(ARRAY['agent', 'aws', 'nobody', 'us']) who`)
}

// active are the client's instances that its page shows as active.
func (s *stack) active() []string {
	s.t.Helper()
	out := []string{}
	for _, x := range s.call(s.acme, "GET", "/api/client/c1/instances", "").list {
		if one := x.(map[string]any); one["isActive"] == true {
			out = append(out, one["id"].(string))
		}
	}
	return out
}

// TestWhatACleanupReportNamesHasEnded: instances that an agent reports as terminated are no
// longer active, unless they are another agent's, in use, or the control plane's to end.
func TestWhatACleanupReportNamesHasEnded(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.left()
	require.ElementsMatch(t, []string{"i-1", "i-2", "i-old-agent", "i-old-aws", "i-old-nobody", "i-old-us"}, s.active())

	const body = `{"instances":{"deleted":["i-old-agent","i-old-aws","i-old-nobody","i-old-us","i-1","i-2","i-b","i-none",7]}}`
	s.call(s.acme, "POST", "/api/agents/a1/cleanup-report", body).holds(t, 200, `{"success":true}`)
	require.Len(t, s.active(), 6, "they are another agent's")
	s.call(s.acme, "POST", "/api/agents/a2/cleanup-report", body).holds(t, 200, `{"success":true}`)
	require.ElementsMatch(t, []string{"i-1", "i-2", "i-old-us"}, s.active())
	require.Equal(t, "primary", s.role("i-b"))
}

// TestASwitchReportThatNamesTheEnd retires the old instance when it is retiring;
// one that is the primary still is left to its switch.
func TestASwitchReportThatNamesTheEnd(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.left()
	report := func(old, next string) {
		body := fmt.Sprintf(`{"old_instance":{"instance_id":%q},"new_instance":{"instance_id":%q},
			"timing":{"switch_initiated_at":"2026-11-22T10:00:00Z","old_instance_terminated_at":"2026-11-22T10:05:00Z"}}`, old, next)
		s.call(s.acme, "POST", "/api/agents/a2/switch-report", body).holds(t, 200, `{"success":true}`)
	}

	report("i-old-agent", "i-x")
	require.ElementsMatch(t, []string{"i-1", "i-2", "i-old-aws", "i-old-nobody", "i-old-us"}, s.active())
	report("i-2", "i-y")
	require.Equal(t, "primary", s.role("i-2"))
}
