package workflows_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/workflows"
	"spotkeeper/workflows/steps"
)

func TestRemovalEndsWhatIsLeft(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	w := newWorld(t, s)
	w.ExecuteWorkflow(workflows.Removal, workflows.RemovalInput{AgentID: "a1"})
	require.NoError(t, w.GetWorkflowError())
	require.Equal(t, []string{"i-old"}, w.cloud.ended)
	require.Equal(t, 1, w.post.nudged("replica/r1"))
	require.Equal(t, "succeeded", w.pages.last().State)
}

func TestRemovalThatCannotEndAnInstanceSaysSo(t *testing.T) {
	t.Parallel()

	s := newStore()
	w := newWorld(t, s)
	w.cloud.refuse = replica.Refused
	w.ExecuteWorkflow(workflows.Removal, workflows.RemovalInput{AgentID: "a1"})
	require.Equal(t, steps.UndoFailed, fault.CodeOf(w.GetWorkflowError()))
	require.Equal(t, "failed", w.pages.last().State)
}
