package intake_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/intake"
	"spotkeeper/internal/postgres/awsevents"
)

func scheduled(id, instance string, at time.Time) string {
	return fmt.Sprintf(`{"version":"0","id":"77b1","detail-type":"AWS Health Event","source":"aws.health",
		"account":"111122223333","time":%q,"region":"us-east-1","resources":[],"detail":{"service":"EC2",
		"communicationId":%q,"eventRegion":"us-east-1","eventTypeCode":"AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED",
		"eventTypeCategory":"scheduledChange","startTime":%q,"affectedEntities":[{"entityValue":%q}]}}`,
		time.Now().UTC().Format(time.RFC3339), id, at.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), instance)
}

// plan takes scheduled changes in and has the moves that are due ordered.
func (w *world) plan(messages ...string) {
	w.t.Helper()
	q := newMemory(messages...)
	i := w.intake(q)
	i.MoveAhead = 24 * time.Hour
	w.drainBy(i, q)
	w.planned()
}

func (w *world) planned() {
	w.t.Helper()
	p := &intake.Planned{
		Store: &awsevents.PlannedMoves{DB: w.db},
		Log:   slog.New(slog.NewTextHandler(w.t.Output(), nil)),
		Now:   time.Now,
	}
	require.NoError(w.t, p.Round(w.t.Context()))
}

// offerPools makes the primary a day old, and its type run in three zones, the cheapest of which is
// c.
func (w *world) offerPools() {
	w.t.Helper()
	w.exec(`UPDATE instances SET installed_at = now() - interval '1 day'`)
	w.exec(`INSERT INTO pools (id, instance_type, region, az)
		SELECT 't3.medium.us-east-1' || z, 't3.medium', 'us-east-1', 'us-east-1' || z
		FROM unnest(ARRAY['a', 'b', 'c']) z`)
	w.exec(`INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at)
		SELECT id, instance_type, region, az, CASE WHEN az = 'us-east-1c' THEN 0.01 ELSE 0.02 END, 'collector', now()
		FROM pools`)
}

// TestScheduledChangeMovesTheAgent: within the window before AWS's time a switch is ordered,
// once, to the cheapest other pool; before the window nothing is, and a replica's instance
// moves no agent.
func TestScheduledChangeMovesTheAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.offerPools()
	soon, far := time.Now().Add(10*time.Hour), time.Now().Add(80*time.Hour)

	w.plan(scheduled("far", "i-0", far), scheduled("replica", "i-1", soon))
	require.Equal(t, "0", w.read(`SELECT count(*)::text FROM commands`))
	require.Equal(t, "far ", w.read(`SELECT string_agg(event_id || ' ' || result, ',') FROM planned_moves`))
	require.Equal(t, "56", w.read(`SELECT round(extract(epoch FROM try_at - now()) / 3600)::text FROM planned_moves`))

	w.plan(scheduled("far", "i-0", soon), scheduled("far", "i-0", soon)) // AWS has brought it forward
	w.planned()
	require.Equal(t, "spot t3.medium.us-east-1c aws",
		w.read(`SELECT string_agg(target_mode || ' ' || target_pool_id || ' ' || created_by, '|') FROM commands`))
	require.Equal(t, "ordered true", w.read(`
		SELECT m.result || ' ' || (o.tend_at IS NOT NULL)::text
		FROM planned_moves m JOIN operations o ON o.id = 'switch/' || m.command_id`), "the sweep starts its workflow")
	require.Contains(t, w.read(`SELECT string_agg(message, '|') FROM notifications`),
		"the agent is moved to another instance before")

	w.plan(scheduled("far", "i-0", soon))
	require.Equal(t, "1", w.read(`SELECT count(*)::text FROM commands`), "its repetition orders nothing")
}

