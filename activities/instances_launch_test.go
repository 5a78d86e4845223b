package activities_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/fleet"
)

// TestALostAnswerIsNotASecondLaunch is invariant 2: a launch decision makes one instance,
// however often and by however many processes it is tried.
func TestALostAnswerIsNotASecondLaunch(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.replica(replica.Manual)
	w.fleet.lose = true
	_, err := w.launch(r, "b")
	require.Equal(t, fleet.Unavailable, fault.CodeOf(err), "it is tried again")
	require.Equal(t, "requested", one[string](w, `SELECT state FROM launches`))
	first, err := w.launch(r, "b")
	require.NoError(t, err, "the template has changed meanwhile, and the frozen request has not")
	again, err := w.launch(r, "b")
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, 1, w.fleet.launches)
	require.Equal(t, 1, w.fleet.templates)
	require.Equal(t, "launched "+first.InstanceID, one[string](w, `SELECT state || ' ' || instance_id FROM launches`))
	owner := w.fleet.instances[first.InstanceID].Owner
	require.Equal(t, activities.LaunchOwner{
		ClientID:  "k1",
		AgentID:   "a1",
		ReplicaID: r.ID,
		Operation: "replica/" + r.ID,
		Epoch:     1,
	}, owner)
}

func TestLaunchesAtOnceMakeOneInstance(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.replica(replica.Manual)
	var wg sync.WaitGroup
	ids := make([]string, 6)
	for i := range ids {
		wg.Go(func() {
			if made, err := w.launch(r, "b"); err == nil {
				ids[i] = made.InstanceID
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		require.Equal(t, "i-new-1", id)
	}
	require.Equal(t, 1, w.fleet.launches)
}

func TestLaunchFallsFromPoolToPool(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.replica(replica.Termination)
	w.fleet.empty[place("b").Key()] = true
	w.fleet.noSubnet["us-east-1d"] = true
	_, err := w.launch(r, "b")
	require.Equal(t, replica.NoCapacity, fault.CodeOf(err))
	require.Equal(t, "failed launch.no_capacity", one[string](w, `SELECT state || ' ' || error_code FROM launches`))
	_, err = w.launch(r, "d")
	require.Equal(t, replica.NoAddresses, fault.CodeOf(err))
	made, err := w.launch(r, "c")
	require.NoError(t, err)
	w.fleet.empty = nil
	_, err = w.launch(r, "b")
	require.Equal(t, replica.AlreadyExists, fault.CodeOf(err), "a second instance for the replica is ended at once")
	require.Equal(t, []string{"i-new-2"}, w.fleet.ended)
	require.Equal(t, "failed replica.already_exists i-new-2", one[string](w,
		`SELECT state || ' ' || error_code || ' ' || instance_id FROM launches WHERE pool_id LIKE '%b'`))
	require.Equal(t, made.InstanceID, one[string](w, `SELECT instance_id FROM launches WHERE state = 'launched'`))
}

func TestLaunchReactsByClass(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.replica(replica.Manual)
	for code, state := range map[fault.Code]string{
		replica.Throttled:     "requested",
		fleet.Unavailable:     "requested",
		replica.QuotaUsedUp:   "failed",
		replica.Refused:       "failed",
		replica.Misconfigured: "failed",
	} {
		w.exec(`UPDATE launches SET state = 'requested', error_code = NULL`)
		w.fleet.fail = code.New("no")
		_, err := w.launch(r, "b")
		require.Equal(t, code, fault.CodeOf(err))
		require.Equal(t, state, one[string](w, `SELECT state FROM launches`), code)
	}
	made, err := w.launch(r, "b")
	require.NoError(t, err, "a failed attempt may be made again")

	w.exec(`UPDATE launches SET state = 'requested', instance_id = NULL`) // as if the worker had died
	w.fleet.become(made.InstanceID, activities.StateTerminated, false)
	_, err = w.launch(r, "b")
	require.Equal(t, replica.TokenDead, fault.CodeOf(err), "it launched, and is dead: the next pool")
	_, err = w.launch(r, "c")
	require.NoError(t, err)
}

func TestNothingIsLaunchedForAReplicaGivenUp(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.replica(replica.Manual)
	w.advance(r.ID, replica.Retiring, "")
	_, err := w.launch(r, "b")
	require.Equal(t, replica.AlreadyEnded, fault.CodeOf(err))
	require.Zero(t, w.fleet.launches)
}

// TestAnUrgentLaunchDoesNotReadEC2 when what the primary was launched with is noted.
func TestAnUrgentLaunchDoesNotReadEC2(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.replica(replica.Termination)
	urgent := func(zone string) {
		t.Helper()
		_, err := w.instances.LaunchInstance(t.Context(), activities.LaunchInput{
			AgentID:   "a1",
			ReplicaID: r.ID,
			Where:     place(zone),
			Operation: "replica/" + r.ID,
			Urgent:    true,
		})
		require.Equal(t, replica.NoCapacity, fault.CodeOf(err))
	}
	for _, zone := range []string{"b", "c", "d"} {
		w.fleet.empty[place(zone).Key()] = true
	}
	urgent("b")
	require.Equal(t, 1, w.fleet.templates, "nothing was noted yet")
	urgent("c")
	require.Equal(t, 1, w.fleet.templates)
	_, err := w.launch(r, "d")
	require.Equal(t, replica.NoCapacity, fault.CodeOf(err))
	require.Equal(t, 2, w.fleet.templates, "at rest what is true now is copied")
}

// TestTheTemplateOutlivesItsInstance is the primary that vanished before anything
// could be read from it.
func TestTheTemplateOutlivesItsInstance(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.fleet.gone = true
	made := w.replica(replica.Termination)
	_, err := w.launch(made, "b")
	require.Equal(t, replica.NotRunning, fault.CodeOf(err), "EC2 may not show yet what has just registered")
	w.exec(`UPDATE instances SET installed_at = now() - interval '3 minutes'`)
	_, err = w.launch(made, "b")
	require.Equal(t, replica.Misconfigured, fault.CodeOf(err), "nothing was ever noted")
	w.fleet.gone = false
	_, err = w.launch(w.replica(replica.Manual), "c")
	require.NoError(t, err)
	w.fleet.gone = true
	_, err = w.launch(w.replica(replica.Termination), "b")
	require.NoError(t, err)
	require.JSONEq(t, `{"read": 1}`,
		one[string](w, `SELECT request->>'template' FROM launches WHERE pool_id LIKE '%1b'`))
}

func TestChooseCandidates(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.replica(replica.Termination)
	choose := func(id string) (*activities.ChooseResult, error) {
		return w.instances.ChooseCandidates(t.Context(), activities.ChooseInput{AgentID: "a1", ReplicaID: id})
	}
	got, err := choose(r.ID)
	require.NoError(t, err)
	require.Equal(t, "spot/t3.medium.us-east-1b", got.Candidates[0].Key())
	for range 2 {
		require.NoError(t, w.instances.RecordPool(t.Context(), activities.PoolOutcome{
			AgentID: "a1",
			Where:   place("b"),
			Code:    string(replica.NoCapacity),
		}))
	}
	got, err = choose(r.ID)
	require.NoError(t, err)
	require.Equal(t, "spot/t3.medium.us-east-1c", got.Candidates[0].Key())
	require.Equal(t, "spot/t3.medium.us-east-1b", got.Candidates[len(got.Candidates)-1].Key(),
		"in an emergency last, not never")

	opened, err := w.roles.OpenReplica(t.Context(), roles.ReplicaRequest{
		AgentID: "a1",
		Kind:    replica.Switch,
		For:     "c1",
		Plan:    replica.Plan{Mode: "spot", Pool: "t3.medium.us-east-1b"},
	})
	require.NoError(t, err)
	_, err = choose(opened.Replica.ID)
	require.Equal(t, replica.NoPool, fault.CodeOf(err))
	_, err = choose("r9")
	require.Equal(t, replica.NotFound, fault.CodeOf(err))
}

// TestAnUrgentLaunchWhoseAnswerIsLost finds its instance again, without a read of EC2.
func TestAnUrgentLaunchWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.replica(replica.Termination)
	in := activities.LaunchInput{
		AgentID:   "a1",
		ReplicaID: r.ID,
		Where:     place("b"),
		Operation: "replica/" + r.ID,
		Urgent:    true,
	}
	w.exec(`INSERT INTO launch_templates (agent_id, instance_id, template) VALUES ('a1', 'i-0', '{}')`)
	w.fleet.lose = true
	_, err := w.instances.LaunchInstance(t.Context(), in)
	require.True(t, fault.KindOf(err).Retryable(), "%v", err)
	made, err := w.instances.LaunchInstance(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, 1, w.fleet.launches)
	require.Zero(t, w.fleet.templates)
	require.Equal(t, made.InstanceID,
		one[string](w, `SELECT instance_id FROM launches WHERE replica_id = $1 AND state = 'launched'`, r.ID))
}
