package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
	"spotkeeper/internal/switching"
)

// TestASwitchThatNeverBeganIsSeen holds that an order whose replica is there is not
// forgotten when whoever was to start its workflow died, whatever became of the
// replica: the agent could never be moved again.
func TestASwitchThatNeverBeganIsSeen(t *testing.T) {
	t.Parallel()

	g := guard(t)
	desk, orders := &postgres.Notices{DB: g.db}, &postgres.Commands{DB: g.db}
	wait := 300
	c, err := orders.Order(t.Context(), switching.Order{AgentID: "a1", Target: switching.Target{Mode: agent.Spot, PoolID: "t3.medium.us-east-1b"},
		Priority: switching.PriorityManual, TerminateWait: &wait, Reason: "cheaper"})
	require.NoError(t, err)
	r := g.heir(replica.Switch, c.ID, "i-1")
	require.Empty(t, g.set().Switches, "its start is still on the way")

	g.exec(`UPDATE replicas SET created_at = created_at - interval '1 minute'`)
	want := []roles.Move{{CommandID: c.ID, ReplicaID: r.ID, OldID: "i-0", Priority: switching.PriorityManual, KeepOld: 5 * time.Minute, Reason: "cheaper",
		Target: switching.Target{Mode: agent.Spot, PoolID: "t3.medium.us-east-1b"}}}
	require.Equal(t, want, g.set().Switches)
	woken, err := desk.Unattended(t.Context(), time.Minute, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"a1"}, woken)

	g.exec(`UPDATE replicas SET state = 'failed', ended_at = now()`)
	require.Equal(t, want, g.set().Switches, "its command is open all the same")

	g.exec(`INSERT INTO operations (id, kind, client_id, agent_id) VALUES ('switch/' || $1, 'switch', 'k1', 'a1')`, c.ID)
	require.Empty(t, g.set().Switches, "its workflow has begun")
}

// TestAnOrderThatWasTakenBackIsNotTakenUp holds that a Guardian which hears late of
// an order does not carry out what its caller was told would not happen.
func TestAnOrderThatWasTakenBackIsNotTakenUp(t *testing.T) {
	t.Parallel()

	g := guard(t)
	orders := &postgres.Commands{DB: g.db}
	for range 20 { // whoever locks the agent first has the last word
		c, err := orders.Order(t.Context(), switching.Order{AgentID: "a1", Target: switching.Target{Mode: agent.OnDemand}, Priority: switching.PriorityManual})
		require.NoError(t, err)
		cancelled := make(chan error, 1)
		go func() {
			cancelled <- orders.Cancel(context.WithoutCancel(t.Context()), c.ID, "the server did not answer")
		}()
		_, err = g.OpenReplica(t.Context(), roles.Opening{AgentID: "a1", Kind: replica.Switch, For: c.ID})
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
	c, err := orders.Order(t.Context(), switching.Order{AgentID: "a1", Target: switching.Target{Mode: agent.OnDemand}, Priority: switching.PriorityManual})
	require.NoError(t, err)
	require.NoError(t, orders.Cancel(t.Context(), c.ID, "the server did not answer"))
	_, err = g.OpenReplica(t.Context(), roles.Opening{AgentID: "a1", Kind: replica.Switch, For: c.ID})
	require.Equal(t, switching.AlreadyDone, fault.CodeOf(err))
}
