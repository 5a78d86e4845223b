package intake_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/intake"
	"spotkeeper/internal/postgres/awsevents"
)

func TestNoticeFailsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := newMemory(interruption(own, "i-0", time.Now()), interruption(own, "i-0", time.Now()))
	w.drain(q)
	require.Equal(t, map[string]int{"spot-interruption taken": 1, "spot-interruption repeated": 1}, w.counted())
	require.Equal(t, "i-1", w.read(`SELECT id FROM instances WHERE agent_id = 'a1' AND role = 'primary'`))
	require.Equal(t, "promoted eventbridge 2", w.read(`SELECT result || ' ' || door || ' ' || arrivals FROM notices`))
	require.Equal(t, "1", w.read(`SELECT count(*)::text FROM role_changes`))
	require.Equal(t, 1, w.followed.count(roles.RuledFailOver))
	require.Len(t, q.deleted, 2)
}

// TestOutcomes: what has no agent or belongs to another client, is late, switched off, malformed or of no
// consequence is counted, and never fatal.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		message string
		prepare func(w *world)
		want    map[string]int
		notices string
		events  string
	}{
		"unknown instance": {
			message: interruption(own, "i-9", now),
			want:    map[string]int{"spot-interruption unknown": 1},
		},
		"foreign account": {
			message: interruption(other, "i-0", now),
			want:    map[string]int{"spot-interruption foreign": 1},
		},
		"its own account": {
			message: interruption(other, "i-2", now),
			want:    map[string]int{"spot-interruption taken": 1},
			notices: "i-2 termination-notice",
		},
		"another's role": {
			message: interruption(own, "i-2", now),
			want:    map[string]int{"spot-interruption foreign": 1},
		},
		"late, and it runs": {
			message: interruption(own, "i-0", now.Add(-3*time.Minute)),
			prepare: func(w *world) { w.cloud["i-0"] = "running" },
			want:    map[string]int{"spot-interruption late": 1},
			events:  "late_notice",
		},
		"late, and it is gone": {
			message: interruption(own, "i-0", now.Add(-3*time.Minute)),
			prepare: func(w *world) { w.cloud["i-0"] = "terminated" },
			want:    map[string]int{"spot-interruption taken": 1},
			notices: "i-0 termination-notice",
		},
		"time in another form": {
			message: strings.Replace(interruption(own, "i-0", now), now.UTC().Format(time.RFC3339), "today", 1),
			want:    map[string]int{"spot-interruption taken": 1},
			notices: "i-0 termination-notice",
		},
		"rebalance": {
			message: event("EC2 Instance Rebalance Recommendation", own, `{"instance-id":"i-0"}`, now),
			want:    map[string]int{"rebalance taken": 1},
			notices: "i-0 rebalance-recommendation",
		},
		"primary ends": {
			message: stateChange(own, "i-0", "shutting-down"),
			prepare: func(w *world) { w.cloud["i-0"] = "shutting-down" },
			want:    map[string]int{"state taken": 1},
			notices: "i-0 termination-notice",
		},
		"primary is said to end": {
			message: stateChange(own, "i-0", "terminated"),
			prepare: func(w *world) { w.cloud["i-0"] = "running" },
			want:    map[string]int{"state noop": 1},
		},
		"AWS stops the primary": {
			message: stateChange(own, "i-0", "stopping"),
			prepare: func(w *world) { w.cloud["i-0"] = "stopped Server.SpotInstanceShutdown" },
			want:    map[string]int{"state taken": 1},
			notices: "i-0 termination-notice",
		},
		"its owner stops the primary": {
			message: stateChange(own, "i-0", "stopped"),
			prepare: func(w *world) { w.cloud["i-0"] = "stopped Client.UserInitiatedShutdown" },
			want:    map[string]int{"state noop": 1},
		},
		"standby ends": {
			message: stateChange(own, "i-1", "terminated"),
			prepare: func(w *world) { w.cloud["i-1"] = "terminated" },
			want:    map[string]int{"state taken": 1},
			notices: "i-1 termination-notice",
		},
		"one that retires ends": {
			message: stateChange(own, "i-3", "terminated"),
			prepare: func(w *world) { w.instance("k1", "a1", "i-3", "retired") },
			want:    map[string]int{"state noop": 1},
		},
		"it runs": {
			message: stateChange(own, "i-1", "running"),
			want:    map[string]int{"state noop": 1},
		},
		"garbage": {message: "hello", want: map[string]int{"none poison": 1}},
		"another kind": {
			message: event("EC2 Fleet Error", own, `{}`, now),
			want:    map[string]int{"unknown noop": 1},
		},
		"the test of a hook": {
			message: `{"Event":"autoscaling:TEST_NOTIFICATION","Time":"2026-11-28T16:00:00Z"}`,
			want:    map[string]int{"test noop": 1},
		},
		"launching, never to be": {
			message: interruption(own, "i-9", now),
			prepare: launching,
			want:    map[string]int{"spot-interruption waits": 6, "spot-interruption unknown": 1},
		},
		"launching elsewhere": {
			message: interruption(other, "i-9", now),
			prepare: launching,
			want:    map[string]int{"spot-interruption unknown": 1},
		},
		"launched a long while ago": {
			message: interruption(own, "i-9", now),
			prepare: func(w *world) {
				launching(w)
				w.exec(
					`UPDATE launches SET created_at = now() - interval '1 hour'`)
			},
			want: map[string]int{"spot-interruption unknown": 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.prepare != nil {
				c.prepare(w)
			}
			q := newMemory(c.message)
			w.drain(q)
			require.Equal(t, c.want, w.counted())
			require.Equal(t, c.notices,
				w.read(`SELECT coalesce(string_agg(instance_id || ' ' || kind, ','), '') FROM notices`))
			require.Equal(t, c.events,
				w.read(`SELECT coalesce(string_agg(type, ','), '') FROM events WHERE type = 'late_notice'`))
			require.Equal(t, []string{"m0"}, q.deleted)
		})
	}
}

