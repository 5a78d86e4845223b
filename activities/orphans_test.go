package activities_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

// sweep lets a sweep run, ten minutes after the last one.
func (w *world) sweep() *activities.SweepResult {
	w.t.Helper()
	w.exec(`UPDATE orphan_sightings SET last_seen_at = last_seen_at - interval '10 minutes'`)
	got, err := w.orphans.SweepOrphans(w.t.Context(), activities.SweepInput{})
	require.NoError(w.t, err)
	return got
}

// TestASweepEndsWhatIsNotNeeded is invariant 3, over every way in which an
// instance can be forgotten.
func TestASweepEndsWhatIsNotNeeded(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name   string
		forget func(w *world) string // answers the instance that is an orphan
	}{
		{"the launch whose answer was lost, and whose replica was given up", func(w *world) string {
			r := w.replica(replica.Manual)
			w.loseAnswer(r, "b")
			w.advance(r.ID, replica.Failed, "")
			return "i-new-1"
		}},
		{"the replica that failed without ending its instance", func(w *world) string {
			r, id := w.launched(replica.Manual, "b")
			w.advance(r.ID, replica.Failed, "")
			return id
		}},
		{"the old primary whose retirement was never finished", func(w *world) string {
			r, id := w.launched(replica.Switch, "b")
			w.fleet.become("i-0", activities.StateRunning, true)
			w.fleet.instances["i-0"].Owner = activities.LaunchOwner{ClientID: "k1", AgentID: "a1"}
			w.promote(r, id, roles.RetireOld)
			w.exec(`UPDATE instances SET retiring_since = now() - interval '2 hours' WHERE id = 'i-0'`)
			return "i-0"
		}},
		{"what was recorded as ended", func(w *world) string {
			r, id := w.launched(replica.Manual, "b")
			w.advance(r.ID, replica.Retired, "")
			return id
		}},
		{"the second instance of a replica", func(w *world) string {
			r, _ := w.launched(replica.Manual, "b")
			w.fleet.become("i-twin", activities.StateRunning, true)
			w.fleet.instances["i-twin"].Owner = activities.LaunchOwner{ClientID: "k1", AgentID: "a1", ReplicaID: r.ID}
			w.fleet.instances["i-twin"].Token = one[string](w,
				`SELECT client_token FROM launches WHERE replica_id = $1`, r.ID)
			return "i-twin"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			orphan := tt.forget(w)
			for _, i := range w.fleet.instances {
				i.State = activities.StateRunning
			}
			w.fleet.pass(time.Hour)
			living := len(w.fleet.instances)

			first := w.sweep()
			require.Equal(t, lines(1, 0), lines(first.Suspects, first.Terminated), "one sighting is none")
			again, err := w.orphans.SweepOrphans(t.Context(), activities.SweepInput{})
			require.NoError(t, err)
			require.Zero(t, again.Terminated, "nor are two in one moment")
			require.Equal(t, 1, w.sweep().Terminated)
			require.Equal(t, []string{orphan}, w.fleet.ended)
			require.Equal(t, "retired",
				one[string](w, `SELECT role FROM instances WHERE id = $1 AND terminated_at IS NOT NULL`, orphan))
			require.Equal(t, "orphan_found orphan_terminated",
				one[string](w, `SELECT string_agg(type, ' ' ORDER BY id) FROM events WHERE type LIKE 'orphan%'`))
			require.Zero(t, w.sweep().Suspects)
			require.Len(t, w.fleet.ended, 1, "of %d", living)
		})
	}
}

// TestSweepClosesLaunches plays the attempts to launch whose answer was lost: none stays
// open when nothing repeats it, and its row has the instance that it made.
func TestSweepClosesLaunches(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name  string
		lose  func(w *world, r roles.Replica)
		later time.Duration
		want  string
	}{
		{
			name:  "its replica was given up, and it made nothing",
			lose:  func(w *world, r roles.Replica) { w.launchThrottled(r, "b"); w.advance(r.ID, replica.Failed, "") },
			later: time.Hour, want: "failed launch.abandoned ",
		},
		{
			name:  "its replica was given up, and it made an instance",
			lose:  func(w *world, r roles.Replica) { w.loseAnswer(r, "b"); w.advance(r.ID, replica.Failed, "") },
			later: time.Hour, want: "failed launch.abandoned i-new-1",
		},
		{
			name: "its replica lives on the instance of another attempt",
			lose: func(w *world, r roles.Replica) {
				w.loseAnswer(r, "b")
				made, err := w.launch(r, "c")
				require.NoError(w.t, err)
				w.advance(r.ID, replica.Ready, made.InstanceID)
			},
			later: time.Hour, want: "failed launch.abandoned i-new-1",
		},
		{
			name:  "it was given up a moment ago, and EC2 may not show its instance yet",
			lose:  func(w *world, r roles.Replica) { w.launchThrottled(r, "b"); w.advance(r.ID, replica.Failed, "") },
			later: time.Minute, want: "requested  ",
		},
		{
			name:  "its replica is open, and repeats it",
			lose:  func(w *world, r roles.Replica) { w.launchThrottled(r, "b") },
			later: time.Hour, want: "requested  ",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tt.lose(w, w.replica(replica.Termination))
			w.exec(`UPDATE launches SET created_at = created_at - make_interval(secs => $1),
				ended_at = ended_at - make_interval(secs => $1)`, tt.later.Seconds())
			w.exec(`UPDATE replicas SET ended_at = ended_at - make_interval(secs => $1)`, tt.later.Seconds())
			for range 2 {
				w.sweep()
				require.Equal(t, tt.want, one[string](w, `SELECT state || ' ' || coalesce(error_code, '') || ' ' ||
					coalesce(instance_id, '') FROM launches WHERE pool_id LIKE '%b'`))
			}
		})
	}
}

