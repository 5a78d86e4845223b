package app

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/preflight"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/postgres"
)

// TestPlacementScoresRankPools: a zone in which EC2 expects a launch to fail comes behind the
// others. A role that may not ask is not asked again that hour, and the preflight says so.
func TestPlacementScoresRankPools(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	m := f.join("web", f.machine())
	f.collect()
	_, err := f.sim.SetCapacity(t.Context(), client.Capacity{Pool: "*.us-east-1b", Market: client.Spot, Limit: 0})
	require.NoError(t, err)
	opened, err := (&postgres.Roles{DB: f.DB}).OpenReplica(t.Context(), roles.ReplicaRequest{
		AgentID: m.id, Kind: replica.Termination, For: m.at})
	require.NoError(t, err)
	zones := func() (out []string) {
		plan, facts, err := (&postgres.Launches{DB: f.DB}).Choice(t.Context(), m.id, opened.Replica.ID)
		require.NoError(t, err)
		for _, c := range replica.Choose(plan, facts) {
			if c.Mode == agent.Spot && !slices.Contains(out, c.AZ) {
				out = append(out, c.AZ)
			}
		}
		return out
	}
	asked := func() int64 {
		counts, err := f.sim.Counts(t.Context())
		require.NoError(t, err)
		return counts.Calls["GetSpotPlacementScores"]
	}
	_, err = f.DB.Pool.Exec(t.Context(), `UPDATE pool_prices SET price = 0.001 WHERE az = 'us-east-1b'`)
	require.NoError(t, err)
	require.Equal(t, "us-east-1b", zones()[0], "the cheapest")

	n, err := f.scores().ReadDue(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []string{"1"},
		f.list(`SELECT score::text FROM placement_scores WHERE instance_type = 'm5.large' AND az = 'us-east-1b'`))
	require.NotEqual(t, "us-east-1b", zones()[0], "EC2 expects a launch there to fail")
	n, err = f.scores().ReadDue(t.Context(), 10)
	require.NoError(t, err)
	require.Zero(t, n, "once an hour")

	_, err = f.DB.Pool.Exec(t.Context(), `UPDATE placement_score_reads SET read_at = now() - interval '2 hours'`)
	require.NoError(t, err)
	f.fault(client.Fault{Action: "GetSpotPlacementScores", Code: "UnauthorizedOperation", Message: encoded})
	before := asked()
	for range 3 {
		_, err = f.scores().ReadDue(t.Context(), 10)
		require.NoError(t, err)
	}
	require.LessOrEqual(t, asked()-before, int64(2), "once, and once more with a new session")
	require.Equal(t, "us-east-1b", zones()[0], "what was read before counts no more")
	var report preflight.Report
	f.call("GET", "/api/client/agents/"+m.id+"/preflight?run=true", nil, &report)
	require.Contains(t, f.log.String(), "ec2:GetSpotPlacementScores")
	require.NotEqual(t, preflight.Failed, report.Result)
}
