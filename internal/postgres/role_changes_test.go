package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres"
)

func TestChangeRoles(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name        string
		cause       roles.Cause
		fate        roles.OldPrimaryPolicy
		keeping     agent.StandbyMode
		old         string // role, who ends it
		failover    bool
		demotedHold bool
	}{
		{"a failover leaves the old one to AWS", roles.ByTermination, roles.LeaveOld, agent.KeepAuto, "retiring aws",
			true, false},
		{"a switch retires it", roles.BySwitch, roles.RetireOld, agent.KeepAuto, "retiring us", false, false},
		{"or the agent does", roles.BySwitch, roles.LeaveOld, agent.KeepAuto, "retiring agent", false, false},
		{"or nobody", roles.BySwitch, roles.KeepOld, agent.KeepAuto, "retired nobody", false, false},
		{"a promotion makes it the standby", roles.ByPromotion, roles.DemoteOld, agent.KeepManual, "replica", false,
			false},
		{"outside manual mode as the way back, for a while", roles.ByPromotion, roles.DemoteOld, agent.KeepAuto,
			"replica", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := guard(t)
			g.exec(`UPDATE agents SET keeping = $1, failures = 3`, tt.keeping)
			successor := g.successor(replica.Manual, "i-0", "i-1")
			in := change(g.set(), successor, tt.cause, tt.fate)
			in.OperationID = "op"
			set, err := g.ChangeRoles(t.Context(), in)
			require.NoError(t, err)
			g.sound()
			require.Equal(t, "i-1", set.Primary.ID)
			require.EqualValues(t, 1, set.Epoch)
			require.Zero(t, set.Failures)
			require.Equal(t, tt.old,
				one[string](g, `SELECT trim(role || ' ' || terminate_by) FROM instances WHERE id = 'i-0'`))
			require.Equal(t, tt.failover,
				one[bool](g, `SELECT last_failover_at IS NOT NULL AND interruptions_handled = 1 FROM agents`))
			require.Equal(t, !tt.failover, one[bool](g, `SELECT last_switch_at IS NOT NULL FROM agents`))
			require.EqualValues(t, 1,
				one[int64](g, `SELECT epoch FROM instances WHERE id = 'i-1' AND primary_since IS NOT NULL`))
			if tt.fate == roles.DemoteOld {
				require.Len(t, set.Replicas, 1)
				old := set.Replicas[0]
				require.Equal(t, lines(replica.Manual, "i-1", replica.Ready, "i-0"),
					lines(old.Kind, old.For, old.State, old.InstanceID))
				require.Equal(t, tt.demotedHold, old.Hold > 0)
				require.Empty(t, set.Surplus())
			} else {
				require.Empty(t, set.Replicas)
			}

			again, err := g.ChangeRoles(t.Context(), in)
			require.NoError(t, err, "a change already made is success")
			require.Equal(t, set, again)
			require.Equal(t, 1, one[int](g,
				`SELECT count(*) FROM role_changes WHERE cause = $1 AND operation_id = 'op'`, tt.cause))
			require.Equal(t, 1, one[int](g, `SELECT count(*) FROM events WHERE type = 'primary_changed'`))
			require.Equal(t, 1, one[int](g, `SELECT count(*) FROM notifications WHERE client_id = 'k1'`))
		})
	}
}

func TestChangeRolesRefusesWhatIsNotSo(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name  string
		spoil func(g *guarded, in *roles.RoleChange)
		code  fault.Code
	}{
		{"an older epoch", func(_ *guarded, in *roles.RoleChange) { in.Epoch-- }, roles.StaleEpoch},
		{"a newer epoch", func(_ *guarded, in *roles.RoleChange) { in.Epoch++ }, roles.StaleEpoch},
		{"another old primary", func(_ *guarded, in *roles.RoleChange) { in.OldID = "i-1" }, roles.StaleEpoch},
		{"another instance of the replica", func(_ *guarded, in *roles.RoleChange) { in.NewID = "i-0" }, roles.StaleEpoch},
		{"a replica of nobody", func(_ *guarded, in *roles.RoleChange) { in.ReplicaID = "elsewhere" }, roles.StaleEpoch},
		{"a replica that was given up",
			func(g *guarded, in *roles.RoleChange) { g.advance(in.ReplicaID, replica.Retiring, "") }, roles.StaleEpoch},
		{"a replica that is still launching",
			func(g *guarded, in *roles.RoleChange) { g.exec(`UPDATE replicas SET state = 'launching'`) }, roles.StaleEpoch},
		{"an instance that is being ended", func(g *guarded, _ *roles.RoleChange) {
			g.exec(`UPDATE instances SET role = 'retiring' WHERE id = 'i-1'`)
		}, roles.StaleEpoch},
		{"an instance that has ended", func(g *guarded, _ *roles.RoleChange) {
			g.exec(`UPDATE instances SET terminated_at = now() WHERE id = 'i-1'`)
		}, roles.StaleEpoch},
		{"no place for the old one", func(g *guarded, in *roles.RoleChange) {
			in.Fate = roles.DemoteOld
			g.exec(`UPDATE replicas SET kind = 'rebalance'`)
			g.open(replica.Manual, "i-0")
		}, replica.AlreadyExists},
		{"an unknown agent", func(_ *guarded, in *roles.RoleChange) { in.AgentID = "a9" }, agent.NotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := guard(t)
			successor := g.successor(replica.Manual, "i-0", "i-1")
			in := change(g.set(), successor, roles.ByTermination, roles.LeaveOld)
			tt.spoil(g, &in)
			_, err := g.ChangeRoles(t.Context(), in)
			require.Equal(t, tt.code, fault.CodeOf(err), "%v", err)
			g.sound()
			require.Equal(t, "i-0", g.set().Primary.ID)
			require.Zero(t, g.set().Epoch)
			require.Zero(t, one[int](g, `SELECT count(*) FROM notifications`))
		})
	}
}

