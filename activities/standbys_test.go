package activities_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/sweeps"
)

// places is an EC2 that answers for many instances at once.
type places struct {
	*fakeFleet

	asked map[string]int   // questions, by client
	away  map[string]error // by client
}

func (p *places) States(
	_ context.Context,
	a activities.Account,
	_ string,
	ids []string,
) (map[string]activities.CloudInstance, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[a.ClientID]++
	if err := p.away[a.ClientID]; err != nil || p.unseen {
		return nil, err
	}
	out := map[string]activities.CloudInstance{}
	for _, id := range ids {
		if i, ok := p.instances[id]; ok {
			out[id] = *i
		}
	}
	return out, nil
}

func (w *world) standbyWatch() (*activities.Standbys, *places) {
	p := &places{fakeFleet: w.fleet, asked: map[string]int{}, away: map[string]error{}}
	now := func() time.Time { w.fleet.mu.Lock(); defer w.fleet.mu.Unlock(); return w.fleet.now }
	store := &sweeps.Standbys{Roles: postgres.Roles{DB: w.db}, Launches: postgres.Launches{DB: w.db}}
	return &activities.Standbys{Store: store, Fleet: p, Workflows: w.post, Log: quiet, Now: now}, p
}

// TestTheWatchFailsAStandbyThatIsGone in its row, has its workflow end what is left, and
// the Guardian open the next one. A second run finds that done.
func TestTheWatchFailsAStandbyThatIsGone(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		state string
		lost  bool
		role  string // of the instance afterwards
	}{
		{activities.StatePending, false, "replica"},
		{activities.StateRunning, false, "replica"},
		{activities.StateShuttingDown, true, "replica"},
		{activities.StateStopping, true, "replica"},
		{activities.StateStopped, true, "replica"},
		{activities.StateTerminated, true, "retired"},
	} {
		t.Run(tt.state, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			w.exec(`UPDATE agents SET keeping = 'manual'`)
			r, id := w.launched(replica.Manual, "b")
			w.fleet.become(id, tt.state, false)
			watch, _ := w.standbyWatch()
			for round := range 2 {
				seen, err := watch.WatchStandbys(t.Context())
				require.NoError(t, err)
				want := activities.WatchStandbysResult{}
				if round == 0 || !tt.lost {
					want.Watched = 1
				}
				if round == 0 && tt.lost {
					want.Lost = 1
				}
				require.Equal(t, want, *seen)
			}
			require.Equal(t, tt.role, one[string](w, `SELECT role FROM instances WHERE id = $1`, id))
			if !tt.lost {
				require.Equal(t, "ready", one[string](w, `SELECT state FROM replicas WHERE id = $1`, r.ID))
				require.Empty(t, w.post.nudges)
				return
			}
			require.Equal(t, "failed launch.instance_gone",
				one[string](w, `SELECT state || ' ' || error_code FROM replicas WHERE id = $1`, r.ID))
			require.Equal(t, []string{"replica/" + r.ID}, w.post.nudges)
			require.Equal(t, []string{"a1"}, w.post.wakes)
			require.True(t, one[bool](w, `SELECT review_at IS NOT NULL FROM agents WHERE id = 'a1'`),
				"for when the message gets lost")
			require.True(t, one[bool](w,
				`SELECT tend_at < now() + interval '6 seconds' FROM operations WHERE id = 'replica/' || $1`, r.ID))
		})
	}
}

// TestTheWatchBelievesAnAbsenceOnlyOfOldInstances, as every other look at EC2 does.
func TestTheWatchBelievesAnAbsenceOnlyOfOldInstances(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	_, id := w.launched(replica.Manual, "b")
	w.fleet.unseen = true
	watch, _ := w.standbyWatch()
	seen, err := watch.WatchStandbys(t.Context())
	require.NoError(t, err)
	require.Zero(t, seen.Lost)
	w.fleet.pass(activities.Visibility + time.Minute)
	seen, err = watch.WatchStandbys(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, seen.Lost)
	require.Equal(t, "retired", one[string](w, `SELECT role FROM instances WHERE id = $1`, id))
}

// TestTheWatchLeavesAloneWhatItMayNotSee: instances that the agent launched, and instances
// that are no longer standbys.
func TestTheWatchLeavesAloneWhatItMayNotSee(t *testing.T) {
	t.Parallel()

	for name, change := range map[string]func(w *world, r roles.Replica, id string){
		"launched by the agent": func(w *world, r roles.Replica, _ string) {
			w.exec(`UPDATE replicas SET launcher = 'agent' WHERE id = $1`, r.ID)
		},
		"promoted": func(w *world, r roles.Replica, id string) { w.promote(r, id, roles.LeaveOld) },
		"failed":   func(w *world, r roles.Replica, _ string) { w.advance(r.ID, replica.Failed, "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			r, id := w.launched(replica.Manual, "b")
			change(w, r, id)
			w.fleet.become(id, activities.StateTerminated, false)
			watch, ec2 := w.standbyWatch()
			seen, err := watch.WatchStandbys(t.Context())
			require.NoError(t, err)
			require.Equal(t, activities.WatchStandbysResult{}, *seen)
			require.Empty(t, ec2.asked)
		})
	}
}

// TestTheWatchAsksOncePerPlace, and one client whose account does not answer keeps no
// other from being watched.
func TestTheWatchAsksOncePerPlace(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.exec(
		`INSERT INTO clients (id, name, email, token_hash, token_sealed) VALUES ('k2', 'Else', 'e@x', '\x02', '\x02')`,
	)
	w.exec(
		`
			INSERT INTO agents (id, client_id, logical_agent_id)
			SELECT 'n' || n, CASE WHEN n > 250 THEN 'k2' ELSE 'k1' END, 'n' || n
			FROM generate_series(1, 253) n`,
	)
	w.exec(`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, launched_by)
		SELECT 'i-' || id, client_id, id, 'replica', 't3.medium', 'us-east-1', 'us-east-1b', 't3.medium.us-east-1b',
			'spot', 'control-plane'
		FROM agents WHERE id LIKE 'n%'`)
	w.exec(
		`
		INSERT INTO replicas (client_id, agent_id, kind, made_for, state, launcher, plan, pool_id, mode, instance_id,
			created_by, reason, sync_status)
		SELECT client_id, agent_id, 'manual', 'i-0', 'ready', 'control-plane', '{}', pool_id, 'spot', id, 'system', '',
			'synced'
		FROM instances WHERE id LIKE 'i-n%'`,
	)
	watch, ec2 := w.standbyWatch()
	ec2.away["k1"] = errors.New("no such role")
	seen, err := watch.WatchStandbys(t.Context())
	require.NoError(t, err)
	require.Equal(t, activities.WatchStandbysResult{Watched: 3, Failed: 250}, *seen)
	require.Equal(t, map[string]int{"k1": 2, "k2": 1}, maps.Clone(ec2.asked), "200 in a question")
}
