package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/roles"
	"spotkeeper/workflows"
)

// TestAPromotionWhoseStartWasLostIsResumed holds that the next Guardian starts the
// aftercare which the one that changed the roles did not come to start, and once.
func TestAPromotionWhoseStartWasLostIsResumed(t *testing.T) {
	t.Parallel()

	s := newStore()
	c := roles.Change{AgentID: "a1", OldID: "i-older", NewID: "i-old", ReplicaID: "r0", Fate: roles.Retire, Cause: roles.ByPromotion, OperationID: "promotion/r0"}
	s.set.Promotions = []roles.Change{c}
	w := newWorld(t, s)
	var begun []workflows.PromotionInput
	w.OnWorkflow(workflows.Promotion, mock.Anything, mock.MatchedBy(func(in workflows.PromotionInput) bool {
		begun = append(begun, in)
		return true
	})).Return(&workflows.PromotionResult{}, nil)
	for _, at := range []time.Duration{time.Second, 10 * time.Second} {
		w.after(at, func() { w.SignalWorkflow(workflows.SignalWake, "look again") })
	}
	w.guard(t)
	require.NotEmpty(t, begun)
	require.Equal(t, c, begun[0].Change)
	require.True(t, begun[0].Changed, "the roles are changed already")
	w.AssertNumberOfCalls(t, "Promotion", 1)
}
