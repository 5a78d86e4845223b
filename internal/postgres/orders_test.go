package postgres_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"spotkeeper/internal/agent"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/switching"
)

// settled lets every agent have been where it is for ten days.
func (g *guarded) settled() {
	g.t.Helper()
	g.exec(`UPDATE instances SET installed_at = now() - interval '10 days', primary_since = now() - interval '10 days', last_seen_at = now()`)
}

func toOnDemand(agentID string) switching.Order {
	return switching.Order{AgentID: agentID, Target: switching.Target{Mode: agent.OnDemand}, Voluntary: true}
}

// TestOrdersMadeAtOnceDoNotOvershoot: forty callers each order the move of another
// agent at the same time, as two processes and a retry would. Without the lock of
// fleet_limits each would count before the others' orders are there.
func TestOrdersMadeAtOnceDoNotOvershoot(t *testing.T) {
	t.Parallel()

	g := guard(t)
	for i := range 29 {
		g.agent("k1", fmt.Sprintf("k1-%d", i), fmt.Sprintf("i-k1-%d", i))
	}
	for i := range 20 {
		g.agent("k2", fmt.Sprintf("k2-%d", i), fmt.Sprintf("i-k2-%d", i))
	}
	g.settled()
	g.exec(`UPDATE fleet_limits SET max_moving_percent = 8`) // 4 of 50; k1 alone may move 3 of 30, k2 2 of 20
	var mu sync.Mutex
	refused := map[fault.Code]int{}
	var orders errgroup.Group
	for i := range 40 {
		id := fmt.Sprintf("k1-%d", i%20)
		if i%2 == 0 {
			id = fmt.Sprintf("k2-%d", i%20)
		}
		orders.Go(func() error {
			_, err := (&postgres.Commands{DB: g.db}).Order(t.Context(), toOnDemand(id))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				refused[fault.CodeOf(err)]++
				if fault.KindOf(err) != fault.Conflict {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, orders.Wait())
	require.Equal(t, 4, one[int](g, `SELECT count(*) FROM commands`), "%v", refused)
	require.LessOrEqual(t, one[int](g, `SELECT count(*) FROM commands WHERE client_id = 'k1'`), 3)
	require.LessOrEqual(t, one[int](g, `SELECT count(*) FROM commands WHERE client_id = 'k2'`), 2)
	require.Positive(t, refused[engine.FleetMoving]+refused[engine.ClientMoving])
}

func TestOneOfAClientsAgentsMayAlwaysMove(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.agent("k1", "a2", "i-2")
	g.settled()
	c := &postgres.Commands{DB: g.db}
	_, err := c.Order(t.Context(), toOnDemand("a1"))
	require.NoError(t, err)
	_, err = c.Order(t.Context(), toOnDemand("a2"))
	require.Equal(t, engine.ClientMoving, fault.CodeOf(err))
	g.exec(`INSERT INTO switches (id, client_id, agent_id, phase) SELECT id, client_id, agent_id, 'retiring_old' FROM commands; UPDATE commands SET status = 'completed', executed_at = now();
		INSERT INTO operations (id, kind, client_id, agent_id) SELECT 'switch/' || id, 'switch', client_id, agent_id FROM commands`)
	_, err = c.Order(t.Context(), toOnDemand("a2"))
	require.NoError(t, err, "the other has cut over: how long its old instance is kept is nobody's concern")
}

func TestAnOrderIsKnownByItsID(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.settled()
	c := &postgres.Commands{DB: g.db}
	order := toOnDemand("a1")
	order.ID = "once"
	first, err := c.Order(t.Context(), order)
	require.NoError(t, err)
	again, err := c.Order(t.Context(), order)
	require.NoError(t, err, "not busy with itself")
	require.Equal(t, first, again)
	require.NoError(t, c.Cancel(t.Context(), "once", "refused"))
	again, err = c.Order(t.Context(), order)
	require.NoError(t, err)
	require.Equal(t, "cancelled", again.Status)
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM commands`))
}

// TestVoluntaryOrdersAreJudgedAgain: what has changed since the decision counts.
func TestVoluntaryOrdersAreJudgedAgain(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.settled()
	c := &postgres.Commands{DB: g.db}
	for _, tt := range []struct {
		name, on, off string
		code          fault.Code
	}{
		{"disabled", `UPDATE agents SET enabled = false`, `UPDATE agents SET enabled = true`, agent.Disabled},
		{"auto mode off", `UPDATE agents SET keeping = 'off'`, `UPDATE agents SET keeping = 'auto'`, agent.AutoOff},
		{"a notice", `INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline) VALUES ('k1', 'a1', 'i-0', 'rebalance-recommendation', now() + interval '1 hour')`,
			`DELETE FROM notices`, engine.NoticeStands},
		{"another operation", `INSERT INTO operations (id, kind, client_id, agent_id) VALUES ('promotion/r', 'promotion', 'k1', 'a1')`, `DELETE FROM operations`, switching.Busy},
		{"the day's limit", `UPDATE agents SET max_switches_per_day = 0`, `UPDATE agents SET max_switches_per_day = 3`, switching.LimitReached},
		{"new in the pool", `UPDATE instances SET primary_since = now()`, `UPDATE instances SET primary_since = now() - interval '10 days'`, switching.CoolingDown},
	} {
		g.exec(tt.on)
		_, err := c.Order(t.Context(), toOnDemand("a1"))
		require.Equal(t, tt.code, fault.CodeOf(err), tt.name)
		g.exec(tt.off)
	}
	_, err := c.Order(t.Context(), toOnDemand("a1"))
	require.NoError(t, err)
}

// TestAnOrderThatLostItsCallerBlocksNobody: no workflow took it up, so after a
// while it is neither an operation nor a move.
func TestAnOrderThatLostItsCallerBlocksNobody(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.agent("k1", "a2", "i-2")
	g.settled()
	c := &postgres.Commands{DB: g.db}
	_, err := c.Order(t.Context(), toOnDemand("a1"))
	require.NoError(t, err)
	g.exec(`UPDATE commands SET created_at = now() - interval '3 minutes'`)
	_, err = c.Order(t.Context(), toOnDemand("a1"))
	require.NoError(t, err)
	require.Equal(t, "cancelled, pending", one[string](g, `SELECT string_agg(status, ', ' ORDER BY created_at) FROM commands`))
}
