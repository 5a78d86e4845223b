package jobs_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"spotkeeper/activities"
	"spotkeeper/workflows/jobs"
)

// runs are the rows of job runs in memory.
type runs struct {
	started []activities.JobStart
	ended   []activities.JobEnd
}

func (r *runs) Start(_ context.Context, in activities.JobStart) error {
	r.started = append(r.started, in)
	return nil
}

func (r *runs) End(_ context.Context, in activities.JobEnd) error {
	r.ended = append(r.ended, in)
	return nil
}

func TestJobRowOfARun(t *testing.T) {
	t.Parallel()

	w := newEnvironment()
	rows := &runs{}
	w.RegisterActivity(&activities.Jobs{Store: rows})
	w.RegisterActivityWithOptions(func(context.Context, activities.SilenceInput) (*activities.SilenceResult, error) {
		return &activities.SilenceResult{Offline: 2}, nil
	}, activity.RegisterOptions{Name: "MarkSilentAgents"})
	period := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	w.ExecuteWorkflow(jobs.AgentHealth, jobs.JobInput{Period: period})
	require.NoError(t, w.GetWorkflowError())
	require.Equal(t, []activities.JobStart{{Job: "agent-health", Period: period}}, rows.started)
	require.EqualValues(t, 2, rows.ended[0].Counts["offline"])
	require.Empty(t, rows.ended[0].Error)
}

func TestJobRowOfAFailure(t *testing.T) {
	t.Parallel()

	w := newEnvironment()
	rows := &runs{}
	w.RegisterActivity(&activities.Jobs{Store: rows})
	w.RegisterActivityWithOptions(func(context.Context, activities.SilenceInput) (*activities.SilenceResult, error) {
		return nil, temporal.NewNonRetryableApplicationError("no", "job.broken", nil)
	}, activity.RegisterOptions{Name: "MarkSilentAgents"})
	w.ExecuteWorkflow(jobs.AgentHealth, jobs.JobInput{})
	require.Error(t, w.GetWorkflowError())
	require.Contains(t, rows.ended[0].Error, "no")
	require.False(t, rows.started[0].Period.IsZero(), "by the start of the run")
}
