package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// steps says where the time between a notice and its answer went. All clocks are
// this machine's: the caller's and Postgres's.
type steps struct{ arrived, changed, answered sample }

// follow reads the steps of one failover out of its rows.
func (s *steps) follow(b *testing.B, f *fleet, a agent, begun, answered time.Time) (changed time.Time) {
	b.Helper()
	var arrived time.Time
	require.NoError(b, f.db.QueryRow(b.Context(),
		`SELECT n.received_at, c.changed_at FROM notices n JOIN role_changes c ON c.agent_id = n.agent_id
		WHERE n.agent_id = $1 AND n.kind = 'termination-notice' ORDER BY c.epoch DESC LIMIT 1`, a.id).Scan(&arrived,
		&changed))
	s.arrived = append(s.arrived, arrived.Sub(begun))
	s.changed = append(s.changed, changed.Sub(arrived))
	s.answered = append(s.answered, answered.Sub(changed))
	return changed
}

func (s *steps) show(b *testing.B) {
	b.Helper()
	show(b, "  notice → its row", "%v", s.arrived)
	show(b, "  row → primary changed", "%v", s.changed)
	show(b, "  changed → HTTP answer", "%v", s.answered)
}
