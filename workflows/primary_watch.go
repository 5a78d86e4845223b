package workflows

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
)

// PrimaryWatch notes what each new primary was launched with, and replaces
// primaries that ended without a notice.
func PrimaryWatch(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var primaries *activities.Primaries
	return runJob[activities.WatchPrimariesResult](ctx, "primary-watch", in, jobPolicy, primaries.WatchPrimaries,
		activities.WatchPrimariesInput{})
}
