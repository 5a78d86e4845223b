package workflows_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"

	"spotkeeper/activities"
	"spotkeeper/internal/testkit/leaks"
	"spotkeeper/internal/testkit/temporaltest"
	"spotkeeper/workflows"
)

func TestMain(m *testing.M) { leaks.VerifyTestMain(m) }

// world is a workflow's surroundings in memory. Its clock is the workflow's.
type world struct {
	*testsuite.TestWorkflowEnvironment
	ctx   context.Context
	store *store
	cloud *cloud
	pages *pages
	post  *post
}

func newWorld(t *testing.T, s *store) *world {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	w := &world{
		ctx:                     context.Background(),
		TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(),
		store:                   s,
		cloud:                   newCloud(s),
		pages:                   &pages{},
		post:                    &post{},
	}
	s.now = w.Now
	w.cloud.post = w.post
	w.SetWorkerOptions(temporaltest.WorkerOptions())
	w.SetTestTimeout(20 * time.Second)
	workflows.Register(w)
	w.RegisterActivity(&activities.Roles{Store: s})
	w.RegisterActivity(&activities.Operations{Store: w.pages})
	w.RegisterActivity(&activities.Switches{Store: w.pages})
	w.RegisterActivity(&activities.Messages{Workflows: w.post})
	for name, fn := range map[string]any{
		"ChooseCandidates": w.cloud.ChooseCandidates,
		"LaunchInstance":   w.cloud.LaunchInstance,
		"AwaitUp":          w.cloud.AwaitUp,
		"AwaitGone":        w.cloud.AwaitGone,
		"RetireInstance":   w.cloud.RetireInstance,
		"RecordPool":       w.cloud.RecordPool,
	} {
		w.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
	return w
}

// reply is where the answer of an update will be.
type reply[T any] struct {
	Answer   T
	Err      error
	Rejected error
	Done     bool
	At       time.Time
}

// update sends an update after d.
func update[T any](w *world, d time.Duration, name, id string, in any) *reply[T] {
	r := &reply[T]{}
	w.RegisterDelayedCallback(func() {
		w.UpdateWorkflow(name, id, &testsuite.TestUpdateCallback{
			OnAccept: func() {},
			OnReject: func(err error) { r.Rejected, r.Done = err, true },
			OnComplete: func(v any, err error) {
				r.Err, r.Done, r.At = err, true, w.Now()
				if a, ok := v.(*T); ok && a != nil {
					r.Answer = *a
				}
			},
		}, in)
	}, d)
	return r
}

// after runs fn when the workflow's clock has moved so far.
func (w *world) after(d time.Duration, fn func()) { w.RegisterDelayedCallback(fn, d) }

func (w *world) guard(t *testing.T) {
	t.Helper()
	w.ExecuteWorkflow(workflows.Guardian, workflows.GuardianInput{
		AgentID: "a1",
		Tuning:  workflows.Tuning{IdleGrace: time.Minute},
	})
	require.True(t, w.IsWorkflowCompleted())
	require.NoError(t, w.GetWorkflowError())
}

func notify(w *world, d time.Duration, instanceID string) *reply[workflows.NoticeAnswer] {
	return update[workflows.NoticeAnswer](w, d, workflows.UpdateTerminationNotice,
		fmt.Sprintf("n-%s-%s", instanceID, d), workflows.NoticeInput{InstanceID: instanceID, Wait: 20 * time.Second})
}
