package workflows

import "go.temporal.io/sdk/workflow"

// Gates are changes that runs from before them must not follow. A gate may go when
// the longest run from before it has ended: for a Guardian that is minutes, for a
// Replica or a Switch as long as an instance is kept.
const (
	guardianAnswersFirst = "guardian.answers-first" // the answer to a failover does not wait for the next standby
)

// gates wants a recorded history of each.
var gates = []string{guardianAnswersFirst}

// passed says whether this run goes by a change. It is the only way to a gate.
func passed(ctx workflow.Context, gate string) bool {
	return workflow.GetVersion(ctx, gate, workflow.DefaultVersion, 1) == 1
}
