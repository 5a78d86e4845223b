package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/interruption"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
)

// TestAStormIsTold: as many notices as make none wait for their Guardian, then
// one more. What can wait is found when it is over, and not before.
func TestAStormIsTold(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.agent("k1", "b1", "i-b1")
	notify := func(n int) {
		g.exec(`INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline)
			SELECT 'k1', 'b1', 'i-n' || n, 'termination-notice', now() + interval '2 minutes' FROM generate_series(1, $1::int) n ON CONFLICT DO NOTHING`, n)
	}
	desk := &postgres.Notices{DB: g.db}
	unattended := func() []string {
		t.Helper()
		got, err := desk.Unattended(t.Context(), time.Minute, 10)
		require.NoError(t, err)
		g.exec(`UPDATE agents SET woken_at = NULL`)
		return got
	}
	notify(roles.StormBacklog)
	require.False(t, g.set().Storm)
	notify(roles.StormBacklog + 1)
	require.True(t, g.set().Storm)

	heir := g.heir(replica.Manual, "i-0", "i-1")
	in := change(g.set(), heir, roles.ByTermination, roles.Leave)
	in.Notice = &interruption.Notice{AgentID: "a1", InstanceID: "i-0", Kind: interruption.Termination, Deadline: time.Now().Add(2 * time.Minute)}
	after, err := g.ChangeRoles(t.Context(), in)
	require.NoError(t, err)
	require.True(t, after.Storm, "the one who changes the roles is told")
	require.Empty(t, unattended())
	g.exec(`UPDATE notices SET delivered_at = now() - interval '2 minutes' WHERE agent_id = 'a1'`)
	require.Empty(t, unattended(), "a failover without its aftercare waits while the storm lasts")
	g.exec(`UPDATE agents SET keeping = 'manual' WHERE id = 'a1'`)
	require.Empty(t, unattended(), "and so does a standby")

	g.exec(`UPDATE notices SET received_at = now() - interval '3 minutes' WHERE agent_id = 'b1'`)
	require.False(t, g.set().Storm, "who has waited for so long does not wait for his turn")
	require.Equal(t, []string{"a1"}, unattended())
	g.exec(`UPDATE agents SET keeping = 'auto' WHERE id = 'a1'`)
	require.Equal(t, []string{"a1"}, unattended(), "the aftercare")
	g.exec(`INSERT INTO operations (id, kind, client_id, agent_id, state) VALUES ('termination/a1/i-0', 'termination', 'k1', 'a1', 'running')`)
	require.Empty(t, unattended())
}
