package workflows

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
)

// OrphanSweep ends the instances of ours that cost money and that nothing needs,
// after two sightings. It is the second line behind the compensation of each
// operation, so each find is worth a look.
func OrphanSweep(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var orphans *activities.Orphans
	return runJob[activities.SweepResult](ctx, "orphan-sweep", in, jobPolicy, orphans.SweepOrphans,
		activities.SweepInput{})
}