// loseAnswer launches an instance whose answer is lost.
func (w *world) loseAnswer(r roles.Replica, zone string) {
	w.t.Helper()
	w.fleet.lose = true
	_, err := w.launch(r, zone)
	require.Error(w.t, err)
}

// launchThrottled makes an attempt to launch that EC2 does not answer and that makes nothing.
func (w *world) launchThrottled(r roles.Replica, zone string) {
	w.t.Helper()
	w.fleet.fail = replica.Throttled.New("slow down")
	_, err := w.launch(r, zone)
	require.Error(w.t, err)
}

// TestASweepLeavesWhatIsNeeded shows it every instance that looks superfluous and
// is not.
func TestASweepLeavesWhatIsNeeded(t *testing.T) {
	t.Parallel()

	ours := activities.LaunchOwner{ClientID: "k1", AgentID: "a1"}
	for _, tt := range []struct {
		name     string
		have     func(w *world)
		suspects int
	}{
		{"a primary", func(*world) {}, 0},
		{"a standby", func(w *world) { w.launched(replica.Manual, "b") }, 0},
		{"a launch whose answer is on its way", func(w *world) {
			w.loseAnswer(w.replica(replica.Manual), "b")
		}, 0},
		{"the old primary during its wait", func(w *world) {
			r, id := w.launched(replica.Switch, "b")
			w.exec(`UPDATE agents SET terminate_wait_seconds = 7200`)
			w.promote(r, id, roles.RetireOld)
			w.exec(`UPDATE instances SET retiring_since = now() - interval '2 hours' WHERE id = 'i-0'`)
		}, 0},
		{"the old primary that is to be kept", func(w *world) {
			r, id := w.launched(replica.Switch, "b")
			w.promote(r, id, roles.KeepOld)
			w.exec(`UPDATE instances SET retiring_since = now() - interval '2 days' WHERE id = 'i-0'`)
		}, 0},
		{"a replica that is being retired", func(w *world) {
			r, id := w.launched(replica.Manual, "b")
			w.advance(r.ID, replica.Retiring, "")
			w.exec(`UPDATE instances SET role = 'retiring', retiring_since = now() WHERE id = $1`, id)
		}, 0},
		{"tags that lie: reported, and left alone", func(w *world) {
			w.fleet.become("i-stranger", activities.StateRunning, true)
			w.fleet.instances["i-stranger"].Owner = activities.LaunchOwner{
				ClientID:  "k1",
				AgentID:   "a1",
				ReplicaID: "r-invented",
			}
		}, 1},
		{"tags that name a replica of ours: its launch has another token", func(w *world) {
			r := w.replica(replica.Manual)
			_, err := w.launch(r, "b")
			require.NoError(w.t, err)
			w.advance(r.ID, replica.Failed, "")
			w.fleet.become("i-stranger", activities.StateRunning, true)
			w.fleet.instances["i-stranger"].Owner = activities.LaunchOwner{
				ClientID:  "k1",
				AgentID:   "a1",
				ReplicaID: r.ID,
			}
			delete(w.fleet.instances, "i-new-1")
		}, 1},
		{"what only an agent has named, under our tags", func(w *world) {
			w.fleet.become("i-named", activities.StateRunning, true)
			w.fleet.instances["i-named"].Owner = ours
			w.advance(w.replica(replica.Manual).ID, replica.Running, "i-named")
			w.exec(`UPDATE replicas SET state = 'failed', ended_at = now()`)
		}, 1},
		{"another tenant's instance under our tags", func(w *world) {
			w.exec(`
				INSERT INTO clients (id, name, email, token_hash, token_sealed)
				VALUES ('k2', 'Beta', 'l@x', '\x02', '\x02')`)
			w.exec(`
				INSERT INTO instances (id, client_id, role, instance_type, region, az, pool_id)
				VALUES ('i-theirs', 'k2', 'retired', 't', 'us-west-2', 'z', 't.z')`)
			w.fleet.become("i-theirs", activities.StateRunning, true)
			w.fleet.instances["i-theirs"].Owner = ours
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fleet.instances["i-0"].Owner = ours
			tt.have(w)
			for _, i := range w.fleet.instances {
				i.State = activities.StateRunning
			}
			w.fleet.pass(time.Hour)
			for range 3 {
				got := w.sweep()
				require.Equal(t, lines(tt.suspects, 0, 0), lines(got.Suspects, got.Terminated, got.Failed))
			}
			require.Empty(t, w.fleet.ended)
		})
	}
}

