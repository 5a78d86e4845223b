package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/decisions"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/workflows"
)

var someFive = time.Date(2026, 11, 25, 8, 5, 0, 0, time.UTC)

// bazaar gives the three pools of t3.medium a day of steady prices: agents, who
// live in the first, want to go to the last.
func (g *guarded) bazaar() {
	g.t.Helper()
	g.exec(
		`
			INSERT INTO on_demand_prices (region, instance_type, price, source, observed_at)
			VALUES ('us-east-1', 't3.medium', 0.0416, 'pricing-api', now())`,
	)
	for zone, price := range map[string]float64{"a": 0.03, "b": 0.0131, "c": 0.0119} {
		pool := "t3.medium.us-east-1" + zone
		g.exec(
			`INSERT INTO pools (id, instance_type, region, az) VALUES ($1, 't3.medium', 'us-east-1', 'us-east-1' || $2)`,
			pool,
			zone,
		)
		g.exec(
			`
				INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at)
				VALUES ($1, 't3.medium', 'us-east-1', 'us-east-1' || $2, $3::float8, 'collector', now())`,
			pool,
			zone,
			price,
		)
		g.exec(`INSERT INTO price_buckets (pool_id, bucket, price, source_type, confidence, observed_at)
			SELECT $1, at, $2::float8, 'collector', 1, at
			FROM generate_series(now() - interval '23 hours', now(), interval '1 hour') at`, pool, price)
	}
	g.settled()
}

// guardians take switches in, as workflows.Client does.
type guardians struct {
	asked []workflows.RequestSwitchInput
	fail  func(agentID string) error
}

func (g *guardians) RequestSwitch(
	_ context.Context,
	agentID string,
	in workflows.RequestSwitchInput,
) (*workflows.OperationAnswer, error) {
	if g.fail != nil {
		if err := g.fail(agentID); err != nil {
			return nil, err
		}
	}
	g.asked = append(g.asked, in)
	return &workflows.OperationAnswer{OperationID: roles.SwitchOperation(in.CommandID)}, nil
}

func (g *guarded) decider(w *guardians) *activities.Decisions {
	return &activities.Decisions{
		Store:     &decisions.Decisions{DB: g.db},
		Switches:  &workflows.SwitchOrders{Commands: &postgres.Commands{DB: g.db}, Guardians: w},
		Log:       slog.New(slog.DiscardHandler),
		BatchSize: 7,
	}
}

func (g *guarded) decideFleet(d *activities.Decisions, period time.Time) map[string]int64 {
	g.t.Helper()
	out, err := d.DecideFleet(g.t.Context(), activities.DecideFleetInput{Period: period})
	require.NoError(g.t, err)
	counts := map[string]int64{}
	for what, n := range *out {
		if n > 0 {
			counts[what] = n
		}
	}
	return counts
}

// TestTheFleetIsMovedWithinItsLimits: all want to move; one in ten may.
func TestTheFleetIsMovedWithinItsLimits(t *testing.T) {
	t.Parallel()

	g := guard(t)
	for i := range 19 {
		g.agent("k1", fmt.Sprintf("k1-%d", i), fmt.Sprintf("i-k1-%d", i))
	}
	for i := range 5 {
		g.agent("k2", fmt.Sprintf("k2-%d", i), fmt.Sprintf("i-k2-%d", i))
	}
	g.exec(
		`
			UPDATE agents
			SET enabled = false
			WHERE id = 'k2-0';
			UPDATE agents
			SET keeping = 'manual'
			WHERE id = 'k2-1';
			UPDATE agents
			SET status = 'offline'
			WHERE id = 'k2-2'`,
	)
	g.bazaar()
	w := &guardians{}
	d := g.decider(w)

	counts := g.decideFleet(d, someFive)
	require.Equal(t, map[string]int64{
		"evaluated":                  22,
		"moved":                      3,
		"held: engine.client_moving": 19,
	}, counts, "two of twenty, and one of five")
	require.Equal(t, "k1 2, k2 1",
		one[string](
			g,
			`
				SELECT string_agg(client_id || ' ' || n, ', ' ORDER BY client_id)
				FROM (SELECT client_id, count(*) AS n FROM commands GROUP BY 1) x`,
		))
	require.Len(t, w.asked, 3)
	require.Equal(t, "t3.medium.us-east-1c", w.asked[0].Target.PoolID)
	require.Equal(t, "model", w.asked[0].Trigger)
	require.Equal(t, "rules 1 schedule 4 t3.medium.us-east-1c ordered",
		one[string](
			g,
			`
				SELECT concat_ws(' ', d.engine, d.engine_version, d.source, jsonb_array_length(d.scores), d.pool_id,
					d.outcome)
		FROM decisions d
		JOIN commands c ON c.id = d.command_id AND c.agent_id = d.agent_id
		WHERE d.inputs->>'digest' <> '' AND c.created_by = 'fleet-decisions'
		LIMIT 1`,
		))

	require.Equal(t, counts, g.decideFleet(d, someFive), "the same period again: nothing is decided or ordered anew")
	require.Len(t, w.asked, 3)
	require.Equal(t, map[string]int64{
		"evaluated":                  22,
		"held: engine.client_moving": 19,
		"held: switch.busy":          3,
	}, g.decideFleet(d, someFive.Add(5*time.Minute)), "while they move, nobody else does")
}

