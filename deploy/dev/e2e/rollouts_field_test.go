package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
)

// The back-test of the validation has no clients, so these engines pass it and misbehave
// only with real agents.
const (
	// raises fails for every real agent.
	raises = `
def make_decision(agent_data, pricing_data, market_data=None):
    if agent_data["client_id"]:
        raise KeyError("a column that the field does not have, %d")
    return {"decision_type": "stay", "risk_score": 0.1, "expected_savings": 0, "confidence": 0.5, "reason": "fine"}
`
	// restless moves every real agent, each time it is asked.
	restless = `
def make_decision(agent_data, pricing_data, market_data=None):
    away = [p["pool_id"] for p in market_data["pools"] if p["pool_id"] != agent_data["current_pool_id"]]
    if agent_data["client_id"] and away:
        return {"decision_type": "switch_to_spot", "recommended_pool_id": away[0], "risk_score": 0.1, "expected_savings": 0.02, "confidence": 0.9, "reason": "anywhere but here"}
    return {"decision_type": "stay", "risk_score": 0.1, "expected_savings": 0, "confidence": 0.5, "reason": "fine"}
`
)

// field is a small fleet whose agents ask for decisions all the time, as deployed
// ones do on a timer.
type field struct {
	*fleet
	members []*member
	db      *books
}

func newField(ctx context.Context, t *testing.T, s *devtest.Stack) *field {
	t.Helper()
	f := &field{fleet: newFleet(t, s, newTenant(t, s)), db: openBooks(t, s)}
	for i := range zones {
		m, err := f.join(ctx, fmt.Sprintf("agent-%d", i), zones[i])
		require.NoError(t, err)
		at, err := m.state(ctx)
		require.NoError(t, err)
		require.NoError(t, m.reportPrices(ctx, at.Primary.ID))
		require.NoError(t, f.insist(ctx, "POST", "/api/client/agents/"+m.id+"/settings",
			map[string]any{"min_pool_duration_hours": 0}, nil))
		f.members = append(f.members, m)
	}
	asking, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- f.ask(asking) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-stopped, "no agent is ever refused a decision")
	})
	return f
}

// ask has every agent ask in turn, and every now and then say that it lives and
// the schedule judge all of them at once, until ctx ends.
func (f *field) ask(ctx context.Context) error {
	for turn := 0; ; turn++ {
		for _, m := range f.members {
			body := map[string]any{
				"instance": map[string]any{"current_mode": "spot"},
				"pricing":  map[string]any{"on_demand_price": .0416, "current_spot_price": .0125},
			}
			if err := m.insist(ctx, "POST", m.path("/decide"), body, nil); err != nil && ctx.Err() == nil {
				return err
			}
		}
		if turn%8 == 0 {
			for _, m := range f.members {
				if err := m.beat(ctx); err != nil && ctx.Err() == nil {
					return err
				}
			}
			// It may be running already, or its worker dead.
			_, _ = f.Call(ctx, "POST", "/api/admin/schedules/fleet-decisions/trigger", "", nil, nil)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(again):
		}
	}
}

// beat is a sign of life from where the agent lives now.
func (m *member) beat(ctx context.Context) error {
	at, err := m.state(ctx)
	if err != nil {
		return err
	}
	return m.insist(ctx, "POST", m.path("/heartbeat"), map[string]any{
		"status":              "online",
		"instance_id":         at.Primary.ID,
		"instance_type":       machine,
		"az":                  at.Primary.AZ,
		"mode":                "spot",
		"monitored_instances": []string{at.Primary.ID},
	}, nil)
}

// has waits until the query finds something.
func (f *field) has(ctx context.Context, sql string, args ...any) error {
	return until(ctx, again, func() (bool, error) {
		found, err := f.db.list(ctx, sql, args...)
		if err == nil && len(found) == 0 {
			return false, fmt.Errorf("nothing found by %s %v", sql, args)
		}
		return err == nil, err
	})
}

// serving is what is live and what is the fallback of each kind.
func (f *field) serving(ctx context.Context, t *testing.T) []string {
	t.Helper()
	found, err := f.db.list(
		ctx,
		`
			SELECT kind || ' ' || CASE WHEN is_live THEN 'live ' ELSE 'fallback ' END || id
			FROM model_sessions
			WHERE is_live OR is_fallback
			ORDER BY 1`,
	)
	require.NoError(t, err)
	return found
}

const decidedBy = `
	SELECT id::text
	FROM decisions
	WHERE source = 'agent'
		AND NOT shadow
		AND engine_version = (SELECT version FROM model_sessions WHERE id = $1)
		AND coalesce(last_at, created_at) > $2::timestamptz
	LIMIT 1`

