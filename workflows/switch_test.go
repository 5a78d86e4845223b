package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows"
	"spotkeeper/workflows/steps"
)

func TestASwitchCutsOverAndRetiresTheOldInstance(t *testing.T) {
	t.Parallel()

	m := newMove(t, newStore().with(switchReplica(replica.Requested)))
	began := m.Now()
	m.news(time.Minute, replica.Launching)
	m.news(2*time.Minute, replica.Ready)
	var between []string
	m.after(6*time.Minute, func() { between = m.cloud.ended })
	res, err := m.run(t, workflows.Switch)
	require.NoError(t, err)
	require.Equal(t, workflows.SwitchStatus{Phase: switching.Done, NewInstanceID: "i-new"}, res)
	require.Equal(t, "i-new", m.store.view().Primary.ID)
	require.Empty(t, between, "the old one lives on for a while")
	require.Equal(t, []string{"i-old"}, m.cloud.ended)
	require.Equal(t, 7*time.Minute, m.Now().Sub(began).Round(time.Second))
	require.Equal(t, []activities.CommandResult{{CommandID: "cmd", Status: "completed"}}, m.pages.orders)
	require.Equal(t, []switching.Phase{switching.Launching, switching.Waiting, switching.CuttingOver,
		switching.Retiring, switching.Done}, m.phases())
	require.Equal(t, 1, m.post.nudged("replica/r1"), "it reads that it was promoted")
	require.Len(t, m.post.wakes, 1)
	require.Equal(t, activities.OperationEnd{
		State:   "succeeded",
		Phase:   "done",
		Summary: "switch of web-1 to i-new",
	}, m.pages.last())
	require.Empty(t, m.rows.asked, "the Guardian has decided on the replica")
}

// TestASwitchWaitsForTheAgentsWord (K10): passed checks are not work that is up.
func TestASwitchWaitsForTheAgentsWord(t *testing.T) {
	t.Parallel()

	m := moving(t)
	m.rows.row.Speaks = true
	began := m.Now()
	m.news(time.Minute, replica.Ready)
	var early string
	m.after(3*time.Minute, func() { early = m.store.view().Primary.ID })
	m.says(4*time.Minute, func(f *activities.SwitchFacts) { f.Replica.Heard = true })
	_, err := m.run(t, workflows.Switch)
	require.NoError(t, err)
	require.Equal(t, "i-old", early)
	require.Equal(t, "i-new", m.store.view().Primary.ID)
	require.Equal(t, 9*time.Minute, m.Now().Sub(began).Round(time.Second), "the old one lives on from the cut-over")
}

func TestASwitchToASilentInstanceIsUndone(t *testing.T) {
	t.Parallel()

	m := moving(t)
	m.rows.row.Speaks = true
	m.news(time.Minute, replica.Ready)
	m.says(7*time.Minute, func(f *activities.SwitchFacts) { f.Replica.ReadyFor = 6 * time.Minute })
	_, err := m.run(t, workflows.Switch)
	require.Equal(t, switching.Silent, fault.CodeOf(err))
	require.Equal(t, "i-old", m.store.view().Primary.ID)
	require.Equal(t, replica.Retiring, m.store.state("r1"), "its Replica ends the instance")
	require.Empty(t, m.cloud.ended, "the old one lives")
	require.Contains(t, m.pages.last().Notify, "start the agent at boot")
}

func TestASwitchKeepsTheOldInstance(t *testing.T) {
	t.Parallel()

	for name, change := range map[string]func(*move){
		"when it was ordered so":     func(m *move) { m.rows.row.KeepOld = 0 },
		"when auto-terminate is off": func(m *move) { m.store.set.AutoTerminate = false },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			m := moving(t)
			change(m)
			m.news(time.Minute, replica.Ready)
			_, err := m.run(t, workflows.Switch)
			require.NoError(t, err)
			require.Equal(t, roles.KeepOld, m.fate())
			require.Empty(t, m.cloud.ended)
		})
	}
}

// TestAnOrderWhoseCallerDiedIsCarriedOut, although the Guardian never received it. The
// replica is the one that the Guardian would decide on.
func TestAnOrderWhoseCallerDiedIsCarriedOut(t *testing.T) {
	t.Parallel()

	m := newMove(t, newStore())
	m.news(time.Minute, replica.Ready)
	_, err := m.run(t, workflows.Switch)
	require.NoError(t, err)
	require.Equal(t, "i-new", m.store.view().Primary.ID)
	require.Equal(t, []roles.ReplicaRequest{{
		AgentID:   "a1",
		Kind:      replica.Switch,
		For:       "cmd",
		CreatedBy: "manual",
		Reason:    "cheaper",
		RequestID: "switch/cmd",
		Launcher:  agent.ControlPlane,
		Plan:      replica.Plan{Pool: "t3.medium.us-east-1b", Mode: agent.Spot},
	}}, m.rows.asked)
	require.Equal(t, activities.Nudge{OperationID: "replica/r1", AgentID: "a1", Start: true}, m.post.nudges[0])
}

