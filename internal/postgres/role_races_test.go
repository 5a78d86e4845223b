package postgres_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/agents"
)

// TestOneOfTwoChangesWins is invariant 1: however many try, the epoch admits one.
func TestOneOfTwoChangesWins(t *testing.T) {
	t.Parallel()

	g := guard(t)
	first, second := g.successor(replica.Manual, "i-0", "i-1"), g.successor(replica.Switch, "c1", "i-2")
	set := g.set()
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			successor, cause := first, roles.ByTermination
			if i%2 == 1 {
				successor, cause = second, roles.BySwitch
			}
			_, errs[i] = g.ChangeRoles(t.Context(), change(set, successor, cause, roles.LeaveOld))
		})
	}
	wg.Wait()
	var won [2]int
	for i, err := range errs {
		if err == nil {
			won[i%2]++
			continue
		}
		require.True(t, fault.Is(err, roles.StaleEpoch), "%v", err)
	}
	require.True(t, won == [2]int{4, 0} || won == [2]int{0, 4}, "one successor won for all who asked for it: %v", won)
	g.sound()
	require.EqualValues(t, 1, g.set().Epoch)
}

// TestEndingAndPromotingAtOnce is invariant 4 in a race: of the same instance
// either the end or the promotion is refused.
func TestEndingAndPromotingAtOnce(t *testing.T) {
	t.Parallel()

	g := guard(t)
	launches := &postgres.Launches{DB: g.db}
	for n := range 12 {
		id := "i-" + strconv.Itoa(n+1)
		successor := g.successor(replica.Manual, g.set().Primary.ID, id)
		in := change(g.set(), successor, roles.ByTermination, roles.LeaveOld)
		var changed, ended error
		var wg sync.WaitGroup
		wg.Go(func() { _, changed = g.ChangeRoles(t.Context(), in) })
		wg.Go(func() { _, ended = launches.MarkRetiring(t.Context(), "a1", id) })
		wg.Wait()
		if changed == nil {
			require.Equal(t, roles.IsPrimary, fault.CodeOf(ended))
		} else {
			require.Equal(t, roles.StaleEpoch, fault.CodeOf(changed))
			require.NoError(t, ended)
			g.advance(successor.ID, replica.Retired, "")
		}
		g.sound()
	}
}

// TestReadyAndPromotedAtOnce: a replica reports while a failover takes it, and
// neither waits for the other until the database ends one of them.
func TestReadyAndPromotedAtOnce(t *testing.T) {
	t.Parallel()

	g := guard(t)
	for n := range 12 {
		successor := g.successor(replica.Manual, g.set().Primary.ID, "i-"+strconv.Itoa(n+1))
		g.exec(`UPDATE replicas SET state = 'running' WHERE id = $1`, successor.ID)
		g.exec(`UPDATE agents SET failures = 1`)
		in := change(g.set(), successor, roles.ByTermination, roles.LeaveOld)
		var changed, advanced error
		var wg sync.WaitGroup
		wg.Go(func() { _, changed = g.ChangeRoles(t.Context(), in) })
		wg.Go(func() {
			_, advanced = g.Advance(t.Context(), roles.ReplicaTransition{ReplicaID: successor.ID, To: replica.Ready})
		})
		wg.Wait()
		require.NoError(t, changed)
		require.NoError(t, advanced)
		g.sound()
	}
}

// TestHeartbeatsDuringAFailover come from the old primary while it is replaced.
func TestHeartbeatsDuringAFailover(t *testing.T) {
	t.Parallel()

	g := guard(t)
	store := &agents.Agents{DB: g.db}
	for n := range 12 {
		old := g.set().Primary.ID
		in := change(g.set(), g.successor(replica.Manual, old, "i-"+strconv.Itoa(n+1)), roles.ByTermination, roles.LeaveOld)
		var changed error
		var beats [4]error
		var wg sync.WaitGroup
		for i := range beats {
			wg.Go(func() {
				_, beats[i] = store.Heartbeat(t.Context(), agent.Heartbeat{
					ClientID:   "k1",
					AgentID:    "a1",
					InstanceID: old,
					Status:     agent.StatusOnline,
				})
			})
		}
		wg.Go(func() { _, changed = g.ChangeRoles(t.Context(), in) })
		wg.Wait()
		require.NoError(t, changed)
		for _, err := range beats {
			require.NoError(t, err)
		}
		g.sound()
	}
}

// TestAnInstanceThatSeveralNameAtOnce becomes that of one agent, and of its client: the
// others are refused, and leave no agent behind.
func TestAnInstanceThatSeveralNameAtOnce(t *testing.T) {
	t.Parallel()

	g := guard(t)
	store := &agents.Agents{DB: g.db}
	count := func(sql string, args ...any) (n int) {
		require.NoError(t, g.db.Pool.QueryRow(t.Context(), sql, args...).Scan(&n))
		return n
	}
	for n := range 20 {
		id := "i-race" + strconv.Itoa(n)
		named := []agent.Registration{{ClientID: "k1", LogicalID: "x"}, {ClientID: "k2", LogicalID: "x"}, {ClientID: "k1", LogicalID: "y"}}
		errs := make([]error, len(named))
		var wg sync.WaitGroup
		for i, r := range named {
			r.LogicalID += strconv.Itoa(n)
			r.InstanceID, r.InstanceType, r.Region, r.AZ, r.Mode = id, "t3.medium", "us-east-1", "us-east-1a", agent.Spot
			wg.Go(func() { _, errs[i] = store.Register(t.Context(), r) })
		}
		wg.Wait()
		won := 0
		for i, err := range errs {
			if err == nil {
				won++
				continue
			}
			require.Contains(t, []fault.Code{agent.InstanceOfOtherTenant, agents.InstanceInUse}, fault.CodeOf(err), "%v", err)
			require.Zero(t, count(`SELECT count(*) FROM agents WHERE client_id = $1 AND logical_agent_id = $2`,
				named[i].ClientID, named[i].LogicalID+strconv.Itoa(n)))
		}
		require.Equal(t, 1, won, "%v", errs)
		require.Equal(t, 1, count(`SELECT count(*) FROM instances i JOIN agents a ON a.id = i.agent_id AND a.client_id = i.client_id
			WHERE i.id = $1 AND i.role = 'primary'`, id))
	}
}