func launching(w *world) {
	w.exec(
		`
			INSERT INTO launches (client_token, client_id, agent_id, replica_id, pool_id, mode, request)
			VALUES ('t', 'k1', 'a1', 'r1', 't3.medium.us-east-1b', 'spot', '{}')`,
	)
}

func TestSwitchedOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := newMemory(interruption(own, "i-0", time.Now()))
	i := w.intake(q)
	i.ActOn = []string{"rebalance"}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- i.Run(ctx) }()
	require.Eventually(t, func() bool { return q.left() == 0 }, time.Minute, time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	require.Equal(t, map[string]int{"spot-interruption off": 1}, w.counted())
}

// TestScheduledChange is one notification to the client, however often AWS says it.
func TestScheduledChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	message := `{"version":"0","id":"77b1","detail-type":"AWS Health Event","source":"aws.health","account":"111122223333","time":"2026-11-20T06:27:57Z","region":"us-east-1","resources":[],"detail":{"service":"EC2","communicationId":"comm-1","eventRegion":"us-east-1","eventTypeCode":"AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED","eventTypeCategory":"scheduledChange","startTime":"Sat, 05 Dec 2026 15:00:00 GMT","affectedEntities":[{"entityValue":"i-0"}]}}`
	w.drain(newMemory(message, message))
	require.Equal(t, map[string]int{"health recorded": 2}, w.counted())
	require.Equal(
		t,
		"AWS has scheduled AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED for i-0 of a1 at 2026-12-05 15:00 UTC: switch the agent to another instance before",
		w.read(`SELECT string_agg(message, '|') FROM notifications`),
	)
	require.Equal(t, "1", w.read(`SELECT count(*)::text FROM events WHERE type = 'scheduled_change'`))
}

