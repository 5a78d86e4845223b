package activities_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

func TestAwait(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		state    string
		checks   bool
		up, gone fault.Code
	}{
		{activities.StatePending, false, replica.NotRunning, replica.NotRunning},
		{activities.StateRunning, false, replica.NotRunning, replica.NotRunning},
		{activities.StateRunning, true, "", replica.NotRunning},
		{activities.StateShuttingDown, false, replica.InstanceGone, replica.NotRunning},
		{activities.StateStopping, false, replica.InstanceGone, ""},
		{activities.StateStopped, false, replica.InstanceGone, ""}, // it exists, and its watcher ends it
		{activities.StateTerminated, false, replica.InstanceGone, ""},
	} {
		t.Run(tt.state, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r, id := w.launched(replica.Manual, "b")
			w.fleet.become(id, tt.state, tt.checks)
			seen, err := w.instances.AwaitUp(t.Context(), w.up(r, id))
			require.Equal(t, tt.up, fault.CodeOf(err))
			if err == nil {
				require.Equal(t, &activities.InstanceState{
					State:    tt.state,
					ChecksOK: tt.checks,
					Mode:     agent.Spot,
					PoolID:   "t3.medium.us-east-1b",
				}, seen)
			}
			_, err = w.instances.AwaitGone(t.Context(), activities.WatchInput{AgentID: "a1", InstanceID: id})
			require.Equal(t, tt.gone, fault.CodeOf(err))
			require.Equal(t, tt.state == activities.StateTerminated,
				one[string](w, `SELECT role FROM instances WHERE id = $1`, id) == "retired")
		})
	}
}

// up is the input of AwaitUp for an instance that was launched in zone b.
func (w *world) up(r roles.Replica, id string) activities.UpInput {
	return activities.UpInput{AgentID: "a1", InstanceID: id, ReplicaID: r.ID, Where: place("b")}
}

// TestAnInstanceIsRecordedWhenItRuns although its checks do not pass yet: the replica
// runs, its pool counts as launched, and the Guardian gets a signal when a notice waits.
// A repeated attempt changes nothing.
func TestAnInstanceIsRecordedWhenItRuns(t *testing.T) {
	t.Parallel()

	for name, noticed := range map[string]bool{"at rest": false, "a notice waits": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			w.exec(`UPDATE agents SET keeping = 'manual'`)
			r := w.replica(replica.Manual)
			made, err := w.launch(r, "b")
			require.NoError(t, err)
			w.advance(r.ID, replica.Launching, made.InstanceID)
			if noticed {
				w.exec(`INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline, door)
					VALUES ('k1', 'a1', 'i-0', 'termination-notice', now() + interval '2 minutes', 'http')`)
			}
			w.exec(`UPDATE agents SET review_at = NULL`)
			_, err = w.instances.AwaitUp(t.Context(), w.up(r, made.InstanceID))
			require.Equal(t, replica.NotRunning, fault.CodeOf(err))
			require.Equal(t, "launching", one[string](w, `SELECT state FROM replicas WHERE id = $1`, r.ID))
			w.fleet.become(made.InstanceID, activities.StateRunning, false)
			for range 2 {
				_, err = w.instances.AwaitUp(t.Context(), w.up(r, made.InstanceID))
				require.Equal(t, replica.NotRunning, fault.CodeOf(err))
			}
			require.Equal(t, "running", one[string](w, `SELECT state FROM replicas WHERE id = $1`, r.ID))
			require.Equal(t, 1, one[int](w, `SELECT count(*) FROM pool_health WHERE pool_id = 't3.medium.us-east-1b'`))
			require.Equal(t, noticed, one[bool](w, `SELECT review_at IS NOT NULL FROM agents WHERE id = 'a1'`))
			require.Equal(t, noticed, len(w.post.wakes) > 0)
		})
	}
}

// TestWhatAnInstanceDiedOfIsInTheFault, by which a workflow judges pool and set-up.
func TestWhatAnInstanceDiedOfIsInTheFault(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r, id := w.launched(replica.Manual, "b")
	w.fleet.become(id, activities.StateTerminated, false)
	w.fleet.instances[id].Reason = "Client.VolumeLimitExceeded"
	_, err := w.instances.AwaitUp(t.Context(), w.up(r, id))
	require.EqualError(t, err, "instance "+id+" is terminated: Client.VolumeLimitExceeded")
	f, ok := errors.AsType[*fault.Error](err)
	require.True(t, ok)
	require.Equal(t, map[string]any{
		activities.GoneState:  "terminated",
		activities.GoneReason: "Client.VolumeLimitExceeded",
		activities.GoneWalk:   "yes",
	}, f.Details)
}

