package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// agentWorld is a world with one replica that its agent launches.
func agentWorld(t *testing.T, kind replica.Kind) *world {
	t.Helper()
	r := replicaOf(kind)
	r.Launcher = agent.ByAgent
	w := replicaWorld(t, r)
	w.store.set.Launcher = agent.ByAgent
	return w
}

func TestALaunchingAgentReportsItsInstance(t *testing.T) {
	t.Parallel()

	w := agentWorld(t, replica.Termination)
	w.noticed(0)
	w.says(15*time.Second, "syncing", "i-agents")
	var middle replica.State
	w.after(90*time.Second, func() { middle = w.store.state("r1") })
	w.says(2*time.Minute, "ready", "")
	w.settled(time.Hour, replica.Promoted)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, replica.Running, middle)
	require.Equal(t, "i-agents", res.InstanceID)
	require.Empty(t, w.cloud.asked)
	require.Empty(t, w.cloud.outcomes, "how an agent's launch went says nothing about ours")
	require.Equal(t, []string{"r1 runs", "r1 ready"}, w.post.wakes)
}

func TestALaunchingAgentThatStaysSilentFails(t *testing.T) {
	t.Parallel()

	w := agentWorld(t, replica.Manual)
	w.stalls(20 * time.Second)
	began := w.Now()
	_, err := w.replicate(t)
	require.Equal(t, replica.NotReady, fault.CodeOf(err))
	require.Equal(t, replica.AgentDeadline, w.Now().Sub(began).Round(time.Second))
	require.Equal(t, replica.Failed, w.store.state("r1"))
	require.Empty(t, w.cloud.asked, "at rest the agent keeps its launch")
}

func TestALaunchingAgentThatFailsIsBelieved(t *testing.T) {
	t.Parallel()

	w := agentWorld(t, replica.Manual)
	w.says(time.Minute, "failed", "")
	_, err := w.replicate(t)
	require.Equal(t, replica.InstanceGone, fault.CodeOf(err))
	require.ErrorContains(t, err, "as it says")
}

// TestAnEmergencyIsTakenOverFromASilentAgent after twenty seconds, and what the agent
// reports later is not the replica's.
func TestAnEmergencyIsTakenOverFromASilentAgent(t *testing.T) {
	t.Parallel()

	for _, kind := range []replica.Kind{replica.Rebalance, replica.Termination} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()

			w := agentWorld(t, kind)
			began := w.Now()
			w.stalls(20*time.Second - time.Millisecond)
			w.says(30*time.Second, "failed", "")
			w.says(40*time.Second, "ready", "i-agents")
			w.settled(time.Hour, replica.Promoted)
			res, err := w.replicate(t)
			require.NoError(t, err)
			require.Equal(t, "i-r1", res.InstanceID)
			require.Equal(t, []string{t3b}, w.cloud.asked)
			require.Equal(t, agent.ControlPlane, w.store.one().Launcher)
			require.LessOrEqual(t, w.pages.when("ready").Sub(began), 21*time.Second)
		})
	}
}

// TestATakeoverThatEC2Refuses fails with the permission that is missing, and says so.
func TestATakeoverThatEC2Refuses(t *testing.T) {
	t.Parallel()

	w := agentWorld(t, replica.Termination)
	w.stalls(20*time.Second - time.Millisecond)
	w.cloud.full = map[string]fault.Code{
		t3b:  replica.Refused,
		t3c:  replica.Refused,
		m5b:  replica.Refused,
		t3bD: replica.Refused,
	}
	_, err := w.replicate(t)
	require.Equal(t, replica.Refused, fault.CodeOf(err))
	require.Equal(t, []string{t3b, t3c, m5b, t3bD}, compact(w.cloud.asked), "it was ours to launch from then on")
	require.Equal(t, agent.ControlPlane, w.store.one().Launcher)
	require.Equal(t, replica.Failed, w.store.state("r1"))
	require.Contains(t, w.pages.last().Notify, "No replacement can be launched for web: ")
	require.Empty(t, w.cloud.launched)
}

func TestALateReportOfTheAgentIsIgnoredWhileWeLaunch(t *testing.T) {
	t.Parallel()

	w := agentWorld(t, replica.Termination)
	w.stalls(20*time.Second - time.Millisecond)
	w.cloud.full = map[string]fault.Code{t3b: replica.Throttled}
	w.says(25*time.Second, "ready", "i-agents")
	w.says(26*time.Second, "failed", "")
	w.settled(time.Hour, replica.Promoted)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, "i-r1", res.InstanceID)
	require.Equal(t, []string{t3b, t3c}, compact(w.cloud.asked))
}

// TestAStandbyIsTakenOverWhenThePrimaryIsTerminated: it is no emergency replica, and no
// other one is sooner.
func TestAStandbyIsTakenOverWhenThePrimaryIsTerminated(t *testing.T) {
	t.Parallel()

	w := agentWorld(t, replica.Manual)
	began := w.Now()
	w.stalls(20 * time.Second)
	w.noticed(5 * time.Minute)
	w.settled(time.Hour, replica.Promoted)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, "i-r1", res.InstanceID)
	require.LessOrEqual(t, w.pages.when("ready").Sub(began), 5*time.Minute+21*time.Second)

	w = agentWorld(t, replica.Manual)
	began = w.Now()
	w.stalls(20 * time.Second)
	w.noticed(5*time.Minute + time.Second)
	w.news(5*time.Minute + time.Second)
	w.settled(time.Hour, replica.Promoted)
	_, err = w.replicate(t)
	require.NoError(t, err)
	require.LessOrEqual(t, w.pages.when("ready").Sub(began), 5*time.Minute+2*time.Second, "news are heard at once")
}

// TestAnAgentThatIsFasterKeepsItsLaunch when it names its instance in the moment of the
// takeover.
func TestAnAgentThatIsFasterKeepsItsLaunch(t *testing.T) {
	t.Parallel()

	w := agentWorld(t, replica.Termination)
	w.stalls(20*time.Second - time.Millisecond)
	w.OnActivity("TakeOverLaunch", anything, anything).
		Return(func(context.Context, string) (bool, error) { return false, nil })
	w.says(50*time.Second, "ready", "i-agents")
	w.settled(time.Hour, replica.Promoted)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, "i-agents", res.InstanceID)
	require.Empty(t, w.cloud.asked)
}
