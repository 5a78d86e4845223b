package workflows

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/workflows/jobs"
)

// UnknownJob means that no scheduled job has this name.
var UnknownJob = fault.Define("job.not_found", fault.NotFound)

// ScheduleState is how one scheduled job stands at the server.
type ScheduleState struct {
	Job     string
	Cron    string // UTC
	Note    string // what it does
	Paused  bool
	Reason  string      // of the pause, as the operator or the failures left it
	Next    []time.Time // when it runs next
	Running []string    // ids of the runs in flight
	Missed  int64       // runs that were due while the server was away for too long
	Skipped int64       // runs that were due while the one before went on
	// Absent says that the server has no such schedule: no worker has reconciled
	// them yet.
	Absent bool
}

// nextRuns is how many runs ahead a schedule's answer lists.
const nextRuns = 3

// Schedules asks the server how the scheduled jobs stand, in the order of their
// names.
func (c *Client) Schedules(ctx context.Context) ([]ScheduleState, error) {
	ctx, done := c.withHealthDeadline(ctx, queryWithin)
	defer done()
	all := jobs.All()
	out := make([]ScheduleState, 0, len(all))
	for _, j := range all {
		s, err := c.describe(ctx, j)
		if err != nil {
			return nil, translateError(ctx, err)
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b ScheduleState) int { return cmp.Compare(a.Job, b.Job) })
	return out, nil
}

// Schedule asks the server for the state of one scheduled job. Fails with job.not_found.
func (c *Client) Schedule(ctx context.Context, name string) (*ScheduleState, error) {
	j, known := jobs.Find(name)
	if !known {
		return nil, UnknownJob.New("there is no job %s", name)
	}
	ctx, done := c.withHealthDeadline(ctx, queryWithin)
	defer done()
	s, err := c.describe(ctx, j)
	return &s, translateError(ctx, err)
}

func (c *Client) describe(ctx context.Context, j jobs.Job) (ScheduleState, error) {
	s := ScheduleState{Job: j.Name, Cron: j.Cron, Note: j.Note}
	d, err := c.schedule(ctx, j.Name).Describe(ctx)
	switch {
	case isNotFound(err):
		s.Absent = true
	case err != nil:
		return s, err
	default:
		s.read(d)
	}
	return s, nil
}

func (s *ScheduleState) read(d *client.ScheduleDescription) {
	if st := d.Schedule.State; st != nil && st.Paused {
		s.Paused, s.Reason = true, st.Note
	}
	s.Next = d.Info.NextActionTimes[:min(nextRuns, len(d.Info.NextActionTimes))]
	for _, r := range d.Info.RunningWorkflows {
		s.Running = append(s.Running, r.WorkflowID)
	}
	s.Missed, s.Skipped = int64(d.Info.NumActionsMissedCatchupWindow), int64(d.Info.NumActionsSkippedOverlap)
}

// PausesOnFailure says whether a job may be paused because it keeps failing. It
// implements activities.JobPauser.
func (*Client) PausesOnFailure(name string) bool {
	j, known := jobs.Find(name)
	return known && j.OnFailure == jobs.Pauses
}

// PausedJobs says of each job that has a schedule whether that is paused, for any
// reason. It is one call; the server's list may be some seconds behind.
func (c *Client) PausedJobs(ctx context.Context) (map[string]bool, error) {
	ctx, done := c.withHealthDeadline(ctx, queryWithin)
	defer done()
	there, err := c.Temporal.ScheduleClient().List(ctx, client.ScheduleListOptions{PageSize: 100})
	if err != nil {
		return nil, translateError(ctx, err)
	}
	paused := map[string]bool{}
	for there.HasNext() {
		s, err := there.Next()
		if err != nil {
			return nil, translateError(ctx, err)
		}
		name, ours := strings.CutPrefix(s.ID, SchedulePrefix)
		if _, known := jobs.Find(name); ours && known {
			paused[name] = s.Paused
		}
	}
	return paused, nil
}

// TriggerJob runs a job now, unless it is running: then nothing happens, because
// the run in flight does the same. Fails with job.not_found.
func (c *Client) TriggerJob(ctx context.Context, job string) error {
	return c.onSchedule(ctx, job, func(ctx context.Context, h client.ScheduleHandle) error {
		return h.Trigger(ctx, client.ScheduleTriggerOptions{Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP})
	})
}

// PauseJob stops a job from running by the clock; the reason is kept and shown.
// It stays paused over restarts and new versions. Fails with job.not_found.
func (c *Client) PauseJob(ctx context.Context, job, reason string) error {
	return c.onSchedule(ctx, job, func(ctx context.Context, h client.ScheduleHandle) error {
		return h.Pause(ctx, client.SchedulePauseOptions{Note: reason})
	})
}

// ResumeJob lets a job run by the clock again. The schedule's note says again what the job does, and
// who resumed it. Fails with job.not_found.
func (c *Client) ResumeJob(ctx context.Context, job, reason string) error {
	note := reason
	if j, known := jobs.Find(job); known {
		note = j.Note + " (" + reason + ")"
	}
	return c.onSchedule(ctx, job, func(ctx context.Context, h client.ScheduleHandle) error {
		return h.Unpause(ctx, client.ScheduleUnpauseOptions{Note: note})
	})
}

// BackfillJob runs a job once for each time it was due in a span, one after the
// other. Runs are idempotent per period, so it may be asked twice. Fails with
// job.not_found.
func (c *Client) BackfillJob(ctx context.Context, job string, from, until time.Time) error {
	return c.onSchedule(ctx, job, func(ctx context.Context, h client.ScheduleHandle) error {
		return h.Backfill(ctx, client.ScheduleBackfillOptions{
			Backfill: []client.ScheduleBackfill{{
				Start:   from,
				End:     until,
				Overlap: enums.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL,
			}},
		})
	})
}

func (c *Client) schedule(ctx context.Context, job string) client.ScheduleHandle {
	return c.Temporal.ScheduleClient().GetHandle(ctx, SchedulePrefix+job)
}

// onSchedule does something with the schedule of a job.
func (c *Client) onSchedule(
	ctx context.Context,
	name string,
	do func(context.Context, client.ScheduleHandle) error,
) error {
	if _, known := jobs.Find(name); !known {
		return UnknownJob.New("there is no job %s", name)
	}
	ctx, done := c.withHealthDeadline(ctx, queryWithin)
	defer done()
	err := do(ctx, c.schedule(ctx, name))
	if isNotFound(err) {
		return UnknownJob.Wrap(err, "the job %s has no schedule yet: no worker has made it", name)
	}
	return translateError(ctx, err)
}
