package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
)

// runJob triggers a schedule until a run that began after the call has succeeded:
// one that runs already swallows a trigger.
func runJob(ctx context.Context, s *devtest.Stack, db *books, job string) error {
	now, err := db.list(ctx, `SELECT clock_timestamp()::text`)
	if err != nil {
		return err
	}
	return until(ctx, time.Second, func() (bool, error) {
		if _, err := s.Call(ctx, "POST", "/api/admin/schedules/"+job+"/trigger", "", nil, nil); err != nil {
			return false, err
		}
		done, err := db.list(ctx,
			`SELECT job FROM job_runs WHERE job = $1 AND state = 'succeeded' AND started_at > $2::timestamptz`, job,
			now[0])
		if err == nil && len(done) == 0 {
			err = fmt.Errorf("%s has not run", job)
		}
		return err == nil, err
	})
}

// tellTheDay reports what the pools cost over the last day, hour by hour: the
// first one was the cheapest, until eighteen hours ago it became the dearest.
func (m *member) tellTheDay(ctx context.Context, at string) error {
	for hours := 30; hours >= 0; hours-- {
		cost := []float64{.0120, .0130, .0150, .0160}
		if hours <= 18 {
			cost[0] = .0360
		}
		pools := make([]map[string]any, len(zones))
		for i, zone := range zones {
			pools[i] = map[string]any{
				"pool_id":       machine + "." + zone,
				"instance_type": machine,
				"az":            zone,
				"price":         cost[i],
			}
		}
		collected := time.Now().Add(-time.Duration(hours) * time.Hour).UTC().Format(time.RFC3339Nano)
		if err := m.insist(ctx, "POST", m.path("/pricing-report"), map[string]any{
			"instance": map[string]any{
				"instance_id":   at,
				"instance_type": machine,
				"region":        region,
				"az":            zones[0],
				"mode":          "spot",
				"pool_id":       machine + "." + zones[0],
			},
			"pricing": map[string]any{
				"on_demand_price":    .0416,
				"current_spot_price": cost[0],
				"spot_pools":         pools,
				"collected_at":       collected,
			},
		}, nil); err != nil {
			return err
		}
	}
	return nil
}

// explained is why an agent was moved, or was not, as its client reads it.
type explained struct {
	Sentences []string
	Now       struct {
		Wanted *struct {
			PoolID string `json:"pool_id"`
		}
		Vetoes []struct{ Code, Reason string }
	}
	Decisions []struct {
		Source, Action string
		Outcome        *string
		Vetoes         []struct{ Code, Reason string }
	}
	Switches []struct{ By, Trigger string }
}

func (e *explained) text() string { return strings.Join(e.Sentences, "\n") }

func (m *member) explain(ctx context.Context) (*explained, error) {
	var e explained
	return &e, m.insist(ctx, "GET", "/api/client/agents/"+m.id+"/explain", nil, &e)
}

