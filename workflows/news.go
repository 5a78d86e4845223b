package workflows

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/workflows/steps"
)

// wakeGuardian asks the agent's Guardian for a review. The sweep does when that fails.
func wakeGuardian(ctx workflow.Context, agentID, why string) {
	var msgs *activities.Messages
	steps.TrySendMessage(ctx, "wake the guardian: "+why, msgs.WakeGuardian, activities.WakeInput{AgentID: agentID, Why: why})
}

// sendNews asks the workflow of an operation to read its row again.
func sendNews(ctx workflow.Context, in activities.Nudge) {
	var msgs *activities.Messages
	steps.TrySendMessage(ctx, "nudge "+in.OperationID, msgs.NudgeOperation, in)
}
