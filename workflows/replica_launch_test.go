package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/replica"
	"spotkeeper/workflows"
)

// The four candidates of the cloud, by key.
const (
	t3b  = "spot/t3.medium.us-east-1b"
	t3c  = "spot/t3.medium.us-east-1c"
	m5b  = "spot/m5.large.us-east-1b"
	t3bD = "ondemand/t3.medium.us-east-1b"
)

func TestTheFiveClassesOfLaunchErrors(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		full  map[string]fault.Code
		asked []string
		code  fault.Code // of the replica's end; empty: it launched
	}{
		"capacity: the next pool":               {full: map[string]fault.Code{t3b: replica.NoCapacity}, asked: []string{t3b, t3c}},
		"a dead attempt: the next pool":         {full: map[string]fault.Code{t3b: replica.TokenDead}, asked: []string{t3b, t3c}},
		"quota: another family":                 {full: map[string]fault.Code{t3b: replica.Quota}, asked: []string{t3b, m5b}},
		"quota of all: on-demand":               {full: map[string]fault.Code{t3b: replica.Quota, m5b: replica.Quota}, asked: []string{t3b, m5b, t3bD}},
		"network: another zone":                 {full: map[string]fault.Code{t3b: replica.NoAddresses}, asked: []string{t3b, t3c}},
		"network everywhere: none is left":      {full: map[string]fault.Code{t3b: replica.NoAddresses, t3c: replica.NoAddresses}, asked: []string{t3b, t3c}, code: replica.NoPool},
		"permission: stop":                      {full: map[string]fault.Code{t3b: replica.Refused}, asked: []string{t3b}, code: replica.Refused},
		"configuration: stop":                   {full: map[string]fault.Code{t3b: replica.Misconfigured}, asked: []string{t3b}, code: replica.Misconfigured},
		"all empty: on-demand, then no pool":    {full: map[string]fault.Code{t3b: replica.NoCapacity, t3c: replica.NoCapacity, m5b: replica.NoCapacity, t3bD: replica.NoCapacity}, asked: []string{t3b, t3c, m5b, t3bD}, code: replica.NoPool},
		"token of another request: stop, a bug": {full: map[string]fault.Code{t3b: replica.TokenReused}, asked: []string{t3b}, code: replica.TokenReused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			in := replicaIn(replica.Termination)
			w := replicaWorld(t, in)
			w.cloud.full = c.full
			w.release(time.Hour, replica.Promoted)
			_, err := w.replicate(t, in)
			require.Equal(t, c.code, fault.CodeOf(err))
			require.Equal(t, c.asked, w.cloud.asked)
			require.Len(t, w.cloud.outcomes, len(c.asked), "each is remembered")
			if c.code != "" {
				require.Equal(t, replica.Failed, w.store.state("r1"))
				require.NotEmpty(t, w.pages.last().Notify, "people are told")
				require.Empty(t, w.cloud.launched)
			}
		})
	}
}

func TestThrottlingIsWaitedOutAndNeverFallenBackFrom(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Termination)
	w := replicaWorld(t, in)
	w.cloud.full = map[string]fault.Code{t3b: replica.Throttled}
	w.after(30*time.Second, func() {
		w.cloud.mu.Lock()
		defer w.cloud.mu.Unlock()
		w.cloud.full = map[string]fault.Code{}
	})
	w.release(time.Hour, replica.Promoted)
	_, err := w.replicate(t, in)
	require.NoError(t, err)
	require.Greater(t, len(w.cloud.asked), 2)
	for _, key := range w.cloud.asked {
		require.Equal(t, t3b, key)
	}
}

func TestEndlessThrottlingFailsWithoutFallingBack(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Termination)
	w := replicaWorld(t, in)
	w.cloud.full = map[string]fault.Code{t3b: replica.Throttled}
	_, err := w.replicate(t, in)
	require.Error(t, err)
	require.NotContains(t, w.cloud.asked, t3c)
	require.Equal(t, replica.Failed, w.store.state("r1"))
}

func TestAReleaseDuringTheLaunchEndsWhatWasLaunched(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	w := replicaWorld(t, in)
	w.cloud.full = map[string]fault.Code{t3b: replica.Throttled}
	w.after(20*time.Second, func() {
		w.cloud.mu.Lock()
		defer w.cloud.mu.Unlock()
		w.cloud.full = map[string]fault.Code{}
	})
	w.release(10*time.Second, replica.Retiring)
	res, err := w.replicate(t, in)
	require.NoError(t, err)
	require.Equal(t, replica.Retired, res.State)
	require.Equal(t, w.cloud.launched, w.cloud.ended)
	require.Len(t, w.cloud.launched, 1)
}

func TestALaunchingAgentReportsItsInstance(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Termination)
	in.Launcher = agent.ByAgent
	w := replicaWorld(t, in)
	say := func(d time.Duration, status, instance string) {
		w.after(d, func() {
			w.SignalWorkflow(workflows.SignalReport, workflows.ReplicaReport{ReplicaID: "r1", Status: status, InstanceID: instance})
		})
	}
	say(time.Minute, "syncing", "i-agents")
	var middle replica.State
	w.after(90*time.Second, func() { middle = w.store.state("r1") })
	say(2*time.Minute, "ready", "")
	w.release(time.Hour, replica.Promoted)
	res, err := w.replicate(t, in)
	require.NoError(t, err)
	require.Equal(t, replica.Running, middle)
	require.Equal(t, "i-agents", res.InstanceID)
	require.Empty(t, w.cloud.asked)
	require.Equal(t, []string{"r1 runs", "r1 ready"}, w.post.wakes)
}

func TestALaunchingAgentThatStaysSilentFails(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Termination)
	in.Launcher = agent.ByAgent
	w := replicaWorld(t, in)
	began := w.Now()
	_, err := w.replicate(t, in)
	require.Equal(t, replica.NotReady, fault.CodeOf(err))
	require.Equal(t, replica.AgentDeadline, w.Now().Sub(began).Round(time.Second))
	require.Equal(t, replica.Failed, w.store.state("r1"))
}

func TestALaunchingAgentThatFailsIsBelieved(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	in.Launcher = agent.ByAgent
	w := replicaWorld(t, in)
	w.after(time.Minute, func() {
		w.SignalWorkflow(workflows.SignalReport, workflows.ReplicaReport{ReplicaID: "r1", Status: "failed", Message: "no capacity"})
	})
	_, err := w.replicate(t, in)
	require.Equal(t, replica.Gone, fault.CodeOf(err))
	require.ErrorContains(t, err, "no capacity")
}

func TestTheWordOfTheAgentIsEnoughToBeReady(t *testing.T) {
	t.Parallel()

	in := replicaIn(replica.Manual)
	w := replicaWorld(t, in)
	w.cloud.neverDone = true
	w.after(time.Minute, func() {
		w.SignalWorkflow(workflows.SignalReport, workflows.ReplicaReport{ReplicaID: "r1", Status: "ready"})
	})
	w.release(2*time.Minute, replica.Promoted)
	_, err := w.replicate(t, in)
	require.NoError(t, err)
	require.Contains(t, w.post.wakes, "r1 ready")
}
