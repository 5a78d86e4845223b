package postgres_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/views"
)

// row reads a replica's row.
func (g *guarded) row(id string) *roles.ReplicaRow {
	g.t.Helper()
	out, err := g.LoadReplica(g.t.Context(), id)
	require.NoError(g.t, err)
	return out
}

// attempt is a launch of the replica in a pool that led to an instance.
func (g *guarded) attempt(replicaID, zone, instanceID string) {
	g.t.Helper()
	s := &postgres.Launches{DB: g.db}
	token := replicaID + zone
	frozen := activities.FrozenLaunch{Token: token, Request: json.RawMessage(`{}`)}
	_, err := s.FreezeLaunch(g.t.Context(), replicaID, in(zone, agent.Spot), frozen)
	require.NoError(g.t, err)
	require.NoError(g.t, s.EndLaunch(g.t.Context(), token, activities.LaunchEnd{InstanceID: instanceID}))
}

func TestLoadReplica(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.exec(`UPDATE agents SET logical_agent_id = 'web-1', epoch = 4, launcher = 'agent'`)
	opened, err := g.OpenReplica(t.Context(), roles.ReplicaRequest{AgentID: "a1", Kind: replica.Rebalance, For: "i-0",
		Hold: time.Hour, NotBefore: time.Minute, Launcher: agent.ControlPlane})
	require.NoError(t, err)
	id := opened.Replica.ID

	row := g.row(id)
	require.InDelta(t, time.Minute, row.Replica.Wait, float64(10*time.Second), "the back-off is in the row")
	row.Replica.Wait = 0
	require.Equal(t, &roles.ReplicaRow{
		AgentID:   "a1",
		ClientID:  "k1",
		LogicalID: "web-1",
		Epoch:     4,
		Launcher:  agent.ByAgent,
		Mode:      agent.Spot,
		PrimaryID: "i-0",
		Replica: roles.Replica{ID: id, Kind: replica.Rebalance, For: "i-0", State: replica.Requested,
			Launcher: agent.ControlPlane, Hold: time.Hour},
	}, row)

	g.attempt(id, "us-east-1b", "i-1")
	row = g.row(id)
	launch := &roles.Launch{InstanceID: "i-1", PoolID: "t3.medium.us-east-1b", Mode: agent.Spot}
	require.Equal(t, launch, row.Launch, "the replica's row has it later")
	require.Equal(t, lines("i-1", "i-1", ""), lines(row.InstanceID(), row.Remains, row.Replica.InstanceID))

	g.advance(id, replica.Ready, "i-1")
	row = g.row(id)
	require.InDelta(t, time.Hour, row.HoldLeft, float64(10*time.Second))
	require.False(t, row.Replica.Expired)
	g.exec(`UPDATE replicas SET hold_until = now() - interval '1 second'`)
	row = g.row(id)
	require.Zero(t, row.HoldLeft)
	require.True(t, row.Replica.Expired)

	require.False(t, row.Noticed)
	g.exec(`INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline, received_at)
		VALUES ('k1', 'a1', 'i-0', 'termination-notice', now(), now() - interval '1 minute'),
		('k1', 'a1', 'i-x', 'termination-notice', now(), now())`)
	for result, noticed := range map[string]bool{"": true, "lost": true, "stood_down": false} {
		g.exec(`UPDATE notices SET result = $1 WHERE instance_id = 'i-0'`, result)
		row = g.row(id)
		require.Equal(t, noticed, row.Noticed, result)
		if noticed {
			require.InDelta(t, time.Minute, row.NoticeAge, float64(10*time.Second))
		}
	}

	ok, err := g.Advance(t.Context(), roles.ReplicaTransition{
		ReplicaID: id,
		To:        replica.Failed,
		ErrorCode: replica.InstanceGone,
		Error:     "it stopped",
	})
	require.NoError(t, err)
	require.True(t, ok)
	row = g.row(id)
	require.Equal(t, lines(replica.Failed, replica.InstanceGone, "it stopped", "i-1"),
		lines(row.Replica.State, row.ErrorCode, row.Error, row.Remains))
	require.NoError(t, (&postgres.Launches{DB: g.db}).MarkRetired(t.Context(), "i-1"))
	require.Empty(t, g.row(id).Remains, "it has ended")

	_, err = g.LoadReplica(t.Context(), "r9")
	require.Equal(t, replica.NotFound, fault.CodeOf(err))
}

// TestOnlyWhatIsTheReplicasAloneRemains keeps a workflow that begins late from ending an
// instance that plays another part by then.
func TestOnlyWhatIsTheReplicasAloneRemains(t *testing.T) {
	t.Parallel()

	g := guard(t)
	r := g.successor(replica.Manual, "i-0", "i-1")
	require.Equal(t, "i-1", g.row(r.ID).Remains)
	_, err := g.ChangeRoles(t.Context(), change(g.set(), r, roles.ByPromotion, roles.DemoteOld))
	require.NoError(t, err)
	require.Empty(t, g.row(r.ID).Remains, "it is the primary")
	require.Equal(t, replica.Promoted, g.row(r.ID).Replica.State)

	demoted := g.set().Replicas[0]
	_, err = g.ChangeRoles(t.Context(), change(g.set(), demoted, roles.ByPromotion, roles.DemoteOld))
	require.NoError(t, err)
	require.Empty(t, g.row(r.ID).Remains, "it is the standby of a later replica")
	g.exec(`UPDATE instances SET role = 'retiring', terminate_by = 'aws' WHERE id = 'i-1'`)
	require.Empty(t, g.row(g.set().Replicas[0].ID).Remains, "AWS ends it")
}

