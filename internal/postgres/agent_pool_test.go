package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/views"
)

// TestACommandNamesThePoolToLaunchIn holds that a replica which its agent launches has
// a pool from the decision on: an agent is shown none that lacks one, and would
// wait for ever.
func TestACommandNamesThePoolToLaunchIn(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		prepare []string
		exclude []string
		want    string
	}{
		"nothing is known":            {nil, nil, "t3.medium.us-east-1a"},
		"the cheapest of other zones": {[]string{pricesOf}, nil, "t3.medium.us-east-1c"},
		"not an excluded zone":        {[]string{pricesOf}, []string{"us-east-1c"}, "t3.medium.us-east-1b"},
		"not one that just failed": {
			[]string{pricesOf, `INSERT INTO pool_health (client_id, pool_id, mode, failures, retry_after)
			VALUES ('k1', 't3.medium.us-east-1c', 'spot', 1, now() + interval '5 minutes')`}, nil,
			"t3.medium.us-east-1b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard(t)
			g.exec(`UPDATE agents SET launcher = 'agent' WHERE id = 'a1'`)
			for _, sql := range c.prepare {
				g.exec(sql)
			}
			opened, err := g.OpenReplica(t.Context(), roles.ReplicaRequest{
				AgentID: "a1",
				Kind:    replica.Rebalance,
				For:     "i-0",
				Plan:    replica.Plan{Mode: agent.Spot, InstanceType: "t3.medium", ExcludeZones: c.exclude},
			})
			require.NoError(t, err)
			require.Equal(t, c.want, opened.Replica.PoolID)
			g.exec(`UPDATE operations SET phase = 'awaiting_agent'`)
			todo, err := (&views.Views{DB: g.db}).ReplicasToLaunch(t.Context(), "k1", "a1")
			require.NoError(t, err)
			require.Len(t, todo, 1)
			require.Equal(t, c.want, todo[0].PoolID)
		})
	}
}

// The control plane chooses when it launches, and a switch goes where it was
// ordered to.
func TestOnlyAnAgentGetsItsCommandAtTheDecision(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.exec(pricesOf)
	require.Empty(t, g.open(replica.Rebalance, "i-0").PoolID)
	g.exec(`UPDATE agents SET launcher = 'agent' WHERE id = 'a1'`)
	require.Empty(t, g.open(replica.Switch, "c1").PoolID)
}

const pricesOf = `INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at) VALUES
	('t3.medium.us-east-1a', 't3.medium', 'us-east-1', 'us-east-1a', 0.010, 'collector', now()),
	('t3.medium.us-east-1b', 't3.medium', 'us-east-1', 'us-east-1b', 0.012, 'collector', now()),
	('t3.medium.us-east-1c', 't3.medium', 'us-east-1', 'us-east-1c', 0.011, 'collector', now()),
	('t3.large.us-east-1c', 't3.large', 'us-east-1', 'us-east-1c', 0.001, 'collector', now())`
