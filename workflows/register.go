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
