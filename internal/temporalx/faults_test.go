package temporalx_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/temporalx"
	"spotkeeper/internal/testkit/temporaltest"
)

var (
	full  = fault.Define("test.full", fault.Exhausted)
	away  = fault.Define("test.away", fault.Unavailable)
	wrong = fault.Define("test.wrong", fault.Invalid)
)

func TestTheKindDecidesWhatTemporalDoes(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		err    error
		retry  bool
		benign bool
	}{
		{full.New("no room"), false, true},
		{wrong.New("nonsense"), false, true},
		{away.New("busy"), true, false},
		{fault.Code("test.undefined").New("who knows"), true, false},
	} {
		app, ok := errors.AsType[*temporal.ApplicationError](temporalx.Translate(c.err))
		require.True(t, ok)
		require.Equal(t, string(fault.CodeOf(c.err)), app.Type())
		require.Equal(t, !c.retry, app.NonRetryable(), app.Type())
		require.Equal(t, c.benign, app.Category() == temporal.ApplicationErrorCategoryBenign, app.Type())
	}
	plain := errors.New("plain")
	require.Same(t, plain, temporalx.Translate(plain))
	require.NoError(t, temporalx.Translate(nil))
}

func TestAFaultSurvivesTheBoundary(t *testing.T) {
	t.Parallel()

	cause := errors.New("the disk is full")
	back := temporalx.Restore(temporalx.Translate(full.Wrap(cause, "no room").With("pool", "p1")))
	f, ok := errors.AsType[*fault.Error](back)
	require.True(t, ok)
	require.Equal(t, full, f.Code)
	require.Equal(t, "no room", f.Message)
	require.Equal(t, map[string]any{"pool": "p1"}, f.Details)

	stranger := temporal.NewApplicationError("oops", "SomebodyElse")
	require.Equal(t, stranger, temporalx.Restore(stranger))
	require.NoError(t, temporalx.Restore(nil))
}

// refuse is a workflow that fails in the way of its input.
func refuse(ctx workflow.Context, how string) error {
	if err := workflow.SetUpdateHandlerWithOptions(ctx,
		"ask", func(workflow.Context, string) error { return full.New("by the handler") },
		workflow.UpdateHandlerOptions{Validator: func(in string) error {
			if in == "" {
				return wrong.New("by the validator")
			}
			return nil
		}}); err != nil {
		return err
	}
	switch how {
	case "activity":
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 1e9})
		return workflow.ExecuteActivity(ctx, "Fail").Get(ctx, nil)
	case "local":
		ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 1e9})
		return workflow.ExecuteLocalActivity(ctx, "Fail").Get(ctx, nil)
	case "update":
		return workflow.Sleep(ctx, 1e10)
	}
	return full.New("by the workflow")
}

func env(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	e := suite.NewTestWorkflowEnvironment()
	e.SetWorkerOptions(temporaltest.WorkerOptions())
	e.RegisterWorkflow(refuse)
	e.RegisterActivity(&steps{})
	return e
}

type steps struct{}

// Fail fails with a fault.
func (*steps) Fail(context.Context) error { return full.New("by the activity") }

func TestFaultsCrossFromEverywhere(t *testing.T) {
	t.Parallel()

	for _, how := range []string{"activity", "local", "workflow"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()

			e := env(t)
			e.ExecuteWorkflow(refuse, how)
			require.Equal(t, full, fault.CodeOf(e.GetWorkflowError()))
		})
	}
}

func TestAPollIsTriedAgainAndAlertsNoOperator(t *testing.T) {
	t.Parallel()

	var suite testsuite.WorkflowTestSuite
	e := suite.NewTestActivityEnvironment()
	e.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{
		&temporalx.Faults{Polls: []fault.Code{away}}}})
	e.RegisterActivityWithOptions(func(context.Context) error { return away.New("not yet") },
		activity.RegisterOptions{Name: "Poll"})
	_, err := e.ExecuteActivity("Poll")
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	require.True(t, ok)
	require.False(t, app.NonRetryable())
	require.Equal(t, temporal.ApplicationErrorCategoryBenign, app.Category())
	require.Equal(t, away, fault.CodeOf(err))
}

func TestFaultsCrossFromUpdates(t *testing.T) {
	t.Parallel()

	e := env(t)
	var rejected, failed error
	ask := func(in string, into *error) {
		e.UpdateWorkflow("ask", "u"+in, &testsuite.TestUpdateCallback{
			OnAccept:   func() {},
			OnReject:   func(err error) { *into = err },
			OnComplete: func(_ any, err error) { *into = err },
		}, in)
	}
	e.RegisterDelayedCallback(func() { ask("", &rejected); ask("something", &failed) }, 1e9)
	e.ExecuteWorkflow(refuse, "update")
	require.NoError(t, e.GetWorkflowError())
	require.Equal(t, wrong, fault.CodeOf(rejected))
	require.Equal(t, full, fault.CodeOf(failed))
}
