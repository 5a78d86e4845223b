package rest_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHookResults: runs of hooks are lines of the notice's operation and events, once however
// often they are reported; one that failed is a notification, counted.
func TestHookResults(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`INSERT INTO operations (id, kind, client_id, agent_id, summary)
		VALUES ('termination/a2/i-2', 'termination', 'c1', 'a2', 'x'), ('termination/b1/i-b', 'termination', 'c2', 'b1', 'x')`)
	report := func(notice, operation string) string {
		return fmt.Sprintf(`{"instance_id":"i-2","notice_id":%q,"kind":"termination-notice","operation_id":%q,"hooks":[
			{"name":"notice/10-tell","attempt":1,"exit":0,"seconds":1.26,"ended_seconds_ago":30,"output":"fine"},
			{"name":"drain/10-stop","attempt":2,"exit":3,"seconds":2,"ended_seconds_ago":9e9,"output":"no such unit"},
			{"name":"drain/20-hangs","attempt":1,"exit":124,"seconds":9,"ended_seconds_ago":0}]}`, notice, operation)
	}
	const path = "/api/agents/a2/hook-results"
	for range 2 {
		s.call(s.acme, "POST", path, report("n-1", "")).holds(t, 200, `{"success":true}`)
	}
	require.Equal(t, "done hook notice/10-tell on i-2: it ended well after 1.3 s|"+
		"failed hook drain/10-stop on i-2: exit 3 after 2.0 s: no such unit|"+
		"failed hook drain/20-hangs on i-2: its time was over after 9.0 s", s.value(`
		SELECT string_agg(status || ' ' || name || ' ' || detail, '|' ORDER BY exit)
		FROM (SELECT *, CASE status WHEN 'done' THEN '0' ELSE name END AS exit FROM operation_steps) s`))
	require.Equal(t, "true", s.value(`
		SELECT bool_and(at BETWEEN now() - interval '25 hours' AND now())::text FROM operation_steps`))
	require.Equal(t, "3", s.value(`SELECT count(*)::text FROM events WHERE type = 'hook_ended'`))
	require.Equal(t, "2 1", s.value(`SELECT count(*) || ' ' || max(occurrences) FROM notifications WHERE dedup_key LIKE 'hook:%'`))
	s.call(s.acme, "GET", "/api/operations/termination%2Fa2%2Fi-2", "").holds(t, 200, `{"id":"termination/a2/i-2"}`)

	// Another notice: its operation is another agent's, so there are events alone.
	s.call(s.acme, "POST", path, report("n-2", "termination/b1/i-b")).holds(t, 200, `{"success":true}`)
	require.Equal(t, "3", s.value(`SELECT count(*)::text FROM operation_steps`))
	require.Equal(t, "6", s.value(`SELECT count(*)::text FROM events WHERE type = 'hook_ended'`))
	require.Equal(t, "2", s.value(`SELECT max(occurrences)::text FROM notifications WHERE dedup_key LIKE 'hook:%'`))

	s.call(s.acme, "POST", "/api/agents/b1/hook-results", report("n-3", "")).holds(t, 404, `{"code":"agent.not_found"}`)
	s.call(s.acme, "POST", path, `{"instance_id":"i-2","notice_id":"n","kind":"drain","hooks":[{"name":"x","attempt":1,"exit":999}]}`).
		holds(t, 400, `{}`)
}
