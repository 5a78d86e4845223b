package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows"
)

// moved is what the rows have of an agent that reports its move.
func moved(f *activities.SwitchFacts) { f.NewID, f.Reported = "i-agents", true }

func TestAnAgentsSwitchFollowsItsReport(t *testing.T) {
	t.Parallel()

	for name, report := range map[string]func(*move){
		"that comes while it waits": func(m *move) { m.says(3*time.Minute, moved) },
		"that was there before":     func(m *move) { moved(&m.rows.row) },
		"whose message got lost":    func(m *move) { m.after(3*time.Minute, func() { m.rows.set(moved) }) },
		"though the order is over": func(m *move) {
			moved(
				&m.rows.row)
			m.rows.row.Status, m.rows.row.Phase = "failed", switching.Abandoned
		},
		"though the agent answered long": func(m *move) {
			m.rows.row.Status = "completed"
			m.says(3*time.Minute,
				moved)
		},
		"though AWS takes the old one": func(m *move) { moved(&m.rows.row); m.notice(0, time.Minute) },
		"or the new instance registers": func(m *move) {
			m.says(
				time.Minute, func(f *activities.SwitchFacts) { f.NewID = "i-agents" })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			m := byAgent(t)
			report(m)
			res, err := m.run(t, workflows.AgentSwitch)
			require.NoError(t, err)
			require.Equal(t, workflows.SwitchStatus{Phase: switching.Done, NewInstanceID: "i-agents"}, res)
			require.Equal(t, "i-agents", m.store.view().Primary.ID)
			require.Equal(t, 1, m.store.decided())
			require.Equal(t, roles.LeaveOld, m.fate())
			require.Empty(t, m.cloud.ended, "the agent ends its old instance")
			require.NotEqual(t, switching.Pending, m.rows.row.Status)
			require.Equal(t, "succeeded", m.pages.last().State)
			_, waits := m.store.view().Undecided()
			require.False(t, waits)
		})
	}
}

func TestAnAgentsOldInstanceIsKeptWhenNothingMayEndIt(t *testing.T) {
	t.Parallel()

	m := byAgent(t)
	m.store.set.AutoTerminate = false
	moved(&m.rows.row)
	_, err := m.run(t, workflows.AgentSwitch)
	require.NoError(t, err)
	require.Equal(t, roles.KeepOld, m.fate())
}

func TestAnAgentsSwitchThatFailsIsAbandoned(t *testing.T) {
	t.Parallel()

	m := byAgent(t)
	m.says(time.Minute, func(f *activities.SwitchFacts) { f.Status, f.Message = "failed", "Switch failed" })
	_, err := m.run(t, workflows.AgentSwitch)
	require.Equal(t, switching.NeverReady, fault.CodeOf(err))
	require.Zero(t, m.store.decided())
	require.Equal(t, switching.Abandoned, m.rows.row.Phase)
	require.Equal(t, "Switch failed", m.rows.row.Message)
	require.Contains(t, m.pages.last().Notify, "Switch failed")

	m = byAgent(t)
	m.rows.row.NewID, m.rows.row.Status = "i-agents", "failed"
	_, err = m.run(t, workflows.AgentSwitch)
	require.Equal(t, switching.NeverReady, fault.CodeOf(err), "an instance that only registered may be gone")
	require.Zero(t, m.store.decided())
}

func TestAnAgentsSwitchThatStaysSilentIsAbandoned(t *testing.T) {
	t.Parallel()

	m := byAgent(t)
	began := m.Now()
	_, err := m.run(t, workflows.AgentSwitch)
	require.Equal(t, switching.NeverReady, fault.CodeOf(err))
	require.Equal(t, switching.AgentDeadline, m.Now().Sub(began).Round(time.Second))
	require.Equal(t, "failed", m.rows.row.Status)
	require.Zero(t, m.store.decided())
}

// TestAnAgentsSwitchWhosePrimaryIsTakenEnds: there is no replica to leave to the
// failover. A report that comes after all opens the operation again.
func TestAnAgentsSwitchWhosePrimaryIsTakenEnds(t *testing.T) {
	t.Parallel()

	m := byAgent(t)
	began := m.Now()
	m.notice(time.Minute, 2*time.Minute)
	res, err := m.run(t, workflows.AgentSwitch)
	require.NoError(t, err)
	require.Equal(t, switching.Abandoned, res.Phase)
	require.Equal(t, time.Minute, m.Now().Sub(began).Round(time.Second))
	require.Equal(t, "cancelled", m.rows.row.Status)
	require.Equal(t, "cancelled", m.pages.last().State)

	again := byAgent(t)
	again.rows.row = m.rows.row
	moved(&again.rows.row)
	again.store.set.Outcomes = []interruption.Outcome{{InstanceID: "i-old", Kind: interruption.Termination}}
	_, err = again.run(t, workflows.AgentSwitch)
	require.NoError(t, err)
	require.Equal(t, "i-agents", again.store.view().Primary.ID)
	require.Equal(t, interruption.Promoted, again.store.view().Outcomes[0].Result)
}

