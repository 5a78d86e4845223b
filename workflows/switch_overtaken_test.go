package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows"
	"spotkeeper/workflows/steps"
)

func TestASwitchWaitsForAnotherThatLetsGo(t *testing.T) {
	t.Parallel()

	m := newMove(t, newStore())
	m.rows.busy = 3
	m.news(2*time.Minute, replica.Ready)
	_, err := m.run(t, workflows.Switch)
	require.NoError(t, err)

	m = newMove(t, newStore())
	m.rows.busy = 1000
	_, err = m.run(t, workflows.Switch)
	require.Equal(t, switching.NeverReady, fault.CodeOf(err))
	require.Len(t, m.rows.asked, 41, "at once, then every half minute, for twenty minutes")
}

func TestASwitchWhosePrimaryIsTakenLeavesItsReplicaToTheFailover(t *testing.T) {
	t.Parallel()

	m := moving(t)
	m.notice(time.Minute, 3*time.Minute)
	m.news(90*time.Second, replica.Ready)
	m.after(100*time.Second, func() {
		_, err := m.store.ChangeRoles(m.ctx, roles.RoleChange{
			AgentID:   "a1",
			OldID:     "i-old",
			NewID:     "i-new",
			ReplicaID: "r1",
			Cause:     roles.ByTermination,
		})
		require.NoError(t, err)
	})
	got := update[workflows.OperationAnswer](m.world, 95*time.Second, workflows.UpdateCancel, "u1",
		workflows.CancelInput{})
	res, err := m.run(t, workflows.Switch)
	require.NoError(t, err)
	require.Equal(t, switching.Abandoned, res.Phase)
	require.Equal(t, replica.Promoted, m.store.state("r1"))
	require.Empty(t, m.post.nudges, "the failover sees to it")
	require.Equal(t, "cancelled", m.rows.row.Status)
	require.Equal(t, string(switching.CalledOff), m.rows.row.Code)
	require.Equal(t, "cancelled", m.pages.last().State)
	require.Equal(t, workflows.Committed, fault.CodeOf(got.Err), "there is nothing to call off any more")
}

func TestAReplicaThatTheFailoverDidNotNeedIsRetired(t *testing.T) {
	t.Parallel()

	m := moving(t)
	m.notice(time.Minute, time.Hour)
	m.after(2*time.Minute, func() {
		m.store.mu.Lock()
		defer m.store.mu.Unlock()
		m.store.set.Outcomes[0].Result = interruption.StoodDown
	})
	_, err := m.run(t, workflows.Switch)
	require.NoError(t, err)
	require.Equal(t, replica.Retiring, m.store.state("r1"))
	require.Equal(t, "i-old", m.store.view().Primary.ID)
}

func TestNothingStopsASwitchThatHasCutOver(t *testing.T) {
	t.Parallel()

	m := moving(t)
	m.news(time.Minute, replica.Ready)
	m.notice(2*time.Minute, time.Hour)
	got := update[workflows.OperationAnswer](m.world, 3*time.Minute, workflows.UpdateCancel, "u1",
		workflows.CancelInput{})
	m.after(4*time.Minute, m.CancelWorkflow)
	res, err := m.run(t, workflows.Switch)
	require.NoError(t, err)
	require.Equal(t, workflows.Committed, fault.CodeOf(got.Err))
	require.Equal(t, switching.Done, res.Phase)
	require.Equal(t, []string{"i-old"}, m.cloud.ended)
}

func TestAPersonCallsASwitchOff(t *testing.T) {
	t.Parallel()

	for name, cancel := range map[string]func(*move){
		"over HTTP": func(m *move) {
			update[workflows.OperationAnswer](m.world, time.Minute, workflows.UpdateCancel, "u1",
				workflows.CancelInput{})
		},
		"in the UI": func(m *move) { m.after(time.Minute, m.CancelWorkflow) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			m := moving(t)
			cancel(m)
			_, err := m.run(t, workflows.Switch)
			require.Equal(t, steps.Cancelled, fault.CodeOf(err))
			require.Equal(t, replica.Retiring, m.store.state("r1"))
			require.Equal(t, "cancelled", m.rows.row.Status)
			require.Equal(t, "cancelled", m.pages.last().State)
			require.Empty(t, m.pages.last().Notify)
		})
	}
}

func TestAnOldInstanceThatCannotBeEndedIsAPersonsBusiness(t *testing.T) {
	t.Parallel()

	m := moving(t)
	m.cloud.refuse = replica.Refused
	m.news(time.Minute, replica.Ready)
	_, err := m.run(t, workflows.Switch)
	require.Equal(t, steps.UndoFailed, fault.CodeOf(err))
	require.Equal(t, "i-new", m.store.view().Primary.ID)
	require.Equal(t, "failed", m.pages.last().State)
}
