package workflows

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
)

// StandbyWatch fails the standbys whose instances have stopped or ended.
func StandbyWatch(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var standbys *activities.Standbys
	return runJob[activities.WatchStandbysResult](ctx, "standby-watch", in, jobPolicy, standbys.WatchStandbys)
}
