package jobs

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/workflows/steps"
)

// ClientSnapshot counts the clients at the end of the day before.
func ClientSnapshot(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var house *activities.Housekeeping
	return runJob[activities.JobCounts](ctx, "client-snapshot", in, steps.JobPolicy, house.SnapshotClients, periodOf(ctx, in))
}

// MonthlySavings closes the past month and keeps the current one provisional.
func MonthlySavings(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var house *activities.Housekeeping
	return runJob[activities.JobCounts](ctx, "monthly-savings", in, steps.JobPolicy, house.ComputeSavings, periodOf(ctx, in))
}

// DataCleanup ends what is older than it is kept.
func DataCleanup(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var house *activities.Housekeeping
	return runJob[activities.JobCounts](ctx, "data-cleanup", in, steps.JobPolicy, house.CleanUpData)
}

// periodOf is what a run is about.
func periodOf(ctx workflow.Context, in JobInput) time.Time {
	if in.Period.IsZero() {
		return scheduledAt(ctx)
	}
	return in.Period
}

// DeliverNotifications takes notifications to the sinks that their clients chose.
func DeliverNotifications(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var sinks *activities.Sinks
	return runJob[activities.DeliverResult](ctx, "notification-delivery", in, steps.JobPolicy, sinks.DeliverNotifications)
}