// TestAbsentIsNotGone is EC2's eventual consistency: what is not shown is not
// there yet, or no more, and its age says which.
func TestAbsentIsNotGone(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r, id := w.launched(replica.Manual, "b")
	in := activities.WatchInput{AgentID: "a1", InstanceID: id}
	w.fleet.unseen = true
	_, err := w.instances.AwaitUp(t.Context(), w.up(r, id))
	require.Equal(t, replica.NotRunning, fault.CodeOf(err))
	_, err = w.instances.AwaitGone(t.Context(), in)
	require.Equal(t, replica.NotRunning, fault.CodeOf(err))
	w.fleet.pass(activities.Visibility + time.Minute)
	_, err = w.instances.AwaitUp(t.Context(), w.up(r, id))
	require.Equal(t, replica.InstanceGone, fault.CodeOf(err))
	_, err = w.instances.AwaitGone(t.Context(), in)
	require.NoError(t, err)
}

func TestRetireInstance(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r, id := w.launched(replica.Manual, "b")
	retire := func(instanceID string) error {
		return w.instances.RetireInstance(t.Context(), activities.WatchInput{AgentID: "a1", InstanceID: instanceID})
	}
	require.Equal(t, roles.IsPrimary, fault.CodeOf(retire("i-0")), "invariant 4")
	require.Empty(t, w.fleet.ended)
	w.promote(r, id, roles.RetireOld)
	require.Equal(t, roles.IsPrimary, fault.CodeOf(retire(id)))
	for range 3 {
		require.NoError(t, retire("i-0"))
	}
	require.Equal(t, []string{"i-0"}, w.fleet.ended)
	require.Equal(t, "retired us",
		one[string](w,
			`SELECT role || ' ' || terminate_by FROM instances WHERE id = 'i-0' AND terminated_at IS NOT NULL`))
	require.Equal(t, agent.InstanceOfOtherTenant, fault.CodeOf(retire("i-else")))
}

// TestRetiringWhatIsNotSeenYet does not believe "not found" of a fresh instance.
func TestRetiringWhatIsNotSeenYet(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.replica(replica.Manual)
	w.advance(r.ID, replica.Running, "i-unseen")
	w.exec(`UPDATE instances SET proof = 'launched' WHERE id = 'i-unseen'`)
	in := activities.WatchInput{AgentID: "a1", InstanceID: "i-unseen"}
	require.Equal(t, replica.NotRunning, fault.CodeOf(w.instances.RetireInstance(t.Context(), in)))
	require.Equal(t, "retiring", one[string](w, `SELECT role FROM instances WHERE id = 'i-unseen'`),
		"but it is no successor any more")
	w.fleet.pass(activities.Visibility + time.Minute)
	require.NoError(t, w.instances.RetireInstance(t.Context(), in))
	require.Equal(t, "retired", one[string](w, `SELECT role FROM instances WHERE id = 'i-unseen'`))
}

// TestALaunchThatCameTooLate is the replica that a person deleted while EC2 was
// being asked: no row has its instance, and it is ended all the same.
func TestALaunchThatCameTooLate(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.replica(replica.Manual)
	w.fleet.lose = true
	_, err := w.launch(r, "b")
	require.Error(t, err)
	frozen, err := w.instances.Store.FrozenLaunch(t.Context(), r.ID, place("b"))
	require.NoError(t, err)
	w.advance(r.ID, replica.Retiring, "")
	require.NoError(t, w.instances.Store.EndLaunch(t.Context(), frozen.Token,
		activities.LaunchEnd{InstanceID: "i-new-1"}))
	require.Equal(t, "retiring us t3.medium us-east-1 us-east-1b",
		one[string](w,
			`SELECT concat_ws(' ', role, terminate_by, instance_type, region, az) FROM instances WHERE id = 'i-new-1'`))
	require.NoError(t, w.instances.RetireInstance(t.Context(),
		activities.WatchInput{AgentID: "a1", InstanceID: "i-new-1"}))
	require.Equal(t, []string{"i-new-1"}, w.fleet.ended)
}

// TestAGonePrimaryStaysPrimary until it has a successor.
func TestAGonePrimaryStaysPrimary(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.fleet.become("i-0", activities.StateTerminated, false)
	_, err := w.instances.AwaitGone(t.Context(), activities.WatchInput{AgentID: "a1", InstanceID: "i-0"})
	require.NoError(t, err)
	require.Equal(t, "primary", one[string](w, `SELECT role FROM instances WHERE id = 'i-0'`))
}

// TestAnOldPrimaryThatAWSOnlyStopped is terminated: it still costs, and could come back
// beside its successor.
func TestAnOldPrimaryThatAWSOnlyStopped(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r, id := w.launched(replica.Manual, "b")
	w.promote(r, id, roles.LeaveOld)
	old := activities.WatchInput{AgentID: "a1", InstanceID: "i-0"}
	w.fleet.become("i-0", activities.StateStopped, false)
	seen, err := w.instances.AwaitGone(t.Context(), old)
	require.NoError(t, err)
	require.Equal(t, activities.StateStopped, seen.State)
	require.True(t, one[bool](w, `SELECT terminated_at IS NULL FROM instances WHERE id = 'i-0'`), "it still exists")
	for range 2 {
		require.NoError(t, w.instances.RetireInstance(t.Context(), old))
	}
	require.Equal(t, []string{"i-0"}, w.fleet.ended)
	require.Equal(t, "retired",
		one[string](w, `SELECT role FROM instances WHERE id = 'i-0' AND terminated_at IS NOT NULL`))
}
