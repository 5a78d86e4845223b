package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
)

func TestRemove(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.agent("k1", "a2", "i-2")
	g.exec(`UPDATE instances SET launched_by = 'agent' WHERE id = 'i-2'`)
	g.exec(
		`
			INSERT INTO commands (id, client_id, agent_id, instance_id, launcher, target_mode)
			VALUES ('c1', 'k1', 'a1', 'i-0', 'control-plane', 'ondemand')`,
	)
	g.exec(
		`
		INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, launched_by,
			terminate_by, terminated_at) VALUES
		('i-kept', 'k1', 'a1', 'retired', 't', 'r', 'z', 't.z', 'control-plane', 'nobody', NULL),
		('i-taken', 'k1', 'a1', 'retiring', 't', 'r', 'z', 't.z', 'control-plane', 'aws', NULL),
		('i-old', 'k1', 'a1', 'retired', 't', 'r', 'z', 't.z', 'control-plane', 'us', now()),
		('i-theirs', 'k1', 'a1', 'retired', 't', 'r', 'z', 't.z', 'agent', 'nobody', NULL)`,
	)
	ready, requested := g.successor(replica.Manual, "i-0", "i-1"), g.open(replica.Switch, "c1")
	g.noticed("i-0", interruption.Termination)
	for range 2 {
		got, err := g.Remove(t.Context(), "a1", "ops")
		require.NoError(t, err)
		require.Equal(t, []string{ready.ID, requested.ID}, got.Replicas)
		require.Equal(t, []string{"i-0", "i-kept", "i-taken"}, got.Instances,
			"the replica's own workflow ends its instance")
		require.True(t, got.Set.Deleted)
		require.Empty(t, got.Set.Primary.ID)
		require.False(t, got.Set.Unsettled())
	}
	require.Equal(t, "cancelled", one[string](g, `SELECT status FROM commands`))
	require.Equal(t, "i-0 deleted",
		one[string](
			g,
			`
				SELECT string_agg((metadata->'before'->'primary'->>'id') || ' ' || (metadata->'after'->>'status'), ', ')
				FROM events
				WHERE type = 'agent_deleted' AND actor = 'ops'`,
		))
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM notifications WHERE message = 'Agent a1 has been deleted'`))

	require.True(t, g.advance(ready.ID, replica.Retired, ""))
	got, err := g.Remove(t.Context(), "a1", "ops")
	require.NoError(t, err)
	require.Equal(t, []string{requested.ID}, got.Replicas, "what is still left")

	theirs, err := g.Remove(t.Context(), "a2", "")
	require.NoError(t, err)
	require.Equal(t, &activities.Removed{
		Set:       theirs.Set,
		Replicas:  []string{},
		Instances: []string{},
	}, theirs, "the tenant's own instance is left alone")
	require.Equal(t, "retired nobody",
		one[string](g, `SELECT role || ' ' || terminate_by FROM instances WHERE id = 'i-2' AND terminated_at IS NULL`))
	_, err = g.Remove(t.Context(), "a9", "")
	require.Equal(t, agent.NotFound, fault.CodeOf(err))
	g.sound()
}
