package workflows

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
)

// DeliverNotifications takes notifications to the sinks that their clients chose.
func DeliverNotifications(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var sinks *activities.Sinks
	return runJob[activities.DeliverResult](ctx, "notification-delivery", in, jobPolicy, sinks.DeliverNotifications)
}
