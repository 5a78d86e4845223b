package workflows

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
)

// FleetDecisions has the engine judge every agent in auto mode, and orders the
// moves it wants, within the limits.
func FleetDecisions(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var decisions *activities.Decisions
	return runJob[activities.JobCounts](ctx, "fleet-decisions", in, jobPolicy, decisions.DecideFleet,
		activities.DecideFleetInput{Period: periodOf(ctx, in)})
}
