package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
	"spotkeeper/internal/switching"
	"spotkeeper/workflows"
)

// resumed is a switch that begins when its replica has come to the state.
func resumed(t *testing.T, state replica.State) (*world, workflows.SwitchInput) {
	t.Helper()
	in := switchIn(agent.ControlPlane)
	in.Resumed = true
	return newWorld(t, newStore().with(roles.Replica{ID: "r1", Kind: replica.Switch, For: "cmd", State: state, InstanceID: "i-new"})), in
}

// TestAResumedSwitchNeedsNoNews holds that a switch which was started late finds
// its replica, though it said that it is ready when nobody listened.
func TestAResumedSwitchNeedsNoNews(t *testing.T) {
	t.Parallel()

	w, in := resumed(t, replica.Ready)
	began := w.Now()
	res, err := w.move(t, in)
	require.NoError(t, err)
	require.Equal(t, workflows.SwitchStatus{Phase: switching.Done, NewInstanceID: "i-new"}, res)
	require.Equal(t, in.KeepOld, w.Now().Sub(began).Round(time.Second))
	require.Equal(t, []string{"i-old"}, w.cloud.ended)
	require.Equal(t, "completed", w.pages.orders[0].Status)
}

func TestAResumedSwitchWaitsForAReplicaOnItsWay(t *testing.T) {
	t.Parallel()

	w, in := resumed(t, replica.Running)
	w.news(time.Minute, replica.Ready)
	res, err := w.move(t, in)
	require.NoError(t, err)
	require.Equal(t, "i-new", res.NewInstanceID)
}

// TestAResumedSwitchThatIsTooLateIsAbandoned holds that nothing of it is left: not
// its command, which would block every other move, and not its replica.
func TestAResumedSwitchThatIsTooLateIsAbandoned(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name    string
		state   replica.State
		primary string
		code    fault.Code
		after   replica.State
	}{
		{"its replica has failed", replica.Failed, "i-old", switching.NeverReady, replica.Failed},
		{"a failover took its replica", replica.Promoted, "i-new", roles.Stale, replica.Promoted},
		{"a failover took another", replica.Ready, "i-faster", roles.Stale, replica.Retiring},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			w, in := resumed(t, tt.state)
			w.store.set.Primary.ID = tt.primary
			_, err := w.move(t, in)
			require.Equal(t, tt.code, fault.CodeOf(err))
			require.Equal(t, tt.after, w.store.state("r1"))
			require.Equal(t, tt.primary, w.store.view().Primary.ID)
			require.Equal(t, "failed", w.pages.orders[0].Status)
			require.Empty(t, w.cloud.ended)
		})
	}
}
