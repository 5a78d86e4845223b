package activities_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"spotkeeper/activities"
)

// emptySinks have nothing to deliver, and stop the worker at the first look.
type emptySinks struct {
	activities.SinkStore
	looks int
	stop  chan struct{}
}

func (s *emptySinks) Enqueue(context.Context) (int64, error) {
	if s.looks++; s.looks == 1 {
		close(s.stop)
	}
	return 0, nil
}

func (*emptySinks) Claim(context.Context, int, time.Duration) ([]activities.Delivery, error) {
	return nil, nil
}

// TestDeliveryDoesNotHoldUpAStoppingWorker holds that a worker which drains is not
// kept for the rest of the minute that the job looks for news.
func TestDeliveryDoesNotHoldUpAStoppingWorker(t *testing.T) {
	t.Parallel()

	store := &emptySinks{stop: make(chan struct{})}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerStopChannel(store.stop)
	sinks := &activities.Sinks{Store: store, Watch: time.Hour, Every: time.Minute}
	env.RegisterActivity(sinks)
	got, err := env.ExecuteActivity(sinks.DeliverNotifications)
	require.NoError(t, err)
	var out activities.DeliverResult
	require.NoError(t, got.Get(&out))
	require.Equal(t, activities.DeliverResult{}, out)
	require.Equal(t, 1, store.looks)
}
