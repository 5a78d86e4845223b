package workflows

import "go.temporal.io/sdk/worker"

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
	r.RegisterWorkflow(ModelRollout)
	for _, j := range jobs {
		r.RegisterWorkflow(j.workflow)
	}
}
