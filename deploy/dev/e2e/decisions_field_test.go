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

// showTheDay has EC2 show what the pools cost over the last day: the first one was the
// cheapest, until eighteen hours ago it became the dearest.
func (b *books) showTheDay(ctx context.Context) error {
	for _, sql := range []string{
		`TRUNCATE price_buckets, pool_prices`,
		`DELETE FROM pools`,
		`INSERT INTO pools (id, instance_type, region, az)
		SELECT '` + machine + `.' || zone, '` + machine + `', '` + region + `', zone FROM unnest($1::text[]) AS zone`,
		`INSERT INTO price_buckets (pool_id, bucket, price, source_type, confidence, observed_at)
		SELECT '` + machine + `.' || zone, t,
			CASE WHEN nth = 1 AND t > now() - interval '18 hours' THEN 0.036 ELSE cost END, 'collector', 0.95, t
		FROM unnest($1::text[], '{0.012, 0.013, 0.015, 0.016}'::numeric[]) WITH ORDINALITY AS x(zone, cost, nth),
			generate_series(date_bin('5 minutes', now() - interval '30 hours', 'epoch'), now(), '5 minutes') AS t`,
		`INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at)
		SELECT DISTINCT ON (p.id) p.id, p.instance_type, p.region, p.az, b.price, 'collector', now()
		FROM pools p JOIN price_buckets b ON b.pool_id = p.id
		ORDER BY p.id, b.bucket DESC`,
	} {
		args := []any{}
		if strings.Contains(sql, "$1") {
			args = append(args, zones[:4])
		}
		if _, err := b.pool.Exec(ctx, sql, args...); err != nil {
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

// TestTheFleetDecides: the pool of four agents has become expensive. The schedule moves
// them to the cheapest other pool, never more at once than the limit. The agent that is
// paused stays until the pause is lifted. Each decision states its reason.
func TestTheFleetDecides(t *testing.T) {
	t.Parallel()
	// The agents say that they live once, at their start.
	s := devtest.Start(t, devtest.Options{Environment: map[string]string{"AGENT_HEARTBEAT_TIMEOUT": "1h"}})
	ctx := deadline(t, 5*time.Minute)
	f, db := newFleet(t, s, newTenant(t, s)), openBooks(t, s)
	pauseCollection(ctx, t, s)
	const dear, cheap = machine + ".us-east-1a", machine + ".us-east-1b"
	members := make([]*member, 4)
	homes := map[*member]string{}
	for i := range members {
		m, at := mustJoin(t, f, fmt.Sprintf("web-%d", i))
		require.NoError(t, m.insist(ctx, "POST", "/api/client/agents/"+m.id+"/settings",
			map[string]any{"min_pool_duration_hours": 0}, nil))
		members[i], homes[m] = m, at
	}
	require.NoError(t, db.showTheDay(ctx))
	paused, free := members[3], members[:3]
	require.NoError(t, paused.insist(ctx, "POST", "/api/client/agents/"+paused.id+"/pause",
		map[string]any{"minutes": 60, "reason": "the audit"}, nil))

	moved := func(m *member) bool {
		at, err := m.state(ctx)
		require.NoError(t, err)
		return at.Primary.ID != homes[m]
	}
	// Each run may move one more, once the one before has arrived.
	require.NoError(t, until(ctx, again, func() (bool, error) {
		arrived := 0
		for _, m := range free {
			if moved(m) {
				arrived++
			}
		}
		if arrived == len(free) {
			return true, nil
		}
		return false, runJob(ctx, s, db, "fleet-decisions")
	}))
	for _, m := range free {
		at, err := m.await(ctx,
			"it has left the dear pool", func(s *agentState) bool { return s.Primary.PoolID == cheap })
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
		"it moves when the pause is lifted", func(s *agentState) bool { return s.Primary.PoolID == cheap })
	require.NoError(t, err)
}
