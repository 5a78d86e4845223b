package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/workflows"
)

// thorough is slow in the back-test of the validation, which has no clients, and fast
// otherwise: this leaves time to kill a worker in the middle.
const thorough = `
import time

def make_decision(agent_data, pricing_data, market_data=None):
    if not agent_data["client_id"]:
        time.sleep(0.01)
    return {"decision_type": "stay", "risk_score": 0.1, "expected_savings": 0, "confidence": 0.5, "reason": "after long thought"}
`

// comesThroughDeaths rolls out an engine whose worker is killed in every phase.
func (f *field) comesThroughDeaths(ctx context.Context, t *testing.T, live string) {
	t.Helper()
	session, status, err := upload(ctx, f.Stack, thorough, false)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	started := make(chan error, 1)
	go func() {
		_, err := roll(ctx, f.Stack, session, map[string]any{
			"shadow": "1h",
			"canary": []int{50},
			"step":   "1h",
			"watch":  "20s",
			"guards": map[string]any{"min_decisions": 1},
		})
		started <- err
	}()
	f.diesValidating(ctx, t, session)
	require.NoError(t, <-started)
	for _, phase := range []string{"shadow", "canary", "live"} {
		require.NoError(t, awaitRollout(ctx, f.Stack, session, phase))
		require.NoError(t, f.Kill(devtest.Worker))
		require.NoError(t, f.Restart(ctx, devtest.Worker))
		if phase != "live" { // its watch is ended by the clock
			require.NoError(t, commandRollout(ctx, f.Stack, session, "promote",
				map[string]string{"shadow": "canary", "canary": "live"}[phase]))
		}
	}
	require.NoError(t, awaitRollout(ctx, f.Stack, session, "completed"))
	require.Equal(t, []string{"engine fallback " + live, "engine live " + session}, f.serving(ctx, t))
	for _, once := range []string{"decision_engine_updated", "model_rollout_completed"} {
		require.Equal(t, "1", f.count(ctx, t,
			`events WHERE type = $1 AND metadata->>'session_id' = $2 AND agent_id IS NULL AND message <> ''`, once,
			session), once)
	}
	require.NoError(t, f.has(ctx, decidedBy, session, f.lastDecision(ctx, t)))
}

// diesValidating kills the worker that validates a session. Another one begins
// anew when the heartbeats of the first are missed, not when its time is up.
func (f *field) diesValidating(ctx context.Context, t *testing.T, session string) {
	t.Helper()
	temporal := f.Dial(ctx, t)
	id := workflows.ModelRolloutID(session)
	require.NoError(t, until(ctx, 100*time.Millisecond, func() (bool, error) {
		d, err := temporal.DescribeWorkflowExecution(ctx, id, "")
		if err != nil {
			return false, err
		}
		for _, a := range d.GetPendingActivities() {
			if a.GetActivityType().GetName() == "ValidateSession" &&
				a.GetState() == enums.PENDING_ACTIVITY_STATE_STARTED {
				return true, nil
			}
		}
		return false, errors.New("it is not being validated")
	}))
	require.NoError(t, f.Kill(devtest.Worker))
	killed := time.Now()
	require.NoError(t, f.Restart(ctx, devtest.Worker))
	require.NoError(t, awaitRollout(ctx, f.Stack, session, "shadow"))
	t.Logf("in its shadow %s after its worker was killed while it was validated", time.Since(killed).Round(time.Second))
	require.Equal(t, []enums.TimeoutType{enums.TIMEOUT_TYPE_HEARTBEAT}, missed(ctx, t, temporal, id))
}

// missed lists how attempts at activities of a workflow timed out.
func missed(ctx context.Context, t *testing.T, temporal client.Client, id string) (out []enums.TimeoutType) {
	t.Helper()
	events := temporal.GetWorkflowHistory(ctx, id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(t, err)
		if timeout := e.GetActivityTaskStartedEventAttributes().GetLastFailure().
			GetTimeoutFailureInfo(); timeout != nil {
			out = append(out, timeout.GetTimeoutType())
		}
	}
	return out
}
