package jobs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/workflows/steps"
)

// JobInput starts a scheduled job. Fields are only ever added.
type JobInput struct {
	// Period is the start of what the run is about. Zero: the moment the schedule
	// asked for, or the start of the run.
	Period time.Time `json:"period,omitzero"`
}

// JobResult is what a run counted.
type JobResult struct {
	Counts map[string]int64 `json:"counts"`
}

// counted is what the activity of a job returns: how much it did, by name.
type counted interface{ Counts() map[string]int64 }

// runJob runs the one activity of a job between the two ends of its row in
// job_runs. A job is idempotent per period, so a run that failed is run again
// whole, by the activity's retries and by the next period.
func runJob[Out any, P interface {
	*Out
	counted
}](ctx workflow.Context, name string, in JobInput, policy workflow.ActivityOptions, activity any, args ...any) (*JobResult, error) {
	var local *activities.Jobs
	period := in.Period
	if period.IsZero() {
		period = scheduledAt(ctx)
	}
	if err := steps.RunLocal(ctx, "open the run", local.StartJob, activities.JobStart{Job: name, Period: period}).Get(ctx,
		nil); err != nil {
		return nil, err
	}
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("**%s** for `%s`: running", name, period.Format(time.RFC3339)))
	var out Out
	err := steps.RunActivity(ctx, policy, name, activity, args...).Get(ctx, &out)
	end := activities.JobEnd{Job: name, Period: period}
	if err != nil {
		end.Error = err.Error()
	} else {
		end.Counts = P(&out).Counts()
	}
	workflow.SetCurrentDetails(ctx,
		fmt.Sprintf("**%s** for `%s`: %s", name, period.Format(time.RFC3339), outcomeOf(end)))
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if closing := steps.RunLocal(ctx, "close the run", local.EndJob, end).Get(ctx, nil); closing != nil && err == nil {
		err = closing
	}
	if end.Error != "" { // a job that only fails needs a person, not another try
		if pausing := steps.RunLocal(ctx, "pause a job that keeps failing", local.PauseFailingJob, end).Get(ctx,
			nil); pausing != nil {
			workflow.GetLogger(ctx).Error("a failing job could not be paused", "job", name, "error", pausing)
		}
	}
	if err != nil {
		return nil, err
	}
	return &JobResult{Counts: end.Counts}, nil
}

// scheduledAt is when the schedule asked for this run, to the second.
func scheduledAt(ctx workflow.Context) time.Time {
	if at, ok := workflow.GetTypedSearchAttributes(ctx).
		GetTime(temporal.NewSearchAttributeKeyTime("TemporalScheduledStartTime")); ok {
		return at.UTC().Truncate(time.Second)
	}
	return workflow.GetInfo(ctx).WorkflowStartTime.UTC().Truncate(time.Second)
}

func outcomeOf(end activities.JobEnd) string {
	if end.Error != "" {
		return "failed: " + end.Error
	}
	parts := make([]string, 0, len(end.Counts))
	for _, name := range workflow.DeterministicKeys(end.Counts) {
		parts = append(parts, fmt.Sprintf("%s %d", name, end.Counts[name]))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