// TestTheIndexKeepsOnePrimary shows that not the statements alone hold invariant 1.
func TestTheIndexKeepsOnePrimary(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.successor(replica.Manual, "i-0", "i-1")
	_, err := g.db.Pool.Exec(t.Context(), `UPDATE instances SET role = 'primary' WHERE id = 'i-1'`)
	require.ErrorContains(t, err, "instances_one_primary_per_agent")
}

func TestAChangeClosesItsNotice(t *testing.T) {
	t.Parallel()

	g := guard(t)
	successor := g.successor(replica.Rebalance, "i-0", "i-1")
	g.noticed("i-0", interruption.Rebalance)
	g.noticed("i-0", interruption.Termination)
	in := change(g.set(), successor, roles.ByTermination, roles.LeaveOld)
	set, err := g.ChangeRoles(t.Context(), in)
	require.NoError(t, err)
	for _, kind := range []interruption.Kind{interruption.Termination, interruption.Rebalance} {
		o, found := set.Outcome("i-0", kind)
		require.True(t, found)
		require.Equal(t, lines(interruption.Promoted, successor.ID, "i-1"), lines(o.Result, o.ReplicaID, o.NewPrimary))
	}
	require.False(t, set.Unsettled())
}

// TestAChangeMadeByAnotherClosesTheNotice is a switch that was faster than the
// failover to the same replica.
func TestAChangeMadeByAnotherClosesTheNotice(t *testing.T) {
	t.Parallel()

	g := guard(t)
	successor := g.successor(replica.Switch, "c1", "i-1")
	g.noticed("i-0", interruption.Termination)
	set := g.set()
	_, err := g.ChangeRoles(t.Context(), change(set, successor, roles.BySwitch, roles.RetireOld))
	require.NoError(t, err)
	in := change(set, successor, roles.ByTermination, roles.LeaveOld)
	after, err := g.ChangeRoles(t.Context(), in)
	require.NoError(t, err)
	o, _ := after.Outcome("i-0", interruption.Termination)
	require.Equal(t, interruption.Promoted, o.Result)
	require.EqualValues(t, 1, after.Epoch)
	require.Equal(t, "retiring us",
		one[string](g, `SELECT role || ' ' || terminate_by FROM instances WHERE id = 'i-0'`))
}

func TestALateHeirMendsALostNotice(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.noticed("i-0", interruption.Termination)
	g.exec(`UPDATE notices SET deadline = now() - interval '1 second'`)
	notice := interruption.Notice{AgentID: "a1", InstanceID: "i-0", Kind: interruption.Termination}
	set, err := g.DecideNotice(t.Context(), activities.Decision{Notice: notice, Result: interruption.Lost})
	require.NoError(t, err)
	o, waits := set.Undecided()
	require.True(t, waits)
	require.True(t, o.Past)
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM notifications WHERE severity = 'critical'`))
	successor := g.successor(replica.Termination, "i-0", "i-1")
	set, err = g.ChangeRoles(t.Context(), change(g.set(), successor, roles.ByTermination, roles.LeaveOld))
	require.NoError(t, err)
	o, _ = set.Outcome("i-0", interruption.Termination)
	require.Equal(t, interruption.Promoted, o.Result)
}

// TestADemotedPrimaryComesBack goes there and back: an instance is a replica, a
// primary, a standby and the primary again.
func TestADemotedPrimaryComesBack(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.exec(`UPDATE agents SET keeping = 'manual'`)
	successor := g.successor(replica.Manual, "i-0", "i-1")
	for n := range 4 {
		set, err := g.ChangeRoles(t.Context(), change(g.set(), successor, roles.ByPromotion, roles.DemoteOld))
		require.NoError(t, err)
		require.EqualValues(t, n+1, set.Epoch)
		require.Len(t, set.Replicas, 1)
		require.False(t, set.Unsettled())
		successor = set.Replicas[0]
		g.sound()
	}
	require.Equal(t, "i-0", g.set().Primary.ID)
}

func TestNothingEndsAPrimary(t *testing.T) {
	t.Parallel()

	g := guard(t)
	launches := &postgres.Launches{DB: g.db}
	_, err := launches.MarkRetiring(t.Context(), "a1", "i-0")
	require.Equal(t, roles.IsPrimary, fault.CodeOf(err))
	require.NoError(t, launches.MarkRetired(t.Context(), "i-0"))
	require.Equal(t, "i-0", g.set().Primary.ID, "a primary is never marked")
	g.agent("k2", "b1", "i-b")
	_, err = launches.MarkRetiring(t.Context(), "a1", "i-b")
	require.Equal(t, agent.InstanceOfOtherTenant, fault.CodeOf(err))

	successor := g.successor(replica.Manual, "i-0", "i-1")
	for range 2 {
		ending, err := launches.MarkRetiring(t.Context(), "a1", "i-1")
		require.NoError(t, err)
		require.Equal(t, lines("k1", "us-east-1", false), lines(ending.Account.ClientID, ending.Region, ending.Ended))
	}
	_, err = g.ChangeRoles(t.Context(), change(g.set(), successor, roles.ByTermination, roles.LeaveOld))
	require.Equal(t, roles.StaleEpoch, fault.CodeOf(err), "and nothing that ends becomes one")
	require.NoError(t, launches.MarkRetired(t.Context(), "i-1"))
	ending, err := launches.MarkRetiring(t.Context(), "a1", "i-1")
	require.NoError(t, err)
	require.True(t, ending.Ended)
}
