package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres/metrics"
)

// TestALossDoesNotAge: an agent whose primary was taken without a successor stays in the
// gauges, however long ago that was, until it runs on another instance or sends a
// heartbeat again.
func TestALossDoesNotAge(t *testing.T) {
	t.Parallel()

	read := func(g *guarded) string {
		v, err := metrics.ReadGauges(t.Context(), g.db)
		require.NoError(t, err)
		return lines(v.UndecidedNotices, v.LostNotices, v.AgentsWithoutOne)
	}
	const lost = `
		INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline, received_at, delivered_at, result,
			decided_at)
		VALUES ('k1', 'a1', 'i-0', 'termination-notice',
			now() - interval '3 days', now() - interval '3 days', now() - interval '3 days', 'lost',
			now() - interval '3 days')`
	for name, c := range map[string]struct {
		then string
		want string
	}{
		"nothing happens":           {`UPDATE agents SET status = 'offline'`, lines(1, 1, 1)},
		"the last word came before": {`UPDATE instances SET last_seen_at = now() - interval '4 days'`, lines(1, 1, 1)},
		"its primary is heard of":   {`UPDATE instances SET last_seen_at = now()`, lines(0, 0, 0)},
		"its primary was heard of for a time": {`UPDATE agents SET status = 'offline';
			UPDATE instances SET last_seen_at = now() - interval '2 days'`, lines(1, 1, 1)},
		"it lives on another instance": {`UPDATE instances SET role = 'retired', terminated_at = now();
			INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id)
				VALUES ('i-1', 'k1', 'a1', 'primary', 't', 'r', 'z', 'p')`, lines(0, 0, 0)},
		"it is removed": {`UPDATE agents SET status = 'deleted'`, lines(0, 0, 0)},
		"it was lost a moment ago": {`UPDATE instances SET last_seen_at = now();
			UPDATE notices SET decided_at = now() - interval '1 minute'`, lines(0, 1, 0)},
		"its owner has switched it off": {`UPDATE agents SET enabled = false`, lines(1, 0, 0)},
		"the notice waits for its heir": {`UPDATE notices SET result = '', decided_at = NULL`, lines(1, 0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard(t)
			g.exec(lost)
			_, err := g.db.Pool.Exec(t.Context(), c.then)
			require.NoError(t, err)
			require.Equal(t, c.want, read(g))
		})
	}
}