// TestAnAttemptThatDiedOrdersNothingTwice: the worker ends after the command was
// written and before a message went out, and after that again.
func TestAnAttemptThatDiedOrdersNothingTwice(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.bazaar()
	ctx, die := context.WithCancel(t.Context())
	w := &guardians{fail: func(string) error { die(); return context.Canceled }}
	d := g.decider(w)
	_, err := d.DecideFleet(ctx, activities.DecideFleetInput{Period: someFive})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "switch_to_spot open", one[string](g, `SELECT action || ' ' || outcome FROM decisions`))
	g.exec(`UPDATE commands SET status = 'pending', message = NULL`) // it died before it could take the order back

	w.fail = nil
	require.Equal(t, map[string]int64{"evaluated": 1, "moved": 1}, g.decideFleet(d, someFive))
	g.exec(`UPDATE decisions SET outcome = 'open', command_id = NULL`) // it died before it noted that it had asked
	require.Equal(t, map[string]int64{"evaluated": 1, "moved": 1}, g.decideFleet(d, someFive))
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM commands`))
	require.Equal(t, w.asked[0], w.asked[1], "the same command, which the Guardian recognizes")
	require.Equal(t, activities.CommandOf("a1", someFive), w.asked[0].CommandID)
}

func TestWhatHoldsTheFleetBack(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.bazaar()
	w := &guardians{}
	d := g.decider(w)
	period := someFive
	for _, tt := range []struct{ name, on, off, held string }{
		{"a notice",
			`
				INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline)
				VALUES ('k1', 'a1', 'i-0', 'termination-notice', now() + interval '1 minute')`, `
				DELETE FROM notices`, "engine.notice_stands"},
		{"a pause",
			`
				INSERT INTO pauses (scope, by_operator, until, created_by)
				VALUES ('global', true, now() + interval '1 hour', 'ops')`, `
				DELETE FROM pauses`, "switch.paused"},
		{"a limit", `UPDATE agents SET max_switches_per_week = 0`, `UPDATE agents SET max_switches_per_week = 10`,
			"switch.limit_reached"},
		{"no reference", `DELETE FROM on_demand_prices`,
			`
				INSERT INTO on_demand_prices (region, instance_type, price, source, observed_at)
				VALUES ('us-east-1', 't3.medium', 0.0416, 'pricing-api', now())`, "engine.missing_data"},
	} {
		g.exec(tt.on)
		require.Equal(t, map[string]int64{"evaluated": 1, "held: " + tt.held: 1}, g.decideFleet(d, period), tt.name)
		g.exec(tt.off)
		period = period.Add(5 * time.Minute)
	}
	require.Empty(t, w.asked)

	w.fail = func(string) error { // between the decision and the order
		return workflows.Unreachable.New("away")
	}
	require.Equal(t, map[string]int64{"evaluated": 1, "failed": 1}, g.decideFleet(d, period))
	require.Equal(t, "failed workflow.unreachable cancelled",
		one[string](
			g,
			`
				SELECT concat_ws(' ', outcome, vetoes->0->>'code', (SELECT status FROM commands))
				FROM decisions
				WHERE period = $1`,
			period,
		))
}

// TestAMoveIsOrderedWhileItIsFresh: a run that comes back after an outage does not
// act on what was right then.
func TestAMoveIsOrderedWhileItIsFresh(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.bazaar()
	w := &guardians{}
	d := g.decider(w)
	ctx, die := context.WithCancel(t.Context())
	w.fail = func(string) error { die(); return context.Canceled }
	_, err := d.DecideFleet(ctx, activities.DecideFleetInput{Period: someFive})
	require.Error(t, err)
	g.exec(`UPDATE decisions SET created_at = now() - interval '6 minutes'`)
	w.fail = nil
	require.Equal(t, map[string]int64{"evaluated": 1, "lapsed": 1}, g.decideFleet(d, someFive))
	require.Empty(t, w.asked)
}

// stubborn is an engine that always answers the same, or fails.
type stubborn struct {
	name  string
	to    string
	err   error
	asked *int
}

func (s stubborn) Name() string  { return s.name }
func (stubborn) Version() string { return "7" }
func (s stubborn) Decide(context.Context, engine.Input) (engine.Decision, error) {
	*s.asked++
	return engine.Decision{Action: engine.SwitchToSpot, PoolID: s.to, Reason: "it says so"}, s.err
}

func TestAShadowIsKeptAndMovesNoAgent(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.agent("k2", "b1", "i-b")
	g.bazaar()
	w := &guardians{}
	d := g.decider(w)
	asked := 0
	d.EngineFor = func(string) engine.Engine { return engine.Legacy{} }
	d.ShadowFor = func(agentID string) engine.Engine {
		if agentID == "a1" {
			return stubborn{name: "onnx", to: "t3.medium.us-east-1b", asked: &asked}
		}
		return nil
	}
	require.Equal(t, map[string]int64{"evaluated": 2, "stayed": 2, "shadow": 1}, g.decideFleet(d, someFive))
	require.Equal(t, "a1 legacy stay_spot f, b1 legacy stay_spot f, a1 onnx switch_to_spot t", one[string](
		g,
		`
			SELECT string_agg(concat_ws(' ', agent_id, engine, action, shadow), ', ' ORDER BY shadow, agent_id)
			FROM decisions`,
	))
	require.Empty(t, w.asked)
	require.Zero(t, one[int](g, `SELECT count(*) FROM commands`))
}

// TestABrokenEngineIsNotAskedForEachAgent: every agent stays, and says why.
func TestABrokenEngineIsNotAskedForEachAgent(t *testing.T) {
	t.Parallel()

	g := guard(t)
	for i := range 9 {
		g.agent("k1", fmt.Sprintf("k1-%d", i), fmt.Sprintf("i-k1-%d", i))
	}
	g.bazaar()
	d := g.decider(&guardians{})
	asked := 0
	d.EngineFor = func(string) engine.Engine {
		return stubborn{name: "python", err: errors.New("it hangs"), asked: &asked}
	}
	require.Equal(t, map[string]int64{"evaluated": 10, "failed": 10}, g.decideFleet(d, someFive))
	require.Equal(t, 3, asked)
	require.Equal(t, 10, one[int](
		g,
		`
			SELECT count(*)
			FROM decisions
			WHERE engine = 'python'
				AND action = 'stay_spot'
				AND vetoes->0->>'code' = 'engine.unavailable'
				AND reason LIKE 'Decision engine unavailable%'`,
	))
}

// TestManyInputsAreThoseOfEachAgent: read together or one by one, an agent is
// judged by the same facts.
func TestManyInputsAreThoseOfEachAgent(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.agent("k1", "a2", "i-2")
	g.agent("k2", "b1", "i-b")
	g.bazaar()
	g.exec(
		`
		INSERT INTO pool_health (client_id, pool_id, mode, failures, retry_after)
		VALUES ('k1', 't3.medium.us-east-1c', 'spot', 1, now() + interval '1 hour');
		INSERT INTO interruptions (client_id, instance_id, kind, pool_id, proven)
		VALUES ('k1', 'i-past', 'termination-notice', 't3.medium.us-east-1b', true);
		INSERT INTO pauses (scope, subject, by_operator, client_id, until, created_by)
		VALUES ('client', 'k2', true, 'k2', now() + interval '1 hour', 'ops');
		UPDATE agents
		SET min_savings_percent = 20
		WHERE id = 'a2';
		UPDATE clients
		SET max_moving_percent = 50
		WHERE id = 'k2'`,
	)
	_, err := (&postgres.Commands{DB: g.db}).Order(t.Context(), toOnDemand("a1"))
	require.NoError(t, err)
	s := &decisions.Decisions{DB: g.db}
	together, err := s.Inputs(t.Context(), []string{"b1", "a1", "gone", "a2"})
	require.NoError(t, err)
	require.Len(t, together, 3)
	for i, id := range []string{"b1", "a1", "a2"} {
		alone, err := s.Input(t.Context(), "", id)
		require.NoError(t, err)
		alone.Now = together[i].Now
		for p := range alone.Pools { // grows with the clock
			alone.Pools[p].Interruptions.InstanceHours, together[i].Pools[p].Interruptions.InstanceHours = 1, 1
		}
		engine.Prepare(alone.Pools)
		require.Equal(t, alone, together[i], id)
	}
	require.False(t, together[1].Pools[2].BlockedUntil.IsZero())
	require.True(t, together[0].Pools[2].BlockedUntil.IsZero(), "another client's trouble")
	require.Equal(t, 1, together[2].Holds.ClientMoving)
	require.Len(t, together[0].Holds.Pauses, 1)
}

// TestStayingIsForgottenFirst: what moved an agent, or was asked for, is kept longer.
func TestStayingIsForgottenFirst(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.agent("k2", "b1", "i-b")
	g.bazaar()
	g.exec(`UPDATE agents SET max_switches_per_week = 0 WHERE id = 'b1'`)
	g.decideFleet(g.decider(&guardians{}), someFive)
	s := &decisions.Decisions{DB: g.db}
	in, err := s.Input(t.Context(), "", "b1")
	require.NoError(t, err)
	require.NoError(t, s.Keep(t.Context(), engine.Record{
		Input:    in,
		Decision: engine.Decide(t.Context(), engine.Rules{}, in),
		Source:   engine.ByAgent,
	}))
	deleted, err := (&housekeeping.Housekeeping{DB: g.db}).Expire(t.Context(), "decisions_to_stay",
		time.Now().Add(time.Minute), func() {})
	require.NoError(t, err)
	require.Equal(t, int64(1), deleted)
	require.Equal(t, "a1 schedule ordered, b1 agent",
		one[string](
			g,
			`SELECT string_agg(concat_ws(' ', agent_id, source, nullif(outcome, '')), ', ' ORDER BY id) FROM decisions`,
		))
}