// TestKillBetweenSteps: a process that dies after any step of a message loses nothing, and
// what follows from it happens once, for every kind of event that something follows from.
func TestKillBetweenSteps(t *testing.T) {
	t.Parallel()
	const failedOver = `SELECT coalesce(string_agg(result || ' ' || door, ',' ORDER BY instance_id), '') || '; ' ||
		(SELECT count(*) FROM role_changes) FROM notices`
	for kind, c := range map[string]struct {
		bodies func() []string
		read   string
		want   string
	}{
		"notice": {
			func() []string { return []string{interruption(own, "i-0", time.Now())} }, failedOver, "promoted eventbridge; 1",
		},
		"notices together": {
			func() []string {
				return []string{interruption(own, "i-0", time.Now()), interruption(own, "i-5", time.Now())}
			},
			failedOver, "promoted eventbridge, eventbridge; 1",
		},
		"end of the primary": {
			func() []string { return []string{stateChange(own, "i-0", "terminated")} }, failedOver, "promoted eventbridge; 1",
		},
		"lifecycle action": {
			func() []string { return []string{groupEnds("i-0", "t1")} },
			`SELECT string_agg(token, ',') || '; ' || (SELECT count(*) FROM role_changes) FROM lifecycle_actions`, "t1; 1",
		},
		"scheduled change": {
			func() []string { return []string{scheduled("s1", "i-0", time.Now().Add(80*time.Hour))} },
			`SELECT string_agg(event_id, ',') || '; ' || (SELECT count(*) FROM notifications) || '; ' ||
				(SELECT count(*) FROM events WHERE type = 'scheduled_change') FROM planned_moves`, "s1; 1; 1",
		},
		"late notice": {
			func() []string { return []string{interruption(own, "i-5", time.Now().Add(-time.Hour))} },
			`SELECT count(*)::text FROM events WHERE type = 'late_notice'`, "1",
		},
	} {
		for _, step := range []string{"received", "durable", "deleted", "followed"} {
			t.Run(kind+", "+step, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.exec(`INSERT INTO agents (id, client_id, logical_agent_id) VALUES ('a5', 'k1', 'a5')`)
				w.instance("k1", "a5", "i-5", "primary")
				w.cloud["i-0"], w.cloud["i-5"] = "terminated", "running"
				q := newMemory(c.bodies()...)
				died := make(chan struct{})
				var once sync.Once
				first := w.intake(q)
				first.MoveAhead = 24 * time.Hour
				first.SetReached(func(at string) {
					if at == step {
						once.Do(func() { close(died) })
						runtime.Goexit() // nothing after the step is done
					}
				})
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- first.Run(ctx) }()
				<-died
				cancel()
				require.NoError(t, <-ended)

				q.expire()
				second := w.intake(q)
				second.MoveAhead = 24 * time.Hour
				w.drainBy(second, q)
				require.Equal(t, c.want, w.read(c.read))
				// What was not followed is the sweep's: its row is due.
				require.Equal(t, "true",
					w.read(`SELECT coalesce(bool_and(tend_at IS NOT NULL), true)::text FROM operations WHERE kind = 'termination'`))
			})
		}
	}
}

// TestQueueAway: the intake goes on when the queue is back, and says meanwhile what is wrong.
func TestQueueAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := newMemory(interruption(own, "i-0", time.Now()))
	q.fail(errors.New("no route to host"))
	i := w.intake(q)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- i.Run(ctx) }()
	require.Eventually(t, func() bool { return i.Check(ctx) != nil }, time.Minute, time.Millisecond)
	require.ErrorContains(t, i.Check(ctx), "no route to host")
	q.fail(nil)
	require.Eventually(t, func() bool { return q.left() == 0 && i.Check(ctx) == nil }, time.Minute, time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	require.Equal(t, map[string]int{"spot-interruption taken": 1}, w.counted())
}

// TestDatabaseAway: a message that cannot be made durable stays in the queue.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := newMemory(interruption(own, "i-0", time.Now()))
	asked := 0
	w.store.OwnAccount = func(context.Context) (string, error) {
		if asked++; asked < 3 {
			return "", errors.New("a dependency is away")
		}
		return own, nil
	}
	w.drain(q)
	require.Equal(t, map[string]int{"spot-interruption failed": 2, "spot-interruption taken": 1}, w.counted())
}

// TestLaunchOutlivesAnOutage: a notice about an instance that is being launched is looked for
// over a minute, however often the database failed meanwhile.
func TestLaunchOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	launching(w)
	asked := 0
	w.store.OwnAccount = func(context.Context) (string, error) {
		if asked++; asked < 6 {
			return "", errors.New("a dependency is away")
		}
		return own, nil
	}
	w.drain(newMemory(interruption(own, "i-9", time.Now())))
	require.Equal(t, map[string]int{
		"spot-interruption failed": 5, "spot-interruption waits": 5, "spot-interruption unknown": 1,
	}, w.counted())
}