// TestTheYoungAreNotJudged is what happened between the launch and its row.
func TestTheYoungAreNotJudged(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.replica(replica.Manual)
	w.fleet.lose = true
	_, err := w.launch(r, "b")
	require.Error(t, err)
	w.advance(r.ID, replica.Failed, "")
	for range 3 {
		require.Zero(t, w.sweep().Seen)
	}
}

// TestASuspectThatFoundAReason is the replica whose row came late.
func TestASuspectThatFoundAReason(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r, id := w.launched(replica.Manual, "b")
	w.fleet.pass(time.Hour)
	w.exec(`UPDATE replicas SET state = 'failed' WHERE id = $1`, r.ID)
	require.Equal(t, 1, w.sweep().Suspects)
	w.exec(`UPDATE replicas SET state = 'ready' WHERE id = $1`, r.ID)
	require.Zero(t, w.sweep().Suspects)
	w.exec(`UPDATE replicas SET state = 'failed' WHERE id = $1`, r.ID)
	require.Zero(t, w.sweep().Terminated, "it is a first sighting again")

	w.exec(`UPDATE replicas SET state = 'ready' WHERE id = $1`, r.ID)
	store, suspect := w.orphans.Store, activities.Suspect{
		InstanceID: id,
		AgentID:    "a1",
		Reason:     "as it was",
		Ours:       true,
	}
	condemned, err := store.MarkForTermination(t.Context(), activities.SweepPlace{
		Account: activities.Account{ClientID: "k1"},
		Region:  "us-east-1",
	}, *w.fleet.instances[id], suspect)
	require.NoError(t, err)
	require.False(t, condemned, "the last word is the database's, under the agent's lock")
	w.promote(r, id, roles.RetireOld)
}

func TestMarkSilentAgents(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.exec(`INSERT INTO agents (id, client_id, logical_agent_id, hostname, status, last_heartbeat_at)
		SELECT 's' || n, 'k1', 's' || n, CASE WHEN n % 2 = 0 THEN 'host' || n ELSE '' END, 'online',
			now() - interval '3 minutes'
		FROM generate_series(1, 25) n`)
	w.exec(
		`
			INSERT INTO agents (id, client_id, logical_agent_id, status, last_heartbeat_at)
			VALUES ('fresh', 'k1', 'fresh', 'online', now()),
				('off', 'k1', 'off', 'disabled', now() - interval '1 day'),
				('gone', 'k1', 'gone', 'deleted', now() - interval '1 day')`,
	)
	health := &activities.Agents{Store: silence(w), Timeout: 2 * time.Minute}
	for _, want := range []int{25, 0} {
		got, err := health.MarkSilentAgents(t.Context(), activities.SilenceInput{Chunk: 10})
		require.NoError(t, err)
		require.Equal(t, want, got.Offline)
	}
	require.Equal(t, 25, one[int](
		w,
		`
			SELECT count(*)
			FROM notifications
			WHERE severity = 'warning' AND message LIKE 'Agent % marked offline (heartbeat timeout)'`,
	))
	require.Equal(t, "Agent host2 marked offline (heartbeat timeout)",
		one[string](
			w,
			`
				SELECT message
				FROM events
				WHERE agent_id = 's2' AND type = 'agent_marked_offline' AND metadata->>'timeout_seconds' = '120'`,
		))

	w.exec(`UPDATE agents SET status = 'online' WHERE id = 's1'`) // an old writer, not a heartbeat
	_, err := health.MarkSilentAgents(t.Context(), activities.SilenceInput{})
	require.NoError(t, err)
	require.Equal(t, 25, one[int](w, `SELECT count(*) FROM notifications`), "one silence is told of once")
	w.exec(`UPDATE agents SET status = 'online', last_heartbeat_at = now() - interval '150 seconds' WHERE id = 's1'`)
	_, err = health.MarkSilentAgents(t.Context(), activities.SilenceInput{})
	require.NoError(t, err)
	require.Equal(t, 26, one[int](w, `SELECT count(*) FROM notifications`), "another silence is another")
}

var quiet = slog.New(slog.DiscardHandler)
