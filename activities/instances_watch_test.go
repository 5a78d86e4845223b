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
		state                string
		checks               bool
		running, ready, gone fault.Code
	}{
		{activities.StatePending, false, replica.NotRunning, replica.NotRunning, replica.NotRunning},
		{activities.StateRunning, false, "", replica.NotRunning, replica.NotRunning},
		{activities.StateRunning, true, "", "", replica.NotRunning},
		{activities.StateShuttingDown, false, replica.Gone, replica.Gone, replica.NotRunning},
		{activities.StateStopping, false, replica.Gone, replica.Gone, ""},
		{activities.StateStopped, false, replica.Gone, replica.Gone, ""}, // it exists, and its watcher ends it
		{activities.StateTerminated, false, replica.Gone, replica.Gone, ""},
	} {
		t.Run(tt.state, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, id := w.launched(replica.Manual, "b")
			w.fleet.become(id, tt.state, tt.checks)
			in := activities.WatchInput{AgentID: "a1", InstanceID: id}
			_, err := w.instances.AwaitRunning(t.Context(), in)
			require.Equal(t, tt.running, fault.CodeOf(err))
			_, err = w.instances.AwaitReady(t.Context(), in)
			require.Equal(t, tt.ready, fault.CodeOf(err))
			_, err = w.instances.AwaitGone(t.Context(), in)
			require.Equal(t, tt.gone, fault.CodeOf(err))
			seen, err := w.instances.DescribeInstance(t.Context(), in)
			require.NoError(t, err)
			require.Equal(t, &activities.InstanceState{State: tt.state, ChecksOK: tt.checks, Mode: agent.Spot, PoolID: "t3.medium.us-east-1b"}, seen)
			require.Equal(t, tt.state == activities.StateTerminated, one[string](w, `SELECT role FROM instances WHERE id = $1`, id) == "retired")
		})
	}
}

// TestAStandbyThatShutsDownIsGone although it has not ended yet: it takes nothing over.
func TestAStandbyThatShutsDownIsGone(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	_, id := w.launched(replica.Manual, "b")
	w.fleet.become(id, activities.StateShuttingDown, false)
	seen, err := w.instances.AwaitGone(t.Context(), activities.WatchInput{AgentID: "a1", InstanceID: id, Standby: true})
	require.NoError(t, err)
	require.Equal(t, activities.StateShuttingDown, seen.State)
	require.Equal(t, "replica", one[string](w, `SELECT role FROM instances WHERE id = $1`, id), "it is still to be ended")
}

// TestWhatAnInstanceDiedOfIsInTheFault, by which a workflow judges pool and set-up.
func TestWhatAnInstanceDiedOfIsInTheFault(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	_, id := w.launched(replica.Manual, "b")
	w.fleet.become(id, activities.StateTerminated, false)
	w.fleet.instances[id].Reason = "Client.VolumeLimitExceeded"
	_, err := w.instances.AwaitRunning(t.Context(), activities.WatchInput{AgentID: "a1", InstanceID: id})
	require.EqualError(t, err, "instance "+id+" is terminated: Client.VolumeLimitExceeded")
	f, ok := errors.AsType[*fault.Error](err)
	require.True(t, ok)
	require.Equal(t, map[string]any{activities.GoneState: "terminated", activities.GoneReason: "Client.VolumeLimitExceeded"}, f.Details)
}

// TestAbsentIsNotGone is EC2's eventual consistency: what is not shown is not
// there yet, or no more, and its age says which.
func TestAbsentIsNotGone(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	_, id := w.launched(replica.Manual, "b")
	in := activities.WatchInput{AgentID: "a1", InstanceID: id}
	w.fleet.unseen = true
	_, err := w.instances.AwaitRunning(t.Context(), in)
	require.Equal(t, replica.NotRunning, fault.CodeOf(err))
	_, err = w.instances.AwaitGone(t.Context(), in)
	require.Equal(t, replica.NotRunning, fault.CodeOf(err))
	w.fleet.pass(activities.Visibility + time.Minute)
	_, err = w.instances.AwaitRunning(t.Context(), in)
	require.Equal(t, replica.Gone, fault.CodeOf(err))
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
	w.promote(r, id, roles.Retire)
	require.Equal(t, roles.IsPrimary, fault.CodeOf(retire(id)))
	for range 3 {
		require.NoError(t, retire("i-0"))
	}
	require.Equal(t, []string{"i-0"}, w.fleet.ended)
	require.Equal(t, "retired us", one[string](w, `SELECT role || ' ' || terminate_by FROM instances WHERE id = 'i-0' AND terminated_at IS NOT NULL`))
	require.Equal(t, agent.ForeignInst, fault.CodeOf(retire("i-else")))
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
	require.Equal(t, "retiring", one[string](w, `SELECT role FROM instances WHERE id = 'i-unseen'`), "but it is no heir any more")
	w.fleet.pass(activities.Visibility + time.Minute)
	require.NoError(t, w.instances.RetireInstance(t.Context(), in))
	require.Equal(t, "retired", one[string](w, `SELECT role FROM instances WHERE id = 'i-unseen'`))
}

// TestALaunchThatCameTooLate is the replica that a person deleted while EC2 was
// being asked: nobody wrote its instance down, and it is ended all the same.
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
	require.NoError(t, w.instances.Store.EndLaunch(t.Context(), frozen.Token, activities.LaunchEnd{InstanceID: "i-new-1"}))
	require.Equal(t, "retiring us t3.medium us-east-1 us-east-1b", one[string](w, `SELECT concat_ws(' ', role, terminate_by, instance_type, region, az) FROM instances WHERE id = 'i-new-1'`))
	require.NoError(t, w.instances.RetireInstance(t.Context(), activities.WatchInput{AgentID: "a1", InstanceID: "i-new-1"}))
	require.Equal(t, []string{"i-new-1"}, w.fleet.ended)
}

// TestAGonePrimaryStaysPrimary until it has an heir.
func TestAGonePrimaryStaysPrimary(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.fleet.become("i-0", activities.StateTerminated, false)
	_, err := w.instances.AwaitGone(t.Context(), activities.WatchInput{AgentID: "a1", InstanceID: "i-0"})
	require.NoError(t, err)
	require.Equal(t, "primary", one[string](w, `SELECT role FROM instances WHERE id = 'i-0'`))
}
