package postgres_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/postgres"
)

// TestAnOrderThatWasTakenBackIsNotTakenUp: a Guardian that gets its signal late does not
// carry out an order whose caller got the answer that it would not happen.
func TestAnOrderThatWasTakenBackIsNotTakenUp(t *testing.T) {
	t.Parallel()

	g := guard(t)
	orders := &postgres.Commands{DB: g.db}
	for range 20 { // the first to lock the agent decides
		c, err := orders.Order(t.Context(), switching.SwitchRequest{
			AgentID:  "a1",
			Target:   switching.Target{Mode: agent.OnDemand},
			Priority: switching.PriorityManual,
		})
		require.NoError(t, err)
		cancelled := make(chan error, 1)
		go func() {
			cancelled <- orders.Cancel(context.WithoutCancel(t.Context()), c.ID, "the server did not answer")
		}()
		_, err = g.OpenReplica(t.Context(), roles.ReplicaRequest{AgentID: "a1", Kind: replica.Switch, For: c.ID})
		require.NoError(t, <-cancelled)
		status := one[string](g, `SELECT status FROM commands WHERE id = $1`, c.ID)
		if err == nil {
			require.Equal(t, "pending", status)
			g.exec(`UPDATE commands SET status = 'cancelled' WHERE id = $1`, c.ID)
			g.exec(`UPDATE replicas SET state = 'failed', ended_at = now() WHERE made_for = $1`, c.ID)
		} else {
			require.Equal(t, switching.AlreadyDone, fault.CodeOf(err))
			require.Equal(t, "cancelled", status)
		}
	}
	c, err := orders.Order(t.Context(), switching.SwitchRequest{
		AgentID:  "a1",
		Target:   switching.Target{Mode: agent.OnDemand},
		Priority: switching.PriorityManual,
	})
	require.NoError(t, err)
	require.NoError(t, orders.Cancel(t.Context(), c.ID, "the server did not answer"))
	_, err = g.OpenReplica(t.Context(), roles.ReplicaRequest{AgentID: "a1", Kind: replica.Switch, For: c.ID})
	require.Equal(t, switching.AlreadyDone, fault.CodeOf(err))
}
