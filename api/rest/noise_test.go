package rest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestARegistrationThatComesAgainIsNoNews: an agent on a replaced instance registers every
// few seconds until the instance ends. What is the same is recorded once.
func TestARegistrationThatComesAgainIsNoNews(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for range 5 {
		s.register(s.acme, "web-1", "i-0", "us-east-1b")
		s.register(s.acme, "web-1", "i-1", "us-east-1a")
		s.register(s.acme, "new", "i-new", "us-east-1c")
	}
	require.Equal(t, "i-0 1, i-1 1, i-new 1", s.value(`
		SELECT string_agg(instance || ' ' || n, ', ' ORDER BY instance)
		FROM (
			SELECT metadata->>'instance_id' AS instance, count(*) AS n
			FROM events
			WHERE type = 'agent_registered'
			GROUP BY 1) x`))
	require.Equal(t, "1", s.value(`SELECT count(*)::text FROM notifications WHERE message LIKE '%registered%'`),
		"that of the new agent")
}

// TestExplainSaysThatAnAgentIsOffline before it explains what an instance does that may not
// run any more.
func TestExplainSaysThatAnAgentIsOffline(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.market(0.0300, 0.0131, 0.0119)
	first := func() string {
		got := s.call(s.acme, "GET", "/api/client/agents/a1/explain", "")
		require.Equal(t, 200, got.status, got.raw)
		return got.body["sentences"].([]any)[0].(string)
	}
	require.NotContains(t, first(), "offline")
	s.exec(`UPDATE agents SET status = 'offline', last_heartbeat_at = now() - interval '48 minutes' WHERE id = 'a1'`)
	require.Contains(t, first(), "The agent is offline: it was heard last 48m")
	s.exec(`UPDATE agents SET last_heartbeat_at = NULL WHERE id = 'a1'`)
	require.Contains(t, first(), "it was never heard")
}

// TestAnOperationSaysWhatItWaitsFor: in the list as on its page.
func TestAnOperationSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`
INSERT INTO operations (id, kind, client_id, agent_id, instance_id, phase, summary)
VALUES ('termination/a1/i-1', 'termination', 'c1', 'a1', 'i-1', 'looking_for_an_heir', 'AWS takes i-1');
INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, created_by, error_code, error,
	created_at, not_before, ended_at) VALUES
	('r1', 'c1', 'a1', 'termination', 'i-1', 'failed', 'control-plane', 'system', 'launch.no_capacity', 'none',
	now(), NULL, now()),
	('r2', 'c1', 'a1', 'termination', 'i-1', 'failed', 'control-plane', 'system', 'launch.misconfigured',
	'the image is gone.', now() + interval '1 second', NULL, now()),
	('r3', 'c1', 'a1', 'termination', 'i-1', 'requested', 'control-plane', 'system', NULL, NULL,
	now() + interval '2 seconds', '2100-01-01T12:31:02Z', NULL);`)
	const want = `{"tries":2,"error_message":null,"waits_for":"No replacement can be launched: the image is gone. It was tried 2 times, and is tried again at 12:31:02 UTC."}`
	s.call(s.acme, "GET", "/api/operations/termination%2Fa1%2Fi-1", "").holds(t, 200, want)
	got := s.call(s.acme, "GET", "/api/operations?kind=termination", "")
	require.Contains(t, got.raw, "It was tried 2 times")
	s.exec(`UPDATE operations SET state = 'succeeded', ended_at = now(), tend_at = NULL`)
	s.call(s.acme, "GET", "/api/operations/termination%2Fa1%2Fi-1", "").holds(t, 200, `{"waits_for":null}`)
	s.exec(`UPDATE operations SET state = 'running', ended_at = NULL, tend_at = now(), phase = 'not_taken',
		new_instance_id = 'i-9' WHERE id = 'termination/a1/i-1'`)
	s.call(s.acme, "GET", "/api/operations/termination%2Fa1%2Fi-1", "").holds(t, 200, `{"asks":"left_over",
		"waits_for":"AWS announced the end of i-1 and has not taken it. i-9 leads in its place, and both are paid. End the old one, or keep it."}`)
}
