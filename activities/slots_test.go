package activities_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
)

// hanging is a frontend of Temporal that answers nothing until it is let go.
type hanging struct {
	activities.Messenger
	called chan struct{}
	answer chan struct{}
}

func (h *hanging) Wake(ctx context.Context, _, _ string) error {
	h.called <- struct{}{}
	select {
	case <-h.answer:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestMessagesTakeNoMoreThanTheirSlots, whatever they wait for. One that finds none
// fails at once and may be tried again.
func TestMessagesTakeNoMoreThanTheirSlots(t *testing.T) {
	t.Parallel()

	h := &hanging{called: make(chan struct{}), answer: make(chan struct{})}
	m := &activities.Messages{Workflows: h, Slots: activities.NewSlots(2)}
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- m.WakeGuardian(t.Context(), activities.WakeInput{AgentID: "a1"}) }()
		<-h.called
	}
	for _, message := range []func() error{
		func() error { return m.WakeGuardian(t.Context(), activities.WakeInput{}) },
		func() error { return m.NudgeOperation(t.Context(), activities.Nudge{}) },
		func() error { return m.StartOperation(t.Context(), activities.OpenRow{}) },
		func() error { return m.ReportReplica(t.Context(), activities.Report{}) },
	} {
		err := message()
		require.True(t, fault.Is(err, activities.SlotsTaken))
		require.True(t, fault.KindOf(err).Retryable())
	}

	// A regular activity has slots of its own.
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(m)
	go func() {
		<-h.called
		close(h.answer)
	}()
	_, err := env.ExecuteActivity(m.WakeGuardian, activities.WakeInput{AgentID: "a1"})
	require.NoError(t, err)

	require.NoError(t, <-errs)
	require.NoError(t, <-errs)
	go func() { <-h.called }()
	require.NoError(t, m.WakeGuardian(t.Context(), activities.WakeInput{}), "a slot is given back")
}
