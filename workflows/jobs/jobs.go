// Package jobs has the workflows that run by the clock, one activity each, and lists
// them with their cron expressions. The package workflows makes their schedules.
package jobs

import (
	"slices"
	"time"
)

// Job is one scheduled workflow as data.
type Job struct {
	Name     string
	Cron     string        // UTC
	CatchUp  time.Duration // at most one period: a later run does the same work
	Timeout  time.Duration // of one run
	Workflow any
	Note     string // what it does, for operators

	// OnFailure says what happens when the job fails for several periods in a row.
	OnFailure OnFailure
}

// OnFailure is what happens to a job that keeps failing.
type OnFailure int

const (
	// GoesOn is for what rescues agents, ends what costs money, reports what went
	// wrong, or supplies those with what they need: it fails while a service is
	// away, and has to be there when that is back. It is the zero value, so
	// that a new job pauses only where it says so.
	GoesOn OnFailure = iota
	// Pauses is for what can wait until a person has looked.
	Pauses
)

// jobs lists what runs by the clock. The worker brings the server in line with it
// when it starts; what operators paused stays paused.
var jobs = []Job{
	{"notification-delivery", "* * * * *", time.Minute, 5 * time.Minute, DeliverNotifications,
		"Takes notifications to the webhooks and logs that their clients chose; it looks every two seconds.", GoesOn},
	{"agent-health", "*/5 * * * *", 5 * time.Minute, 5 * time.Minute, AgentHealth,
		"Marks agents offline that have been silent for too long, and tells their clients; retires old instances that have gone.", GoesOn},
	{"template-notes", "* * * * *", time.Minute, 5 * time.Minute, TemplateNotes,
		"Notes what new primaries were launched with; it looks every two seconds.", GoesOn},
	{"primary-watch", "2-59/5 * * * *", 5 * time.Minute, 10 * time.Minute, PrimaryWatch,
		"Replaces primaries that ended without a notice, and notes the launch parameters that template-notes could not read.", GoesOn},
	{"standby-watch", "* * * * *", time.Minute, 5 * time.Minute, StandbyWatch,
		"Fails standbys whose instances have stopped or ended, so that the next ones are launched.", GoesOn},
	{"orphan-sweep", "*/10 * * * *", 10 * time.Minute, 30 * time.Minute, OrphanSweep,
		"Ends instances of ours that nothing needs, after two sightings, and reports each find.", GoesOn},
	{"price-collection", "*/5 * * * *", 5 * time.Minute, time.Hour, PriceCollection,
		"Reads spot and on-demand prices from EC2 for the types in use and their families; the history of a type at first sight.", GoesOn},
	{"fleet-decisions", "*/5 * * * *", time.Minute, 15 * time.Minute, FleetDecisions,
		"Has the engine judge every agent in auto mode, keeps each decision, and orders the moves within the limits.",
		Pauses},
	{"price-dedup", "7 * * * *", time.Hour, time.Hour, PriceDedup,
		"Merges into the five-minute prices what arrived since the last run, however long ago that was.", Pauses},
	{"price-partitions", "15 * * * *", time.Hour, 5 * time.Minute, PricePartitions,
		"Makes the partitions of the coming days for price submissions.", GoesOn},
	{"gap-fill", "20 1 * * *", 24 * time.Hour, 2 * time.Hour, GapFill,
		"Interpolates prices that were not measured, for gaps of at most two hours.", Pauses},
	{"ml-dataset", "40 */6 * * *", 6 * time.Hour, 2 * time.Hour, MLDataset,
		"Computes the features of prices that models learn from, for what changed.", Pauses},
	{"client-snapshot", "5 0 * * *", 24 * time.Hour, 5 * time.Minute, ClientSnapshot,
		"Counts the clients at the end of the day before.", Pauses},
	{"monthly-savings", "25 * * * *", 24 * time.Hour, 2 * time.Hour, MonthlySavings,
		"Computes what each client saved: the past month until it is closed, the current one provisionally.", Pauses},
	{"data-cleanup", "0 2 * * *", 24 * time.Hour, 2 * time.Hour, DataCleanup,
		"Drops and deletes what is older than it is kept.", Pauses},
}

// All lists the jobs.
func All() []Job { return slices.Clone(jobs) }

// Find returns the job with a name, and whether there is one.
func Find(name string) (Job, bool) {
	at := slices.IndexFunc(jobs, func(j Job) bool { return j.Name == name })
	if at < 0 {
		return Job{}, false
	}
	return jobs[at], true
}
