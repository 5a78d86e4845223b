package postgres_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/sweeps"
)

func (g *guarded) rows() *sweeps.OpenRows { return &sweeps.OpenRows{DB: g.db} }

func (g *guarded) claim(limit int) []string {
	g.t.Helper()
	found, err := g.rows().ClaimOperations(g.t.Context(), limit)
	require.NoError(g.t, err)
	ids := []string{}
	for _, x := range found {
		ids = append(ids, x.ID)
	}
	return ids
}

// TestDecisionsOpenTheirOperations: the row is there before any workflow, and due for
// the sweep in seconds.
func TestDecisionsOpenTheirOperations(t *testing.T) {
	t.Parallel()

	g := guard(t)
	r := g.open(replica.Manual, "i-0")
	require.Equal(t, "running requested",
		one[string](g, `SELECT state || ' ' || phase FROM operations WHERE id = 'replica/' || $1`, r.ID))
	require.Empty(t, g.claim(10), "the process that decided it starts it first")
	g.exec(`UPDATE operations SET tend_at = now() - interval '1 second'`)
	require.Equal(t, []string{"replica/" + r.ID}, g.claim(10))
	require.Empty(t, g.claim(10), "it was claimed")
	_, err := g.Remove(t.Context(), "a1", "")
	require.NoError(t, err)
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM operations WHERE id = 'removal/a1'`))
}

// TestClaimOperationsRotates: rows that are claimed, and cannot be tended, go
// behind the others.
func TestClaimOperationsRotates(t *testing.T) {
	t.Parallel()

	g := guard(t)
	for n := range 6 {
		g.exec(
			`
				INSERT INTO operations (id, kind, client_id, agent_id, tend_at)
				VALUES ($1, 'removal', 'k1', 'a1', now() - $2::float8 * interval '1 second')`,
			fmt.Sprintf("removal/%d", n),
			10-n,
		)
	}
	require.Equal(t, []string{"removal/0", "removal/1"}, g.claim(2))
	require.NoError(t, g.rows().ClaimAgain(t.Context(), []string{"removal/0", "removal/1"}, nil, time.Second))
	require.Equal(t, []string{"removal/2", "removal/3"}, g.claim(2))
	require.Equal(t, []string{"removal/4", "removal/5"}, g.claim(2))
}

// TestClaimOperationsPutsLivesFirst: the replica of an emergency goes before a termination,
// that before a standby, and a standby that has waited for long before all of them.
func TestClaimOperationsPutsLivesFirst(t *testing.T) {
	t.Parallel()

	g := guard(t)
	for id, due := range map[string]struct {
		kind, cause string
		seconds     int
	}{
		"replica/patient":   {"replica", "manual", 200},
		"replica/urgent":    {"replica", "termination", 1},
		"termination/a1/i":  {"termination", "termination-notice", 1},
		"replica/standby":   {"replica", "manual", 50},
		"switch/c1":         {"switch", "engine", 30},
		"replica/rebalance": {"replica", "rebalance", 0},
	} {
		g.exec(
			`
				INSERT INTO operations (id, kind, cause, client_id, agent_id, tend_at)
				VALUES ($1, $2, $3, 'k1', 'a1', now() - $4::float8 * interval '1 second')`,
			id,
			due.kind,
			due.cause,
			due.seconds,
		)
	}
	for _, want := range []string{"replica/patient", "replica/urgent", "replica/rebalance", "termination/a1/i",
		"replica/standby", "switch/c1"} {
		found, err := g.rows().ClaimOperations(t.Context(), 1)
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Equal(t, want, found[0].ID)
		require.Equal(t, want == "replica/urgent" || want == "replica/rebalance", found[0].Urgent)
		require.False(t, found[0].Begun)
	}
}

// TestClaimOperationsKnowsWhatHasBegun by the phase that its workflow has written.
func TestClaimOperationsKnowsWhatHasBegun(t *testing.T) {
	t.Parallel()

	g := guard(t)
	for _, phase := range []string{"", "noticed", "requested", "standing_by"} {
		g.exec(
			`
				INSERT INTO operations (id, kind, client_id, agent_id, phase, tend_at)
				VALUES ('removal/a1', 'removal', 'k1', 'a1', $1, now() - interval '1 second')`,
			phase,
		)
		found, err := g.rows().ClaimOperations(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, phase == "standing_by", found[0].Begun, phase)
		g.exec(`DELETE FROM operations`)
	}
}

// TestClaimReviewsOfThoseWhoseInstanceGoes finds the agents that wait for a successor.
func TestClaimReviewsOfThoseWhoseInstanceGoes(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.exec(`UPDATE agents SET review_at = now() - interval '1 second'`)
	found, err := g.rows().ClaimReviews(t.Context(), 10, true)
	require.NoError(t, err)
	require.Empty(t, found)
	for _, result := range []string{"", "lost"} {
		g.exec(`INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline, door, result)
			VALUES ('k1', 'a1', 'i-0', 'termination-notice', now(), 'http', $1)`, result)
		g.exec(`UPDATE agents SET review_at = now() - interval '1 second'`)
		found, err = g.rows().ClaimReviews(t.Context(), 10, true)
		require.NoError(t, err)
		require.Equal(t, []string{"a1"}, found, result)
		g.exec(`DELETE FROM notices`)
	}
}

func TestClaimsAreShared(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.exec(
		`
			INSERT INTO operations (id, kind, client_id, agent_id, tend_at)
			SELECT 'removal/' || n, 'removal', 'k1', 'a1', now() - interval '1 second'
			FROM generate_series(1, 40) n`,
	)
	g.exec(`UPDATE agents SET review_at = now() - interval '1 second'`)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen, woken := map[string]int{}, 0
	for range 4 {
		wg.Go(func() {
			ids := g.claim(10)
			agents, err := g.rows().ClaimReviews(t.Context(), 10, false)
			mu.Lock()
			defer mu.Unlock()
			require.NoError(t, err)
			woken += len(agents)
			for _, id := range ids {
				seen[id]++
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, 40)
	for id, n := range seen {
		require.Equal(t, 1, n, id)
	}
	require.Equal(t, 1, woken)
}

// TestTendSoon makes long-lived rows due when Temporal has lost their workflows.
func TestTendSoon(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.open(replica.Manual, "i-0")
	g.exec(`UPDATE operations SET tend_at = now() + interval '15 minutes'`)
	require.NoError(t, g.rows().TendSoon(t.Context(), time.Second))
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM operations WHERE tend_at < now() + interval '10 seconds'`))
}