// TestTheFleetDecides: the pool of four agents has become dear. The schedule moves
// them to the cheapest other one, never more at once than may; the one that is
// paused stays until the pause is lifted; and each is told why.
func TestTheFleetDecides(t *testing.T) {
	t.Parallel()
	// The agents say that they live once, at their start.
	s := devtest.Start(t, devtest.Options{Environment: map[string]string{"AGENT_HEARTBEAT_TIMEOUT": "1h"}})
	ctx := deadline(t, 5*time.Minute)
	f, db := newFleet(t, s, newTenant(t, s)), openBooks(t, s)
	// What EC2 says of prices would be another market than what the agents tell.
	require.NoError(t, until(ctx, again, func() (bool, error) {
		status, err := s.Call(ctx, "POST", "/api/admin/schedules/price-collection/pause", "",
			map[string]any{"reason": "the agents tell"}, nil)
		return err == nil && status == 200, err
	}))
	const dear, cheap = machine + ".us-east-1a", machine + ".us-east-1b"
	members := make([]*member, 4)
	homes := map[*member]string{}
	for i := range members {
		m, at := mustJoin(t, f, fmt.Sprintf("web-%d", i))
		require.NoError(t, m.insist(ctx, "POST", "/api/client/agents/"+m.id+"/settings",
			map[string]any{"min_pool_duration_hours": 0}, nil))
		members[i], homes[m] = m, at
	}
	require.NoError(t, members[0].tellTheDay(ctx, homes[members[0]]))
	require.NoError(t, runJob(ctx, s, db, "price-dedup"))
	paused, free := members[3], members[:3]
	require.NoError(t, paused.insist(ctx, "POST", "/api/client/agents/"+paused.id+"/pause",
		map[string]any{"minutes": 60, "reason": "the audit"}, nil))

	moved := func(m *member) bool {
		at, err := m.state(ctx)
		require.NoError(t, err)
		return at.Primary.ID != homes[m]
	}
	for range 20 { // each run may move one more, once the one before has arrived
		require.NoError(t, runJob(ctx, s, db, "fleet-decisions"))
		if moved(free[0]) && moved(free[1]) && moved(free[2]) {
			break
		}
	}
	for _, m := range free {
		at, err := m.await(ctx,
			"it has left the dear pool", func(s *standing) bool { return s.Primary.PoolID == cheap })
		require.NoError(t, err)
		require.NotEqual(t, homes[m], at.Primary.ID)
		why, err := m.explain(ctx)
		require.NoError(t, err)
		require.Len(t, why.Switches, 1)
		require.Equal(t, "model", why.Switches[0].Trigger)
		require.Contains(t, why.text(), "from "+dear+" to "+cheap+", asked for by fleet-decisions")
		require.Contains(t, why.text(), "leaves it where it is: Current mode is optimal", "and why it stays there")
	}
	list := func(sql string, args ...any) []string {
		found, err := db.list(ctx, sql, args...)
		require.NoError(t, err)
		return found
	}
	require.Empty(
		t,
		list(
			`
				SELECT b.agent_id
				FROM switches a
				JOIN switches b ON b.initiated_at > a.initiated_at AND b.id <> a.id
				JOIN role_changes r ON r.agent_id = a.agent_id
		WHERE r.changed_at > b.initiated_at`,
		),
		"of four agents one moves at a time",
	)
	held := list(
		`
			SELECT DISTINCT agent_id
			FROM decisions
			WHERE source = 'schedule' AND vetoes @? '$[*] ? (@.code == "engine.client_moving")'`,
	)
	require.NotEmpty(t, held, "some waited for others, and that was written down")
	t.Logf("moved one by one; %d waited for others: %v", len(held),
		list(`SELECT state || ' ' || counts::text FROM job_runs WHERE job = 'fleet-decisions' ORDER BY period`))

	require.False(t, moved(paused))
	why, err := paused.explain(ctx)
	require.NoError(t, err)
	require.Empty(t, why.Switches)
	require.NotNil(t, why.Now.Wanted)
	require.Equal(t, cheap, why.Now.Wanted.PoolID)
	require.Contains(t, why.text(), "wants to move it to spot pool "+cheap+", but is held back")
	require.Contains(t, why.text(), "Voluntary moves are paused (agent) until ")
	require.Contains(t, why.text(), ": the audit")
	require.Equal(t, "switch.paused", why.Now.Vetoes[0].Code)
	require.Equal(t, "schedule", why.Decisions[0].Source)
	require.Equal(t, "switch.paused", why.Decisions[0].Vetoes[0].Code, "what the schedule found is kept")
	t.Logf("the paused one is told:\n%s", why.text())

	require.NoError(t, paused.insist(ctx, "POST", "/api/client/agents/"+paused.id+"/resume", nil, nil))
	require.NoError(t, runJob(ctx, s, db, "fleet-decisions"))
	_, err = paused.await(ctx,
		"it moves when the pause is lifted", func(s *standing) bool { return s.Primary.PoolID == cheap })
	require.NoError(t, err)
}