// TestPlannedMoveAvoidsBlockedPools: the cheapest pool is blocked for the client, so the move
// goes to the next; one that is blocked for another client is open to it.
func TestPlannedMoveAvoidsBlockedPools(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.offerPools()
	w.exec(`INSERT INTO pool_blocks (pool_id, subject, by_operator, client_id, until, reason, created_by)
		VALUES ('t3.medium.us-east-1c', 'k1', false, 'k1', now() + interval '1 day', 'x', 'x'),
			('t3.medium.us-east-1b', 'k2', false, 'k2', now() + interval '1 day', 'x', 'x')`)
	w.plan(scheduled("soon", "i-0", time.Now().Add(10*time.Hour)))
	require.Equal(t, "spot t3.medium.us-east-1b", w.read(`
		SELECT coalesce(string_agg(target_mode || ' ' || target_pool_id, '|'), (SELECT max(refusal) FROM planned_moves))
		FROM commands`))
}

// TestPlannedMoveEnds: one that is refused is tried again, one whose agent has left is over,
// and so is one that came too late.
func TestPlannedMoveEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`INSERT INTO commands (id, client_id, agent_id, instance_id, launcher, target_mode, created_by)
		VALUES ('c1', 'k1', 'a1', 'i-0', 'control-plane', 'ondemand', 'x')`)
	w.plan(scheduled("busy", "i-0", time.Now().Add(10*time.Hour)))
	require.Contains(t, w.read(`SELECT refusal FROM planned_moves`), "switch.busy")
	require.Equal(t, "5", w.read(`SELECT round(extract(epoch FROM try_at - now()) / 60)::text FROM planned_moves`))

	w.exec(`UPDATE planned_moves SET try_at = now(), due_at = now()`)
	w.planned()
	require.Equal(t, "missed", w.read(`SELECT result FROM planned_moves`))

	w.plan(scheduled("gone", "i-0", time.Now().Add(80*time.Hour)))
	w.exec(`UPDATE planned_moves SET try_at = now() WHERE event_id = 'gone'`)
	w.exec(`UPDATE instances SET role = 'retiring' WHERE id = 'i-0'`)
	w.planned()
	require.Equal(t, "gone", w.read(`SELECT result FROM planned_moves WHERE event_id = 'gone'`))
	require.Equal(t, "1", w.read(`SELECT count(*)::text FROM commands`))
}

// TestAPlannedMoveAsksUntilAnHourBefore AWS's time: then it is made unasked, because the alternative
// is an outage.
func TestAPlannedMoveAsksUntilAnHourBefore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, rules, refusal string
		approve              bool
	}{
		{"approved", `'ask', '[]'`, "switch.awaits_approval", true},
		{"not answered", `'ask', '[]'`, "switch.awaits_approval", false},
		{"never allowed", `'never', '[]'`, "switch.not_allowed", false},
		{"outside of windows", `'auto', '[{"cron": "0 0 29 2 *", "zone": "", "minutes": 15}]'`, "switch.outside_window", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.offerPools()
			w.exec(`INSERT INTO move_rules (client_id, answer_minutes, maintenance, windows) VALUES ('k1', 60, ` + c.rules + `)`)
			again := func() {
				w.exec(`UPDATE planned_moves SET try_at = now()`)
				w.planned()
			}
			w.plan(scheduled("soon", "i-0", time.Now().Add(10*time.Hour)))
			again()
			require.Contains(t, w.read(`SELECT refusal FROM planned_moves`), c.refusal)
			require.Equal(t, "0", w.read(`SELECT count(*)::text FROM commands`))
			if c.approve {
				w.exec(`UPDATE move_approvals SET state = 'approved', answered_at = now(), answered_by = 'client:ann'`)
				again()
				require.Equal(t, "ordered used", w.read(`SELECT result || ' ' || state FROM planned_moves, move_approvals`))
				return
			}
			w.exec(`UPDATE planned_moves SET due_at = now() + interval '50 minutes'`)
			again()
			require.Equal(t, "ordered 1", w.read(`SELECT result || ' ' || (SELECT count(*) FROM commands) FROM planned_moves`))
		})
	}
}
