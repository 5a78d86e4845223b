package activities_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/mlmodel"
)

// tryout is a store with one session, and a trial that lasts until its heartbeat is recorded.
type tryout struct {
	activities.RolloutStore
	heard     chan struct{}
	validated activities.Validation
}

func (*tryout) Session(_ context.Context, id string) (*mlmodel.Session, error) {
	return &mlmodel.Session{ID: id}, nil
}

func (o *tryout) Validated(_ context.Context, v activities.Validation) error {
	o.validated = v
	return nil
}

func (o *tryout) Try(context.Context, mlmodel.Session) (activities.Validation, error) {
	select {
	case <-o.heard:
		return activities.Validation{Version: "abc"}, nil
	case <-time.After(10 * time.Second):
		return activities.Validation{}, errors.New("nothing was heard of it")
	}
}

// TestATrialSaysThatItIsAlive while it lasts, so that a worker that dies in the
// middle is missed soon.
func TestATrialSaysThatItIsAlive(t *testing.T) {
	t.Parallel()
	o := &tryout{heard: make(chan struct{}, 1000)}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) { o.heard <- struct{}{} })
	steps := &activities.Rollouts{Store: o, Trial: o}
	env.RegisterActivity(steps)
	_, err := env.ExecuteActivity(steps.ValidateSession, "s1")
	require.NoError(t, err)
	require.Equal(t, activities.Validation{SessionID: "s1", Version: "abc"}, o.validated)
}
