package workflows

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
)

// RedeliverNotices gives the notices that no Guardian took to one, and wakes the
// Guardians of agents whose roles want judging. It is the second line behind the
// loop in the API.
func RedeliverNotices(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var notices *activities.Notices
	return runJob[activities.RedeliverResult](ctx, "notice-redelivery", in, jobPolicy, notices.RedeliverNotices, activities.RedeliverInput{})
}
