package housekeeping

import (
	"context"
	"encoding/json"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres/pg"
)

// Jobs keeps the runs of scheduled jobs, one row per job and period.
type Jobs struct{ DB *pg.DB }

var _ activities.JobStore = (*Jobs)(nil)

// Start opens the row of a run, or opens it again and counts the attempt.
func (s *Jobs) Start(ctx context.Context, in activities.JobStart) error {
	_, err := s.DB.Pool.Exec(ctx, `INSERT INTO job_runs AS j (job, period) VALUES ($1, $2)
		ON CONFLICT (job, period)
		DO UPDATE SET state = 'running', attempts = j.attempts + 1, started_at = now(), ended_at = NULL, error = NULL`, in.Job, in.Period)
	return pg.Translate(err)
}

// End closes the row of a run with what it counted, or with why it failed. A run
// whose beginning was not recorded is recorded now.
func (s *Jobs) End(ctx context.Context, in activities.JobEnd) error {
	counts, err := json.Marshal(in.Counts)
	if err != nil {
		return err
	}
	if in.Counts == nil {
		counts = []byte("{}")
	}
	_, err = s.DB.Pool.Exec(ctx, `INSERT INTO job_runs (job, period, state, counts, error, ended_at)
		VALUES ($1, $2, CASE WHEN $4 = '' THEN 'succeeded' ELSE 'failed' END, $3, nullif($4, ''), now())
		ON CONFLICT (job, period)
		DO UPDATE SET state = excluded.state, counts = excluded.counts, error = excluded.error,
			ended_at = excluded.ended_at`,
		in.Job, in.Period, counts, in.Error)
	return pg.Translate(err)
}

// JobRun is one run of a scheduled job.
type JobRun struct {
	Job       string
	Period    time.Time
	State     string // running, succeeded, failed
	Counts    json.RawMessage
	Error     *string
	Attempts  int
	StartedAt time.Time
	EndedAt   *time.Time
}

// Runs reads the last runs of each job, newest first.
func (s *Jobs) Runs(ctx context.Context, perJob int) ([]JobRun, error) {
	return pg.QueryRows[JobRun](ctx, s.DB,
		`SELECT r.job, r.period, r.state, r.counts, r.error, r.attempts, r.started_at, r.ended_at
		FROM (SELECT DISTINCT job FROM job_runs) j
		CROSS JOIN LATERAL (SELECT * FROM job_runs WHERE job = j.job ORDER BY period DESC LIMIT $1) r
		ORDER BY r.job, r.period DESC`, perJob)
}

// FailuresInRow counts the runs of a job that failed since the last that did not.
func (s *Jobs) FailuresInRow(ctx context.Context, job string) (n int, err error) {
	err = s.DB.Pool.QueryRow(ctx, `SELECT count(*) FROM job_runs WHERE job = $1 AND state = 'failed'
		AND period > coalesce((SELECT max(period) FROM job_runs WHERE job = $1 AND state = 'succeeded'), '-infinity')`, job).Scan(&n)
	return n, pg.Translate(err)
}

// NotifyPaused notifies operators, once per period, that a job was paused.
func (s *Jobs) NotifyPaused(ctx context.Context, in activities.JobEnd, message string) error {
	return s.recordJobEvent(ctx, in, "job_paused", message)
}

// NotifyFailing notifies operators, once per period, that a job fails and continues.
func (s *Jobs) NotifyFailing(ctx context.Context, in activities.JobEnd, message string) error {
	return s.recordJobEvent(ctx, in, "job_failing", message)
}

func (s *Jobs) recordJobEvent(ctx context.Context, in activities.JobEnd, what, message string) error {
	return pg.Translate(pg.RecordEvent(ctx, s.DB.Pool, pg.EventRecord{
		Type:     what,
		Severity: "error",
		Message:  message,
		Notify:   true,
		Key:      what + "/" + in.Job + "/" + in.Period.UTC().Format(time.RFC3339),
		Metadata: map[string]any{"job": in.Job, "error": in.Error},
	}))
}

// NotifyRemoved notifies operators, once per schedule, of schedules at the server for which
// this version has no job. They go on until a person deletes them, because a worker of
// another version may run them.
func (s *Jobs) NotifyRemoved(ctx context.Context, schedules []string) error {
	for _, id := range schedules {
		if err := pg.RecordEvent(ctx, s.DB.Pool, pg.EventRecord{
			Type:     "schedule_removed",
			Severity: "warning",
			Notify:   true,
			Key:      "schedule-removed/" + id,
			Message:  "A worker has no job for the schedule " + id + ". Delete it when no version in use has one.",
			Metadata: map[string]any{"schedule": id},
		}); err != nil {
			return pg.Translate(err)
		}
	}
	return nil
}
