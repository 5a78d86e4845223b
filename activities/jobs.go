package activities

import (
	"context"
	"fmt"
	"time"
)

// JobStore is the part of housekeeping.Jobs that job activities use.
type JobStore interface {
	Start(ctx context.Context, in JobStart) error
	End(ctx context.Context, in JobEnd) error
}

// FailureStore is the part of housekeeping.Jobs that counts the failures of a job in a
// row.
type FailureStore interface {
	FailuresInRow(ctx context.Context, job string) (int, error)
	NotifyPaused(ctx context.Context, in JobEnd, message string) error
	NotifyFailing(ctx context.Context, in JobEnd, message string) error
}

// JobPauser is the part of workflows.Client that pauses a job, and that lists the
// jobs that may be paused because they fail.
type JobPauser interface {
	PausesOnFailure(job string) bool
	PauseJob(ctx context.Context, job, reason string) error
}

// Jobs keep a row per run of a scheduled job. They are local activities.
type Jobs struct {
	Store    JobStore
	Failures FailureStore // nil: no job is ever paused by its failures
	Pauser   JobPauser
	Slots    Slots // for what waits for Temporal
}

// pauseAfter is how many periods in a row may fail before a person has to look.
const pauseAfter = 5

// JobStart begins the run of a job for a period.
type JobStart struct {
	Job    string    `json:"job"`
	Period time.Time `json:"period"` // the start of what the run is about; with the job, the row's key
}

// JobEnd closes a run.
type JobEnd struct {
	Job    string           `json:"job"`
	Period time.Time        `json:"period"`
	Counts map[string]int64 `json:"counts,omitempty"` // what it did
	Error  string           `json:"error,omitempty"`  // empty: it succeeded
}

// StartJob opens the row of a run. A period that is run again counts one more
// attempt in the same row.
func (j *Jobs) StartJob(ctx context.Context, in JobStart) error { return j.Store.Start(ctx, in) }

// EndJob closes the row of a run. It sets a level, so a second run changes nothing.
func (j *Jobs) EndJob(ctx context.Context, in JobEnd) error { return j.Store.End(ctx, in) }

// PauseFailingJob pauses a job that has failed for several periods in a row, and
// reports it to operators once. A job that rescues, or that reports what went wrong,
// goes on: it is reported only. It sets a level, so a second run changes nothing.
func (j *Jobs) PauseFailingJob(ctx context.Context, in JobEnd) error {
	if j.Failures == nil || j.Pauser == nil {
		return nil
	}
	n, err := j.Failures.FailuresInRow(ctx, in.Job)
	if err != nil || n < pauseAfter {
		return err
	}
	if !j.Pauser.PausesOnFailure(in.Job) {
		if n > pauseAfter {
			return nil // it was reported
		}
		return j.Failures.NotifyFailing(ctx, in,
			fmt.Sprintf("The job %s failed %d times in a row and goes on, last with: %s", in.Job, n, in.Error))
	}
	message := fmt.Sprintf("The job %s is paused: it failed %d times in a row, last with: %s", in.Job, n, in.Error)
	if err := j.Slots.Run(ctx, func() error { return j.Pauser.PauseJob(ctx, in.Job, message) }); err != nil {
		return err
	}
	return j.Failures.NotifyPaused(ctx, in, message)
}
