package workflows

import (
	"time"

	"spotkeeper/internal/temporalx"
)

// SchedulePrefix begins the id of every schedule of ours.
const SchedulePrefix = "job/"

// job is one scheduled workflow as data.
type job struct {
	name     string
	cron     string        // UTC
	catchUp  time.Duration // at most one period: a later run does the same work
	timeout  time.Duration // of one run
	workflow any
	note     string

	// onFailure says what happens when the job fails for several periods in a row.
	onFailure onFailure
}

// onFailure is the fate of a job that keeps failing.
type onFailure int

const (
	// goesOn is for what rescues agents, ends what costs money, reports what went
	// wrong, or supplies those with what they need: it fails while a service is
	// away, and has to be there when that is back. It is the zero value, so
	// that a new job pauses only where it says so.
	goesOn onFailure = iota
	// pauses is for what can wait until a person has looked.
	pauses
)

// jobs lists what runs by the clock. The worker brings the server in line with it
// when it starts; what operators paused stays paused.
var jobs = []job{
	{"notification-delivery", "* * * * *", time.Minute, 5 * time.Minute, DeliverNotifications,
		"Takes notifications to the webhooks and logs that their clients chose; it looks every two seconds.", goesOn},
	{"agent-health", "*/5 * * * *", 5 * time.Minute, 5 * time.Minute, AgentHealth,
		"Marks agents offline that have been silent for too long, and tells their clients; retires old instances that have gone.", goesOn},
	{"template-notes", "* * * * *", time.Minute, 5 * time.Minute, TemplateNotes,
		"Notes what new primaries were launched with; it looks every two seconds.", goesOn},
	{"primary-watch", "2-59/5 * * * *", 5 * time.Minute, 10 * time.Minute, PrimaryWatch,
		"Replaces primaries that ended without a notice, and notes the launch parameters that template-notes could not read.", goesOn},
	{"standby-watch", "* * * * *", time.Minute, 5 * time.Minute, StandbyWatch,
		"Fails standbys whose instances have stopped or ended, so that the next ones are launched.", goesOn},
	{"orphan-sweep", "*/10 * * * *", 10 * time.Minute, 30 * time.Minute, OrphanSweep,
		"Ends instances of ours that nothing needs, after two sightings, and reports each find.", goesOn},
	{"price-collection", "*/5 * * * *", 5 * time.Minute, time.Hour, PriceCollection,
		"Reads spot and on-demand prices from EC2 for the types in use and their families; the history of a type at first sight.", goesOn},
	{"fleet-decisions", "*/5 * * * *", time.Minute, 15 * time.Minute, FleetDecisions,
		"Has the engine judge every agent in auto mode, keeps each decision, and orders the moves within the limits.",
		pauses},
	{"price-dedup", "7 * * * *", time.Hour, time.Hour, PriceDedup,
		"Merges into the five-minute prices what arrived since the last run, however long ago that was.", pauses},
	{"price-partitions", "15 * * * *", time.Hour, 5 * time.Minute, PricePartitions,
		"Makes the partitions of the coming days for price submissions.", goesOn},
	{"gap-fill", "20 1 * * *", 24 * time.Hour, 2 * time.Hour, GapFill,
		"Interpolates prices that were not measured, for gaps of at most two hours.", pauses},
	{"ml-dataset", "40 */6 * * *", 6 * time.Hour, 2 * time.Hour, MLDataset,
		"Computes the features of prices that models learn from, for what changed.", pauses},
	{"client-snapshot", "5 0 * * *", 24 * time.Hour, 5 * time.Minute, ClientSnapshot,
		"Counts the clients at the end of the day before.", pauses},
	{"monthly-savings", "25 * * * *", 24 * time.Hour, 2 * time.Hour, MonthlySavings,
		"Computes what each client saved: the past month until it is closed, the current one provisionally.", pauses},
	{"data-cleanup", "0 2 * * *", 24 * time.Hour, 2 * time.Hour, DataCleanup,
		"Drops and deletes what is older than it is kept.", pauses},
}

// Schedules are the jobs as the server should have them. The queue is that of agents'
// operations; jobs have theirs beside it.
func Schedules(queue string) []temporalx.Schedule {
	out := make([]temporalx.Schedule, len(jobs))
	for i, j := range jobs {
		out[i] = temporalx.Schedule{
			ID:       SchedulePrefix + j.name,
			Cron:     j.cron,
			CatchUp:  j.catchUp,
			Timeout:  j.timeout,
			Note:     j.note,
			Workflow: j.workflow,
			Args:     []any{JobInput{}},
			Queue:    JobsQueue(queue),
			Reason:   ReasonAttribute,
		}
	}
	return out
}
