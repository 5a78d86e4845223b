package postgres_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
)

// TestStandbysWaitForNotices is a storm: as many notices as make no storm yet
// wait for their Guardian, then one more.
func TestStandbysWaitForNotices(t *testing.T) {
	t.Parallel()

	g := guard(t)
	for i := range 5 {
		g.agent("k1", fmt.Sprintf("b%d", i), fmt.Sprintf("i-b%d", i))
	}
	notify := func(n int) {
		g.exec(`INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline)
			SELECT 'k1', 'a1', 'i-n' || n, 'termination-notice', now() + interval '2 minutes' FROM generate_series(1, $1::int) n`, n)
	}
	waits := func(agentID string, kind replica.Kind, request string) float64 {
		t.Helper()
		opened, err := g.OpenReplica(t.Context(), roles.Opening{AgentID: agentID, Kind: kind, For: "i-0", RequestID: request})
		require.NoError(t, err)
		r, open := opened.Set.Replica(opened.Replica.ID)
		require.True(t, open)
		require.Equal(t, opened.Replica.Wait > 0, r.Wait > 0)
		return opened.Replica.Wait.Seconds()
	}
	notify(roles.StormBacklog)
	require.Zero(t, waits("b0", replica.Manual, ""))
	g.exec(`DELETE FROM notices`)
	notify(roles.StormBacklog + 1)
	pause := roles.StormPause.Seconds()
	require.InDelta(t, 1.5*pause, waits("b1", replica.Manual, ""), 0.5*pause+30, "a slow machine may eat half a minute of it")
	require.Zero(t, waits("b2", replica.Manual, "somebody asked"))
	require.Zero(t, waits("b3", replica.Termination, ""))
	g.exec(`UPDATE notices SET delivered_at = now()`)
	require.Zero(t, waits("b4", replica.Manual, ""))
}
