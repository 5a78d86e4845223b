package workflows

import (
	"go.temporal.io/sdk/worker"

	"spotkeeper/workflows/jobs"
	"spotkeeper/workflows/rollout"
)

// Register tells a worker, or a replayer, about every workflow.
func Register(r worker.WorkflowRegistry) {
	r.RegisterWorkflow(Guardian)
	r.RegisterWorkflow(Replica)
	r.RegisterWorkflow(Switch)
	r.RegisterWorkflow(AgentSwitch)
	r.RegisterWorkflow(Termination)
	r.RegisterWorkflow(Promotion)
	r.RegisterWorkflow(Removal)
	r.RegisterWorkflow(Adoption)
	r.RegisterWorkflow(rollout.ModelRollout)
	for _, j := range jobs.All() {
		r.RegisterWorkflow(j.Workflow)
	}
}
