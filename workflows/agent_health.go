package workflows

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
)

// AgentHealth marks agents offline that have been silent for too long, and tells
// their clients, once per silence. Then it marks the instances retired that agents
// left and that have gone.
func AgentHealth(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var agents *activities.Agents
	return runJob[activities.SilenceResult](ctx, "agent-health", in, jobPolicy, agents.MarkSilentAgents,
		activities.SilenceInput{})
}
