package workflows

import (
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/workflows/jobs"
	"spotkeeper/workflows/rollout"
)

// Register tells a worker, or a replayer, about every workflow. Where workers are
// versioned, a short workflow ends at the version that began it. One that may live for
// days goes on at the current version, so a version need not be kept for it: its changes
// need workflow.GetVersion as ever.
func Register(r worker.WorkflowRegistry) {
	for _, short := range []any{Guardian, Switch, AgentSwitch, Termination, Promotion, Removal, Adoption} {
		r.RegisterWorkflowWithOptions(short, workflow.RegisterOptions{VersioningBehavior: workflow.VersioningBehaviorPinned})
	}
	for _, long := range []any{Replica, rollout.ModelRollout} {
		r.RegisterWorkflowWithOptions(long, workflow.RegisterOptions{VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade})
	}
	for _, j := range jobs.All() {
		r.RegisterWorkflowWithOptions(j.Workflow,
			workflow.RegisterOptions{VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade})
	}
}