// lastDecision is the time of the newest decision. A repeated decision renews the row of
// the one before it, so the time identifies a new decision and the id does not.
func (f *field) lastDecision(ctx context.Context, t *testing.T) string {
	t.Helper()
	found, err := f.db.list(ctx,
		`SELECT coalesce(max(coalesce(last_at, created_at)), '-infinity')::text FROM decisions`)
	require.NoError(t, err)
	return found[0]
}

func (f *field) count(ctx context.Context, t *testing.T, sql string, args ...any) string {
	t.Helper()
	found, err := f.db.list(ctx, `SELECT count(*)::text FROM `+sql, args...)
	require.NoError(t, err)
	return found[0]
}

// startField starts a stack with a fleet, for which an engine that stays decides.
func startField(ctx context.Context, t *testing.T) (f *field, live string) {
	t.Helper()
	s := devtest.Start(t, devtest.Options{Environment: map[string]string{"ENGINE_PYTHON": "on"}})
	live, status, err := upload(ctx, s, fmt.Sprintf(stays, 0), true)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	require.NoError(t, commandRollout(ctx, s, live, "promote", "completed"))
	f = newField(ctx, t, s)
	require.NoError(t, f.has(ctx, decidedBy, live, "-infinity"))
	return f, live
}

// TestGuardsInTheField takes engines over a fleet that asks: bad ones are rolled
// back by their guards, and a good one comes through, whichever process dies meanwhile.
func TestGuardsInTheField(t *testing.T) {
	t.Parallel()
	ctx := deadline(t, 9*time.Minute)
	f, live := startField(ctx, t)
	f.goesBack(ctx, t, fmt.Sprintf(raises, 1), map[string]any{
		"shadow": "4s",
		"canary": []int{50},
		"step":   "1h",
		"watch":  "1h",
		"guards": map[string]any{"min_decisions": 4},
	}, "shadow decisions failed")
	f.goesBack(ctx, t, fmt.Sprintf(raises, 2), map[string]any{
		"shadow": "0s",
		"canary": []int{99},
		"step":   "6s",
		"watch":  "1h",
		"guards": map[string]any{"min_decisions": 4},
	}, "decisions failed")
	f.goesBack(ctx, t, restless, map[string]any{
		"shadow": "0s",
		"canary": []int{99},
		"step":   "6s",
		"watch":  "1h",
		"guards": map[string]any{"min_decisions": 1000, "switches_per_agent_day": .5},
	}, "times a day each")
	require.NotEqual(t, "0", f.count(ctx, t, `switches WHERE trigger = 'model'`))
	f.comesThroughDeaths(ctx, t, live)
}

// goesBack rolls out an engine that a guard takes back.
func (f *field) goesBack(ctx context.Context, t *testing.T, content string, plan map[string]any, guard string) {
	t.Helper()
	before := f.serving(ctx, t)
	session, status, err := upload(ctx, f.Stack, content, false)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	_, err = roll(ctx, f.Stack, session, plan)
	require.NoError(t, err)
	require.NoError(t, awaitRollout(ctx, f.Stack, session, "rolled_back"))

	var page rolling
	_, err = f.Call(ctx, "GET", "/api/admin/model-rollouts/"+session, "", nil, &page)
	require.NoError(t, err)
	require.Contains(t, page.Detail, "a guard tripped: ")
	require.Contains(t, page.Detail, guard)
	t.Logf("rolled back: %s", page.Detail)
	require.Equal(t, before, f.serving(ctx, t), "what was live is live")
	require.Equal(t, "1", f.count(
		ctx,
		t,
		`
			events
			WHERE type = 'model_rollout_rolled_back'
				AND severity = 'warning'
				AND message = $2
				AND metadata->>'session_id' = $1`,
		session,
		page.Detail,
	))
	require.Equal(t, "0", f.count(ctx, t,
		`decisions WHERE reason LIKE '%a column that the field%' AND action NOT LIKE 'stay%'`),
		"who fails moves nobody")
	// The agents are decided for by what was live, all of them.
	require.NoError(t, until(ctx, again, func() (bool, error) {
		from := f.lastDecision(ctx, t)
		if err := f.has(ctx,
			`
				SELECT 'all'
				FROM decisions
				WHERE source = 'agent' AND coalesce(last_at, created_at) > $1::timestamptz
				HAVING count(DISTINCT agent_id) = 4`, from); err != nil {
			return true, err
		}
		strangers, err := f.db.list(
			ctx,
			`
			SELECT DISTINCT d.engine_version
			FROM decisions d
			WHERE d.source = 'agent' AND coalesce(d.last_at, d.created_at) > $1::timestamptz
			AND d.engine_version <> (SELECT version FROM model_sessions WHERE is_live AND kind = 'engine')`,
			from,
		)
		return err == nil && len(strangers) == 0, err
	}))
}