// TestASwitchThatBeginsLateGoesOn holds what a switch does that is started at each
// state in which its rows may be.
func TestASwitchThatBeginsLateGoesOn(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name   string
		state  replica.State
		change func(*move)
		code   fault.Code
		after  replica.State
		phase  switching.Phase
		order  string
		page   string
		ended  []string
		took   time.Duration
	}{
		{"its replica is ready", replica.Ready, nil, "", replica.Promoted, switching.Done, "completed", "succeeded",
			[]string{"i-old"}, 5 * time.Minute},
		{"its replica has failed", replica.Failed, nil, switching.NeverReady, replica.Failed, switching.Abandoned,
			"failed", "failed", nil, 0},
		{"its replica was given up", replica.Retiring, nil, switching.NeverReady, replica.Retiring,
			switching.Abandoned, "failed", "failed", nil, 0},
		{"another instance is the primary", replica.Ready, func(m *move) { m.store.set.Primary.ID = "i-faster" },
			roles.StaleEpoch, replica.Retiring, switching.Abandoned, "failed", "failed", nil, 0},
		{"a failover took its replica", replica.Promoted, func(m *move) {
			m.store.set.Primary.ID = "i-new"
			m.store.changed["r1"] = roles.RoleChange{
				OldID:       "i-old",
				NewID:       "i-new",
				ReplicaID:   "r1",
				Cause:       roles.ByTermination,
				OperationID: "termination/a1/i-old",
			}
		}, "", replica.Promoted, switching.Abandoned, "cancelled", "cancelled", nil, 0},
		{"it has cut over", replica.Promoted, func(m *move) {
			m.store.set.Primary.ID, m.store.changedAt = "i-new", m.Now().Add(-time.Minute)
			m.store.changed["r1"] = roles.RoleChange{
				OldID:       "i-old",
				NewID:       "i-new",
				ReplicaID:   "r1",
				Fate:        roles.RetireOld,
				Cause:       roles.BySwitch,
				OperationID: "switch/cmd",
			}
		}, "", replica.Promoted, switching.Done, "completed", "succeeded", []string{"i-old"}, 4 * time.Minute},
		{"all is done", replica.Promoted, func(m *move) {
			m.rows.row.Status, m.rows.row.Phase, m.cloud.ended = "completed", switching.Done, []string{"i-old"}
			m.store.set.Primary.ID = "i-new"
			m.store.changed["r1"] = roles.RoleChange{
				OldID:       "i-old",
				NewID:       "i-new",
				ReplicaID:   "r1",
				Fate:        roles.RetireOld,
				Cause:       roles.BySwitch,
				OperationID: "switch/cmd",
			}
		}, "", replica.Promoted, switching.Done, "completed", "succeeded", []string{"i-old"}, 0},
		{"its order has failed", replica.Ready,
			func(m *move) { m.rows.row.Status, m.rows.row.Phase = "failed", switching.Launching },
			switching.AlreadyDone, replica.Retiring, switching.Abandoned, "failed", "failed", nil, 0},
		{"its order was taken back", "",
			func(m *move) { m.rows.row.Status, m.rows.row.Message = "cancelled", "another one" },
			steps.Cancelled, "", "", "cancelled", "cancelled", nil, 0},
		{"its agent was removed", replica.Ready, func(m *move) { m.store.set.Deleted = true },
			agent.NotFound, replica.Retiring, switching.Abandoned, "failed", "failed", nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			s := newStore()
			if tt.state != "" {
				s.with(switchReplica(tt.state))
			}
			m := newMove(t, s)
			if tt.change != nil {
				tt.change(m)
			}
			began, primary := m.Now(), s.set.Primary.ID
			if tt.state == replica.Ready && tt.code == "" {
				primary = "i-new"
			}
			_, err := m.run(t, workflows.Switch)
			require.Equal(t, tt.code, fault.CodeOf(err), "%v", err)
			require.Equal(t, tt.after, s.state("r1"))
			require.Equal(t, primary, s.view().Primary.ID)
			require.Equal(t, tt.order, m.rows.row.Status)
			require.Equal(t, tt.phase, m.rows.row.Phase)
			require.Equal(t, tt.page, m.pages.last().State)
			require.Equal(t, tt.ended, m.cloud.ended)
			require.Equal(t, tt.took, m.Now().Sub(began).Round(time.Second))
		})
	}
}

func TestASwitchNeedsNoNews(t *testing.T) {
	t.Parallel()

	m := moving(t)
	began := m.Now()
	m.silently(100*time.Second, replica.Ready)
	_, err := m.run(t, workflows.Switch)
	require.NoError(t, err)
	require.Equal(t, 2*time.Minute+5*time.Minute, m.Now().Sub(began).Round(time.Second), "it looks every half minute")
}