// TestOperationIsDueAfterAChangeOfItsReplica covers the changes of a replica that its
// workflow does not make itself. The sweep then looks at the operation within seconds,
// although the operation is old and its next turn a quarter of an hour away.
func TestOperationIsDueAfterAChangeOfItsReplica(t *testing.T) {
	t.Parallel()

	for name, decide := range map[string]func(g *guarded, standby roles.Replica) error{
		"it was promoted": func(g *guarded, standby roles.Replica) error {
			_, err := g.ChangeRoles(g.t.Context(), change(g.set(), standby, roles.ByPromotion, roles.RetireOld))
			return err
		},
		"it is called off": func(g *guarded, standby roles.Replica) error {
			g.advance(standby.ID, replica.Retiring, "")
			return nil
		},
		"AWS takes its instance": func(g *guarded, standby roles.Replica) error {
			g.take("k1", interruption.Notice{
				AgentID:    "a1",
				InstanceID: standby.InstanceID,
				Kind:       interruption.Termination,
				Deadline:   time.Now().Add(time.Minute),
			})
			return nil
		},
		"its agent was removed": func(g *guarded, _ roles.Replica) error {
			_, err := g.Remove(g.t.Context(), "a1", "ops")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard(t)
			standby := g.successor(replica.Manual, "i-0", "i-1")
			g.exec(
				`UPDATE operations SET started_at = now() - interval '3 days', tend_at = now() + interval '15 minutes'`,
			)
			require.NoError(t, decide(g, standby))
			require.Equal(t, 1, one[int](
				g,
				`SELECT count(*) FROM operations WHERE id = 'replica/' || $1 AND tend_at < now() + interval '10 seconds'`,
				standby.ID,
			))
		})
	}
}
