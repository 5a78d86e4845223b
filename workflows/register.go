package workflows

import (
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/workflows/jobs"
	"spotkeeper/workflows/rollout"
)

// Register registers every workflow with a worker or a replayer. Where workers are
// versioned, a short workflow ends at the version that began it. One that may run for days
// continues at the current version, so no old version must be kept for it; its changes need
// workflow.GetVersion.
func Register(r worker.WorkflowRegistry) {
	pinned := workflow.RegisterOptions{VersioningBehavior: workflow.VersioningBehaviorPinned}
	for _, short := range []any{Guardian, Switch, AgentSwitch, Termination, Promotion, Removal, Adoption, Decision} {
		r.RegisterWorkflowWithOptions(short, pinned)
	}
	upgraded := workflow.RegisterOptions{VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade}
	for _, long := range []any{Replica, rollout.ModelRollout} {
		r.RegisterWorkflowWithOptions(long, upgraded)
	}
	for _, j := range jobs.All() {
		r.RegisterWorkflowWithOptions(j.Workflow, upgraded)
	}
}
