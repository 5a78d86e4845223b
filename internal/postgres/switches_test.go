package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/postgres"
)

func TestRecordPhase(t *testing.T) {
	t.Parallel()

	g := guard(t)
	s := &postgres.Switches{DB: g.db}
	g.exec(
		`
			INSERT INTO commands (id, client_id, agent_id, instance_id, launcher, target_mode, target_pool_id)
			VALUES ('c1', 'k1', 'a1', 'i-0', 'control-plane', 'spot', 't3.medium.us-east-1b')`,
	)
	g.exec(`INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at) VALUES
		('t3.medium.us-east-1a', 't3.medium', 'us-east-1', 'us-east-1a', 0.02, 'collector', now()),
		('t3.medium.us-east-1b', 't3.medium', 'us-east-1', 'us-east-1b', 0.012, 'collector', now())`)
	phase := func(p switching.Phase, newID string) {
		t.Helper()
		for range 2 {
			require.NoError(t, s.RecordPhase(t.Context(), activities.SwitchPhase{
				CommandID:   "c1",
				AgentID:     "a1",
				OperationID: "switch/c1",
				Phase:       p,
				Trigger:     "manual",
				OldID:       "i-0",
				NewID:       newID,
			}))
		}
	}
	phase(switching.Launching, "")
	require.Equal(t, "c1", g.set().OpenSwitch)
	successor := g.successor(replica.Switch, "c1", "i-1")
	phase(switching.Waiting, "i-1")
	phase(switching.CuttingOver, "i-1")
	_, err := g.ChangeRoles(t.Context(), change(g.set(), successor, roles.BySwitch, roles.RetireOld))
	require.NoError(t, err)
	require.NoError(t, s.CloseCommand(t.Context(), activities.CommandResult{CommandID: "c1", Status: "completed"}))
	phase(switching.Retiring, "i-1")
	require.Empty(t, g.set().OpenSwitch, "it has cut over")
	phase(switching.Waiting, "i-1")
	phase(switching.Abandoned, "i-1")
	phase(switching.Done, "i-1")
	phase(switching.Retiring, "i-1")
	require.Equal(t, "done i-0 i-1 spot t3.medium.us-east-1a t3.medium.us-east-1b 0.008000 switch/c1", one[string](
		g,
		`
			SELECT concat_ws(' ', phase, old_id, new_id, to_mode, from_pool, to_pool, savings_impact, operation_id)
			FROM switches
			WHERE launched_at IS NOT NULL AND ready_at IS NOT NULL AND cut_over_at IS NOT NULL AND ended_at IS NOT NULL`,
	))
	err = s.RecordPhase(t.Context(), activities.SwitchPhase{CommandID: "c9", AgentID: "a9", Phase: switching.Launching})
	require.Equal(t, agent.NotFound, fault.CodeOf(err))
}

func TestAnAbandonedSwitchIsOver(t *testing.T) {
	t.Parallel()

	g := guard(t)
	s := &postgres.Switches{DB: g.db}
	for _, p := range []switching.Phase{switching.Waiting, switching.Abandoned, switching.CuttingOver} {
		require.NoError(t, s.RecordPhase(t.Context(), activities.SwitchPhase{
			CommandID: "c1",
			AgentID:   "a1",
			Phase:     p,
			Code:      string(switching.NeverReady),
		}))
	}
	require.Equal(t, "abandoned switch.never_ready i-0",
		one[string](g, `SELECT concat_ws(' ', phase, error_code, old_id) FROM switches WHERE ended_at IS NOT NULL`))
	require.Empty(t, g.set().OpenSwitch)
}

func TestCloseCommand(t *testing.T) {
	t.Parallel()

	g := guard(t)
	s := &postgres.Switches{DB: g.db}
	for status, success := range map[string]string{"completed": "t", "failed": "f", "cancelled": ""} {
		g.exec(
			`
				INSERT INTO commands (id, client_id, agent_id, instance_id, launcher, target_mode)
				VALUES ($1, 'k1', 'a1', 'i-0', 'control-plane', 'ondemand')`,
			status,
		)
		require.NoError(t, s.CloseCommand(t.Context(), activities.CommandResult{
			CommandID: status,
			Status:    status,
			Message:   "because",
		}))
		require.NoError(t, s.CloseCommand(t.Context(), activities.CommandResult{
			CommandID: status,
			Status:    "cancelled",
			Message:   "too late",
		}))
		require.Equal(t, lines(status, "because", success),
			one[string](g, `SELECT concat_ws(' ', status, message, success) FROM commands WHERE id = $1`, status))
	}
	require.Equal(t, switching.NotFound,
		fault.CodeOf(s.CloseCommand(t.Context(), activities.CommandResult{CommandID: "c9", Status: "failed"})))
}