// TestReplaceInstance is the instance that was born dead: the same replica launches in
// another pool, and still has one living instance at most.
func TestReplaceInstance(t *testing.T) {
	t.Parallel()

	g := guard(t)
	s := &postgres.Launches{DB: g.db}
	r := g.open(replica.Termination, "i-0")
	g.attempt(r.ID, "us-east-1b", "i-1")
	require.True(t, g.advance(r.ID, replica.Launching, "i-1"))
	replace := func(instanceID string) bool {
		t.Helper()
		ok, err := g.ReplaceInstance(t.Context(), roles.Replacement{
			ReplicaID:  r.ID,
			InstanceID: instanceID,
			Reason:     "Server.InternalError",
		})
		require.NoError(t, err)
		return ok
	}
	require.False(t, replace("i-other"), "it lives on another one")
	for range 2 {
		require.True(t, replace("i-1"))
		require.Equal(t, "failed i-1 launch.instance_gone Server.InternalError",
			one[string](g, `SELECT concat_ws(' ', state, instance_id, error_code, error) FROM launches`))
		require.Equal(t, "retired",
			one[string](g, `SELECT role FROM instances WHERE id = 'i-1' AND terminated_at IS NOT NULL`))
		row := g.row(r.ID)
		require.Equal(t, lines(replica.Launching, "", "", true),
			lines(row.Replica.State, row.InstanceID(), row.Remains, row.Launch == nil))
	}
	g.attempt(r.ID, "us-east-1c", "i-2")
	frozen := activities.FrozenLaunch{Token: "t-d", Request: json.RawMessage(`{}`)}
	_, err := s.FreezeLaunch(t.Context(), r.ID, in("us-east-1d", agent.Spot), frozen)
	require.NoError(t, err)
	err = s.EndLaunch(t.Context(), "t-d", activities.LaunchEnd{InstanceID: "i-3"})
	require.Equal(t, replica.AlreadyExists, fault.CodeOf(err), "one living instance")
	require.True(t, g.advance(r.ID, replica.Launching, "i-2"))
	require.False(t, replace("i-1"), "a second call takes no later instance away")
	require.Equal(t, "i-2", g.row(r.ID).InstanceID())
	require.Equal(t, "t3.medium.us-east-1b", g.set().Replicas[0].PoolID, "as the step said")

	require.True(t, g.advance(r.ID, replica.Running, "i-2"))
	require.False(t, replace("i-2"), "it has run")
	require.True(t, g.advance(r.ID, replica.Retiring, ""))
	require.False(t, replace("i-2"), "it is over")
	require.Equal(t, "replica", one[string](g, `SELECT role FROM instances WHERE id = 'i-2'`))
	_, err = g.ReplaceInstance(t.Context(), roles.Replacement{ReplicaID: "r9"})
	require.Equal(t, replica.NotFound, fault.CodeOf(err))
}

// TestReplaceAnUnseenInstance: an instance that EC2 does not show has not ended, so its row keeps its
// part until it does, and the replica may take it back.
func TestReplaceAnUnseenInstance(t *testing.T) {
	t.Parallel()

	g := guard(t)
	r := g.open(replica.Termination, "i-0")
	g.attempt(r.ID, "us-east-1b", "i-1")
	require.True(t, g.advance(r.ID, replica.Launching, "i-1"))
	for range 2 {
		ok, err := g.ReplaceInstance(t.Context(), roles.Replacement{ReplicaID: r.ID, InstanceID: "i-1", Reason: "not shown", Unseen: true})
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "failed i-1 launch.unseen not shown",
			one[string](g, `SELECT concat_ws(' ', state, instance_id, error_code, error) FROM launches`))
		require.Equal(t, "replica launched", one[string](g, `SELECT role || ' ' || proof FROM instances WHERE id = 'i-1' AND terminated_at IS NULL`))
		require.Empty(t, g.row(r.ID).InstanceID())
	}
	require.True(t, g.advance(r.ID, replica.Launching, "i-1"))
	require.True(t, g.advance(r.ID, replica.Running, "i-1"))
	require.Equal(t, "i-1", g.row(r.ID).InstanceID())
	require.Equal(t, "i-1", g.row(r.ID).Remains, "it is ended with the replica")
}

func TestTakeOverLaunch(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.exec(`UPDATE agents SET launcher = 'agent'`)
	take := func(id string) bool {
		t.Helper()
		ok, err := g.TakeOverLaunch(t.Context(), id)
		require.NoError(t, err)
		return ok
	}
	r := g.open(replica.Termination, "i-0")
	views := &views.Views{DB: g.db}
	g.exec(`UPDATE operations SET phase = 'awaiting_agent'`)
	offered, err := views.ReplicasToLaunch(t.Context(), "k1", "a1")
	require.NoError(t, err)
	require.Len(t, offered, 1)
	for range 2 {
		require.True(t, take(r.ID))
	}
	require.Equal(t, agent.ControlPlane, g.row(r.ID).Replica.Launcher)
	require.Equal(t, agent.ByAgent, g.row(r.ID).Launcher, "the next replica is the agent's again")
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM events WHERE type = 'replica_launch_taken_over'`))
	offered, err = views.ReplicasToLaunch(t.Context(), "k1", "a1")
	require.NoError(t, err)
	require.Empty(t, offered, "the agent is not asked any more")

	named := g.open(replica.Manual, "i-0")
	require.True(t, g.advance(named.ID, replica.Running, "i-named"))
	require.False(t, take(named.ID), "the agent was faster")
	require.Equal(t, agent.ByAgent, g.row(named.ID).Replica.Launcher)
	require.True(t, g.advance(r.ID, replica.Retiring, ""))
	require.False(t, take(r.ID), "it is over")
	_, err = g.TakeOverLaunch(t.Context(), "r9")
	require.Equal(t, replica.NotFound, fault.CodeOf(err))
}
