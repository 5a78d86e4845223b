package postgres_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/sweeps"
)

// settled lets every agent have been where it is for ten days.
func (g *guarded) settled() {
	g.t.Helper()
	g.exec(
		`
			UPDATE instances
			SET installed_at = now() - interval '10 days', primary_since = now() - interval '10 days',
				last_seen_at = now()`,
	)
}

func toOnDemand(agentID string) switching.SwitchRequest {
	return switching.SwitchRequest{AgentID: agentID, Target: switching.Target{Mode: agent.OnDemand}, Voluntary: true}
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
	g.exec(
		`
			INSERT INTO switches (id, client_id, agent_id, phase)
			SELECT id, client_id, agent_id, 'retiring_old'
			FROM commands;
			UPDATE commands
			SET status = 'completed', executed_at = now()`,
	)
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
		{"a notice",
			`
				INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline)
				VALUES ('k1', 'a1', 'i-0', 'rebalance-recommendation', now() + interval '1 hour')`,
			`DELETE FROM notices`, engine.NoticeStands},
		{"another operation",
			`INSERT INTO operations (id, kind, client_id, agent_id) VALUES ('promotion/r', 'promotion', 'k1', 'a1')`,
			`DELETE FROM operations`, switching.Busy},
		{"the day's limit", `UPDATE agents SET max_switches_per_day = 0`,
			`UPDATE agents SET max_switches_per_day = 3`, switching.LimitReached},
		{"new in the pool", `UPDATE instances SET primary_since = now()`,
			`UPDATE instances SET primary_since = now() - interval '10 days'`, switching.CoolingDown},
	} {
		g.exec(tt.on)
		_, err := c.Order(t.Context(), toOnDemand("a1"))
		require.Equal(t, tt.code, fault.CodeOf(err), tt.name)
		g.exec(tt.off)
	}
	_, err := c.Order(t.Context(), toOnDemand("a1"))
	require.NoError(t, err)
}

// TestAnOrderOpensItsOperation holds that an order whose caller died is carried out: the
// sweep finds its operation and starts the switch.
func TestAnOrderOpensItsOperation(t *testing.T) {
	t.Parallel()

	g := guard(t)
	c, sweep := &postgres.Commands{DB: g.db}, &sweeps.OpenRows{DB: g.db}
	order := toOnDemand("a1")
	order.Voluntary, order.Reason = false, "cheaper"
	first, err := c.Order(t.Context(), order)
	require.NoError(t, err)
	require.Equal(t, "switch/"+first.ID+" switch running requested i-0 cheaper switch of a1", one[string](g,
		`SELECT concat_ws(' ', id, kind, state, phase, instance_id, cause, summary) FROM operations`))
	due, err := sweep.ClaimOperations(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, due, "its caller starts it")
	g.exec(`UPDATE operations SET tend_at = now()`)
	due, err = sweep.ClaimOperations(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.Equal(t, "switch/"+first.ID+" a1 control-plane", lines(due[0].ID, due[0].AgentID, due[0].Launcher))

	g.exec(`UPDATE commands SET created_at = now() - interval '1 day'`)
	_, err = c.Order(t.Context(), order)
	require.Equal(t, switching.Busy, fault.CodeOf(err), "however old: its switch ends it")
}

// TestAnOrderThatIsTakenBackClosesItsOperation: nothing is left for the sweep. One that
// has begun is left alone.
func TestAnOrderThatIsTakenBackClosesItsOperation(t *testing.T) {
	t.Parallel()

	g := guard(t)
	c := &postgres.Commands{DB: g.db}
	order := toOnDemand("a1")
	order.Voluntary = false
	first, err := c.Order(t.Context(), order)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, c.Cancel(t.Context(), first.ID, "another one is in flight"))
		require.Equal(t, "cancelled|another one is in flight|cancelled|t|t", one[string](
			g,
			`
				SELECT concat_ws('|', o.state, o.error, c.status, o.tend_at IS NULL, o.ended_at IS NOT NULL)
				FROM operations o
				JOIN commands c ON o.id = 'switch/' || c.id`,
		))
	}
	second, err := c.Order(t.Context(), order)
	require.NoError(t, err)
	g.exec(`INSERT INTO switches (id, client_id, agent_id) VALUES ($1, 'k1', 'a1')`, second.ID)
	require.NoError(t, c.Cancel(t.Context(), second.ID, "too late"))
	require.Equal(t, "running pending",
		one[string](
			g,
			`
				SELECT concat_ws(' ', o.state, c.status)
				FROM operations o, commands c
				WHERE c.id = $1 AND o.id = 'switch/' || c.id`,
			second.ID,
		))
}

// TestAWaitOfZeroEndsTheOldInstanceAtOnce where auto-terminate is on. What is ordered
// otherwise says so, because deployed agents read 0 as "keep".
func TestAWaitOfZeroEndsTheOldInstanceAtOnce(t *testing.T) {
	t.Parallel()

	keep := 0
	for name, c := range map[string]struct {
		auto    bool
		seconds int
		order   *int
		want    int
	}{
		"at once":                   {auto: true, want: 1},
		"after a while":             {auto: true, seconds: 420, want: 420},
		"kept by the agent":         {seconds: 420},
		"kept by the agent, wait 0": {},
		"kept by the order":         {auto: true, seconds: 420, order: &keep},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			g := guard(t)
			g.exec(`UPDATE agents SET auto_terminate_enabled = $1, terminate_wait_seconds = $2`, c.auto, c.seconds)
			order := toOnDemand("a1")
			order.Voluntary, order.TerminateWait = false, c.order
			got, err := (&postgres.Commands{DB: g.db}).Order(t.Context(), order)
			require.NoError(t, err)
			require.Equal(t, c.want, got.TerminateWait)
		})
	}
}

// TestAnOrderIsJudgedByWhatTheRegionOffers, also an order that names neither a type nor a pool: that
// one keeps the agent's type.
func TestAnOrderIsJudgedByWhatTheRegionOffers(t *testing.T) {
	t.Parallel()

	onDemand := func(instanceType string) switching.Target {
		return switching.Target{Mode: agent.OnDemand, InstanceType: instanceType}
	}
	for name, tt := range map[string]struct {
		target switching.Target
		types  []string // what EC2 offers in the region; none: its types are not known
		code   fault.Code
	}{
		"its own type":                        {target: onDemand(""), types: []string{"t3.medium", "t3.large"}},
		"its own type, types unknown":         {target: onDemand("")},
		"its own type, which is not offered":  {target: onDemand(""), types: []string{"t3.large"}},
		"a type that is offered":              {target: onDemand("t3.large"), types: []string{"t3.medium", "t3.large"}},
		"a type that is not":                  {target: onDemand("t9.huge"), types: []string{"t3.medium"}, code: switching.InvalidTarget},
		"a type of a region of unknown types": {target: onDemand("t9.huge")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			g := guard(t)
			g.exec(`
				INSERT INTO instance_types (region, name, vcpus, memory_mib, architectures, burstable, accelerators,
					local_gb, current, bare_metal)
				SELECT 'us-east-1', name, 2, 4096, ARRAY['x86_64'], true, 0, 0, true, false
				FROM unnest($1::text[]) name`, tt.types)
			_, err := (&postgres.Commands{DB: g.db}).Order(t.Context(), switching.SwitchRequest{AgentID: "a1", Target: tt.target})
			if tt.code == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, tt.code, fault.CodeOf(err), "%v", err)
		})
	}
}