// TestOutageEndsInNoDeadLetter: an outage as long as messages are kept takes fewer receives
// than the template's queue gives to a message.
func TestOutageEndsInNoDeadLetter(t *testing.T) {
	t.Parallel()
	template, err := os.ReadFile("../../deploy/cloudformation/control-events.yaml")
	require.NoError(t, err)
	receives := 0
	for waited := time.Duration(0); waited < 5*time.Minute; receives++ {
		waited += intake.AgainAfter(receives + 1)
	}
	require.Less(t, receives, 30)
	require.Contains(t, string(template), "maxReceiveCount: 60")
	require.Contains(t, string(template), "MessageRetentionPeriod: 300")
}

// TestStorm: many notices at once, each doubled, are each one row.
func TestStorm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(
		`
			INSERT INTO agents (id, client_id, logical_agent_id)
			SELECT 's' || n, 'k1', 's' || n
			FROM generate_series(1, 300) n`,
	)
	w.exec(
		`
		INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, ami_id,
			launched_by, proof)
		SELECT 'i-s' || n, 'k1', 's' || n, 'primary', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a',
			'spot', 'ami-1', 'control-plane', 'launched'
		FROM generate_series(1, 300) n`,
	)
	var bodies []string
	for range 2 {
		for n := range 300 {
			bodies = append(bodies, interruption(own, fmt.Sprintf("i-s%d", n+1), time.Now()))
		}
	}
	w.drain(newMemory(bodies...))
	require.Equal(t, map[string]int{"spot-interruption taken": 300, "spot-interruption repeated": 300}, w.counted())
	require.Equal(t, "300", w.read(`SELECT count(*)::text FROM notices WHERE arrivals = 2`))
}

// TestRunningIsRecordedAtOnce: a running instance of a replica is recorded, and its agent's
// Guardian is woken when it waits for that. EC2's state decides.
func TestRunningIsRecordedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`UPDATE replicas SET state = 'launching', kind = 'termination', hold = NULL WHERE id = 'r1'`)
	w.exec(`INSERT INTO operations (id, kind, client_id, agent_id) VALUES ('replica/r1', 'replica', 'k1', 'a1')`)
	w.drain(newMemory(stateChange(own, "i-1", "running")))
	require.Equal(t, "launching", w.read(`SELECT state FROM replicas`), "EC2 does not show it running")
	w.drain(newMemory(interruption(own, "i-0", time.Now())))
	require.Empty(t, w.woken)

	w.cloud["i-1"] = "running"
	w.drain(newMemory(stateChange(own, "i-1", "running"), stateChange(own, "i-1", "running"),
		stateChange(own, "i-0", "running")))
	require.Equal(t, map[string]int{"state noop": 2, "state runs": 2, "spot-interruption taken": 1}, w.counted())
	require.Equal(t, "running", w.read(`SELECT state FROM replicas`))
	require.Contains(t, w.woken, "a1")
	require.Equal(t, "i-1 runs, by the door eventbridge",
		w.read(`SELECT string_agg(detail, '|') FROM operation_steps WHERE operation_id = 'replica/r1'`))
}

// TestTheStateOfAQueueIsKept: why the queue cannot be read, then that it can and how long its messages waited.
func TestTheStateOfAQueueIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := newMemory()
	q.fail(errors.New("no route to host"))
	i := w.intake(q)
	var ahead atomic.Int64 // seconds
	i.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load()) * time.Second) }
	kept := &awsevents.Queues{DB: w.db, Worker: "7@here"}
	i.Note = func(ctx context.Context, s intake.QueueState) error { return kept.Note(ctx, "https://sqs/q", s) }
	w.exec(`INSERT INTO event_queues (queue, worker, updated_at) VALUES
		('https://sqs/q', '6@gone', now() - interval '2 days'), ('https://sqs/q', '8@there', now())`)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- i.Run(ctx) }()
	is := func(sql string) bool {
		return w.read(`SELECT (count(*) = 1)::text FROM event_queues WHERE worker = '7@here' AND `+sql) == "true"
	}
	require.Eventually(t, func() bool { return is(`error LIKE '%no route to host' AND received_at IS NULL`) }, time.Minute,
		time.Millisecond)
	require.Equal(t, "8@there", w.read(`SELECT worker FROM event_queues WHERE worker <> '7@here'`), "the row of a worker that is gone is deleted")
	q.fail(nil)
	require.Eventually(t, func() bool {
		ahead.Add(10) // a state is written every few seconds
		q.send(interruption(own, "i-9", time.Now()))
		return is(`error = '' AND received_at IS NOT NULL AND waited_ms >= 10000`)
	}, time.Minute, 20*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
}