func TestAReportAfterAFailoverChangesNothing(t *testing.T) {
	t.Parallel()

	m := byAgent(t)
	moved(&m.rows.row)
	m.store.set.Primary.ID = "i-faster"
	m.store.changed["r9"] = roles.RoleChange{
		OldID:       "i-old",
		NewID:       "i-faster",
		Cause:       roles.ByTermination,
		OperationID: "termination/a1/i-old",
	}
	res, err := m.run(t, workflows.AgentSwitch)
	require.NoError(t, err)
	require.Equal(t, switching.Abandoned, res.Phase)
	require.Equal(t, "i-faster", m.store.view().Primary.ID)
	require.Zero(t, m.store.decided())
}

// TestAnAgentsRefusedCutOverIsBounded: its replica is not left behind.
func TestAnAgentsRefusedCutOverIsBounded(t *testing.T) {
	t.Parallel()

	m := byAgent(t)
	moved(&m.rows.row)
	m.store.stale = 1000
	_, err := m.run(t, workflows.AgentSwitch)
	require.Equal(t, roles.StaleEpoch, fault.CodeOf(err))
	require.Equal(t, 994, m.store.stale)
	require.Equal(t, replica.Retiring, m.store.state("r1"))
}

// unordered is a move that the agent made by itself.
func unordered(t *testing.T) *move {
	t.Helper()
	m := byAgent(t)
	m.rows.row = activities.SwitchFacts{
		Trigger:  "manual",
		OldID:    "i-old",
		NewID:    "i-agents",
		Reported: true,
		Phase:    switching.Done,
	}
	return m
}

func TestAMoveThatNothingOrderedIsTakenIn(t *testing.T) {
	t.Parallel()

	m := unordered(t)
	res, err := m.runAs(t, workflows.AgentSwitch, "i-agents")
	require.NoError(t, err)
	require.Equal(t, switching.Done, res.Phase)
	require.Equal(t, "i-agents", m.store.view().Primary.ID)
	require.Equal(t, roles.LeaveOld, m.fate())
	require.Empty(t, m.pages.phases, "its report has made its row")
	require.Empty(t, m.pages.orders)
	require.Equal(t, "report/i-agents", m.rows.asked[0].RequestID)
}

func TestAReportOfThePrimaryChangesNothing(t *testing.T) {
	t.Parallel()

	m := unordered(t)
	m.store.set.Primary.ID = "i-agents"
	res, err := m.runAs(t, workflows.AgentSwitch, "i-agents")
	require.NoError(t, err)
	require.Equal(t, switching.Done, res.Phase)
	require.Zero(t, m.store.changes())
	require.Zero(t, m.store.decided())
	require.Equal(t, "succeeded", m.pages.last().State)
}

// TestAMoveThatIsOverIsNotTakenIn: the sweep may start it long after its report.
func TestAMoveThatIsOverIsNotTakenIn(t *testing.T) {
	t.Parallel()

	m := unordered(t)
	m.rows.row.Replaced, m.store.set.Primary.ID = true, "i-younger"
	_, err := m.runAs(t, workflows.AgentSwitch, "i-agents")
	require.Equal(t, roles.StaleEpoch, fault.CodeOf(err))
	require.Equal(t, "i-younger", m.store.view().Primary.ID)
	require.Equal(t, "failed", m.pages.last().State)
}

// TestAMoveBesideASwitchWaits: two replicas of switches exclude each other.
func TestAMoveBesideASwitchWaits(t *testing.T) {
	t.Parallel()

	m := unordered(t)
	m.rows.busy = 2
	began := m.Now()
	_, err := m.runAs(t, workflows.AgentSwitch, "i-agents")
	require.NoError(t, err)
	require.Equal(t, time.Minute, m.Now().Sub(began).Round(time.Second))
	require.Equal(t, "i-agents", m.store.view().Primary.ID)
}
