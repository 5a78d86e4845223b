package workflows_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/temporalx"
	"spotkeeper/workflows"
)

// TestADecisionIsAskedForOnce: its caller waits, so a failure is returned and not retried.
func TestADecisionIsAskedForOnce(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{nil, engine.NotLoaded.New("the session s1 is not loaded")} {
		w := newWorld(t, newStore())
		asked := 0
		w.RegisterActivityWithOptions(func(_ context.Context, in activities.JudgeInput) (*engine.Decision, error) {
			asked++
			require.Equal(t, activities.JudgeInput{SessionID: "s1", AgentID: "a1"}, in)
			return &engine.Decision{Action: engine.Stay, Mode: agent.Spot, Risk: .25}, failure
		}, activity.RegisterOptions{Name: "Judge"})
		w.ExecuteWorkflow(workflows.Decision, activities.JudgeInput{SessionID: "s1", AgentID: "a1"})
		require.True(t, w.IsWorkflowCompleted())
		require.Equal(t, 1, asked)
		if failure != nil {
			require.Equal(t, engine.NotLoaded, fault.CodeOf(temporalx.Restore(w.GetWorkflowError())))
			continue
		}
		var out engine.Decision
		require.NoError(t, w.GetWorkflowResult(&out))
		require.InDelta(t, .25, out.Risk, 0)
	}
}