func TestASwitchThatGetsNoInstanceIsAbandoned(t *testing.T) {
	t.Parallel()

	m := moving(t)
	m.rows.row.Replica = activities.SwitchReplica{Code: string(replica.NoPool), Error: "no room"}
	m.news(time.Minute, replica.Failed)
	_, err := m.run(t, workflows.Switch)
	require.Equal(t, replica.NoPool, fault.CodeOf(err))
	require.Equal(t, "i-old", m.store.view().Primary.ID)
	require.Equal(t, activities.CommandResult{
		CommandID: "cmd",
		Status:    "failed",
		Message:   "no room",
	}, m.pages.orders[0])
	require.Equal(t, switching.Abandoned, m.rows.row.Phase)
	require.Equal(t, "The switch of web-1 failed: no room", m.pages.last().Notify)
}

func TestASwitchThatIsNeverReadyRetiresItsReplica(t *testing.T) {
	t.Parallel()

	m := moving(t)
	began := m.Now()
	_, err := m.run(t, workflows.Switch)
	require.Equal(t, switching.NeverReady, fault.CodeOf(err))
	require.Equal(t, replica.Retiring, m.store.state("r1"))
	require.Equal(t, 1, m.post.nudged("replica/r1"))
	require.Equal(t, 2*switching.ReadyDeadline, m.Now().Sub(began).Round(time.Second))
}

func TestASwitchThatWasOvertakenIsAbandoned(t *testing.T) {
	t.Parallel()

	m := moving(t)
	m.failOver(t, time.Minute, roles.Replica{ID: "r9", State: replica.Ready, InstanceID: "i-faster"}, roles.ByPromotion)
	m.news(2*time.Minute, replica.Ready)
	_, err := m.run(t, workflows.Switch)
	require.Equal(t, roles.StaleEpoch, fault.CodeOf(err))
	require.Equal(t, "i-faster", m.store.view().Primary.ID)
	require.Equal(t, replica.Retiring, m.store.state("r1"))
}

// TestARefusedCutOverIsTriedAgainWithAPauseAndABound: Postgres may refuse it although
// the rows look the same, for example because the new instance has ended.
func TestARefusedCutOverIsTriedAgainWithAPauseAndABound(t *testing.T) {
	t.Parallel()

	m := newMove(t, newStore().with(switchReplica(replica.Ready)))
	m.store.stale = 3
	began := m.Now()
	_, err := m.run(t, workflows.Switch)
	require.NoError(t, err)
	require.Equal(t, 14*time.Second+5*time.Minute, m.Now().Sub(began).Round(time.Second))

	m = newMove(t, newStore().with(switchReplica(replica.Ready)))
	m.store.stale = 1000
	began = m.Now()
	_, err = m.run(t, workflows.Switch)
	require.Equal(t, roles.StaleEpoch, fault.CodeOf(err))
	require.Equal(t, 994, m.store.stale, "six times")
	require.Equal(t, 62*time.Second, m.Now().Sub(began).Round(time.Second))
	require.Equal(t, replica.Retiring, m.store.state("r1"))
	require.Equal(t, "failed", m.pages.last().State)
}

func TestASwitchNeedsNoPage(t *testing.T) {
	t.Parallel()

	m := moving(t)
	m.pages.broken = agent.NotFound.New("gone")
	m.news(time.Minute, replica.Ready)
	_, err := m.run(t, workflows.Switch)
	require.NoError(t, err)
	require.Equal(t, []string{"i-old"}, m.cloud.ended)
}

func TestASwitchThatIsNotThereClosesItsPage(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	w.ExecuteWorkflow(workflows.Switch, workflows.SwitchInput{AgentID: "a1", SwitchID: "gone"})
	require.Equal(t, switching.NotFound, fault.CodeOf(w.GetWorkflowError()))
	require.Equal(t, "failed", w.pages.last().State)
}

func TestAWorkerThatDiesAfterEachStepOfASwitch(t *testing.T) {
	t.Parallel()

	m := newMove(t, newStore())
	dying(m.world)
	m.news(time.Minute, replica.Ready)
	res, err := m.run(t, workflows.Switch)
	require.NoError(t, err)
	require.Equal(t, switching.Done, res.Phase)
	require.Equal(t, 1, m.store.decided())
	require.Equal(t, 1, m.store.changes())
	require.Equal(t, []string{"i-old"}, m.cloud.ended)

	m = byAgent(t)
	dying(m.world)
	m.says(time.Minute, func(f *activities.SwitchFacts) { f.NewID, f.Reported = "i-agents", true })
	_, err = m.run(t, workflows.AgentSwitch)
	require.NoError(t, err)
	require.Equal(t, 1, m.store.decided())
	require.Equal(t, 1, m.store.changes())
}
