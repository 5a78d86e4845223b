package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"spotkeeper/workflows"
)

// steps says where the time between a notice and its answer went. All clocks are
// this machine's: the caller's, Postgres's and the Temporal server's.
type steps struct{ noted, started, given, changed, done, answered sample }

// follow reads the steps of one failover out of its rows and its Guardian's
// history. The Guardian that answered is still the newest of its id.
func (s *steps) follow(b *testing.B, f *fleet, c client.Client, a agent, begun, answered time.Time) {
	b.Helper()
	var noted, changed time.Time
	require.NoError(b, f.db.QueryRow(b.Context(), `SELECT n.received_at, c.changed_at FROM notices n JOIN role_changes c ON c.agent_id = n.agent_id
		WHERE n.agent_id = $1 AND n.kind = 'termination-notice' ORDER BY c.epoch DESC LIMIT 1`, a.id).Scan(&noted, &changed))
	at := map[enums.EventType]time.Time{}
	history := c.GetWorkflowHistory(b.Context(), workflows.GuardianID(a.id), "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		require.NoError(b, err)
		if _, later := at[event.EventType]; !later {
			at[event.EventType] = event.EventTime.AsTime()
		}
	}
	started, given, done := at[enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED], at[enums.EVENT_TYPE_WORKFLOW_TASK_STARTED], at[enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]
	s.noted = append(s.noted, noted.Sub(begun))
	s.started = append(s.started, started.Sub(noted))
	s.given = append(s.given, given.Sub(started))
	s.changed = append(s.changed, changed.Sub(given))
	s.done = append(s.done, done.Sub(changed))
	s.answered = append(s.answered, answered.Sub(done))
}

func (s *steps) show(b *testing.B) {
	b.Helper()
	show(b, "  notice → its row", "%v", s.noted)
	show(b, "  row → Guardian started", "%v", s.started)
	show(b, "  started → a worker has the task", "%v", s.given)
	show(b, "  task → primary changed", "%v", s.changed)
	show(b, "  changed → task completed", "%v", s.done)
	show(b, "  completed → HTTP answer", "%v", s.answered)
}
