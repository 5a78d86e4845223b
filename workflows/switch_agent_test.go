package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/switching"
	"spotkeeper/workflows"
)

func agentWorld(t *testing.T) *world {
	t.Helper()
	s := newStore()
	s.set.Launcher, s.set.OpenSwitch = agent.ByAgent, "cmd"
	return newWorld(t, s)
}

func TestAnAgentsSwitchFollowsItsReport(t *testing.T) {
	t.Parallel()

	w := agentWorld(t)
	w.report(3*time.Minute, workflows.SwitchReport{AgentID: "a1", CommandID: "cmd", InstanceID: "i-agents", Done: true, Success: true})
	w.report(3*time.Minute+time.Second, workflows.SwitchReport{AgentID: "a1", CommandID: "cmd", Done: true, Success: true})
	res, err := w.move(t, switchIn(agent.ByAgent))
	require.NoError(t, err)
	require.Equal(t, workflows.SwitchStatus{Phase: switching.Done, NewInstanceID: "i-agents"}, res)
	require.Equal(t, "i-agents", w.store.view().Primary.ID)
	require.Equal(t, 1, w.store.decided())
	require.Empty(t, w.cloud.ended, "the agent ends its old instance")
	require.Empty(t, w.cloud.asked)
}

func TestAnAgentsSwitchThatFailsIsAbandoned(t *testing.T) {
	t.Parallel()

	w := agentWorld(t)
	w.report(time.Minute, workflows.SwitchReport{AgentID: "a1", CommandID: "cmd", Done: true, Message: "Switch failed"})
	_, err := w.move(t, switchIn(agent.ByAgent))
	require.Equal(t, switching.NeverReady, fault.CodeOf(err))
	require.Zero(t, w.store.decided())
	require.Equal(t, "failed", w.pages.orders[0].Status)
}

func TestAnAgentsSwitchThatStaysSilentIsAbandoned(t *testing.T) {
	t.Parallel()

	w := agentWorld(t)
	began := w.Now()
	_, err := w.move(t, switchIn(agent.ByAgent))
	require.Equal(t, switching.NeverReady, fault.CodeOf(err))
	require.Equal(t, switching.AgentDeadline, w.Now().Sub(began).Round(time.Second))
}

func TestAReportAfterACallOffBecomesAnHeir(t *testing.T) {
	t.Parallel()

	w := agentWorld(t)
	_, err := w.store.RecordNotice(w.ctx, interruption.Notice{InstanceID: "i-old", Kind: interruption.Termination, Deadline: w.Now().Add(time.Hour)})
	require.NoError(t, err)
	w.callOff(time.Minute)
	w.report(2*time.Minute, workflows.SwitchReport{AgentID: "a1", CommandID: "cmd", InstanceID: "i-agents", Done: true, Success: true})
	var heir replica.State
	w.after(4*time.Minute, func() {
		r, _ := w.store.view().Heir()
		heir = r.State
		w.store.mu.Lock()
		defer w.store.mu.Unlock()
		w.store.set.Outcomes[0].Result = interruption.StoodDown
	})
	res, err := w.move(t, switchIn(agent.ByAgent))
	require.NoError(t, err)
	require.Equal(t, replica.Running, heir)
	require.Equal(t, switching.Abandoned, res.Phase)
	require.Equal(t, replica.Retiring, w.store.state("r1"), "nobody needed it in the end")
}

func TestAReportThatNobodyWaitedForIsTakenIn(t *testing.T) {
	t.Parallel()

	w := agentWorld(t)
	w.store.set.OpenSwitch = ""
	w.report(0, workflows.SwitchReport{AgentID: "a1", InstanceID: "i-agents", Done: true, Success: true})
	res, err := w.move(t, workflows.SwitchInput{AgentID: "a1", Launcher: agent.ByAgent, Reported: true})
	require.NoError(t, err)
	require.Equal(t, switching.Done, res.Phase)
	require.Equal(t, "i-agents", w.store.view().Primary.ID)
	require.Empty(t, w.pages.phases, "nobody ordered it")
}

func TestAReportOfThePrimaryChangesNothing(t *testing.T) {
	t.Parallel()

	w := agentWorld(t)
	w.report(0, workflows.SwitchReport{AgentID: "a1", InstanceID: "i-old", Done: true, Success: true})
	_, err := w.move(t, workflows.SwitchInput{AgentID: "a1", Launcher: agent.ByAgent, Reported: true})
	require.NoError(t, err)
	require.Zero(t, w.store.changes())
	require.Zero(t, w.store.decided())
}

func TestAReportWithoutACommandReachesTheOpenSwitch(t *testing.T) {
	t.Parallel()

	w := agentWorld(t)
	w.report(0, workflows.SwitchReport{AgentID: "a1", InstanceID: "i-agents"})
	_, err := w.move(t, workflows.SwitchInput{AgentID: "a1", Launcher: agent.ByAgent, Reported: true})
	require.NoError(t, err)
	require.Len(t, w.post.news, 1)
	require.Equal(t, "switch/cmd", w.post.news[0].OperationID)
	require.Equal(t, "i-agents", w.post.news[0].InstanceID)
	require.Zero(t, w.store.changes())
}
