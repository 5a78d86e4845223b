package workflows

import (
	"spotkeeper/internal/temporalx"
	"spotkeeper/workflows/jobs"
)

// SchedulePrefix begins the id of every schedule of ours.
const SchedulePrefix = "job/"

// Schedules are the jobs as the server should have them. The queue is that of agents'
// operations; jobs have theirs beside it.
func Schedules(queue string) []temporalx.Schedule {
	all := jobs.All()
	out := make([]temporalx.Schedule, len(all))
	for i, j := range all {
		out[i] = temporalx.Schedule{
			ID:       SchedulePrefix + j.Name,
			Cron:     j.Cron,
			CatchUp:  j.CatchUp,
			Timeout:  j.Timeout,
			Note:     j.Note,
			Workflow: j.Workflow,
			Args:     []any{jobs.JobInput{}},
			Queue:    JobsQueue(queue),
			Reason:   ReasonAttribute,
		}
	}
	return out
}
