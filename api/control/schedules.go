package control

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/operators"
	"spotkeeper/internal/postgres/audit"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/workflows"
)

// InvalidSpan means that a backfill asks for no sane span of time.
var InvalidSpan = fault.Define("job.invalid_span", fault.Invalid)

// JobWorkflows is the part of workflows.Client that schedules are served by.
type JobWorkflows interface {
	Schedules(ctx context.Context) ([]workflows.ScheduleState, error)
	Schedule(ctx context.Context, job string) (*workflows.ScheduleState, error)
	TriggerJob(ctx context.Context, job string) error
	PauseJob(ctx context.Context, job, reason string) error
	ResumeJob(ctx context.Context, job, reason string) error
	BackfillJob(ctx context.Context, job string, from, until time.Time) error
}

// JobRuns is the part of housekeeping.Jobs that lists runs.
type JobRuns interface {
	Runs(ctx context.Context, perJob int) ([]housekeeping.JobRun, error)
}

// Schedules serve what operators see of the scheduled jobs, and let them act.
type Schedules struct {
	Runs      JobRuns
	Workflows JobWorkflows
	Now       func() time.Time
}

// lastRuns is how many runs of each job are listed.
const lastRuns = 10

// maxBackfill bounds a backfill: the longest that data is kept for.
const maxBackfill = 90 * 24 * time.Hour

// Routes lists the endpoints.
func (s *Schedules) Routes() []web.Route {
	const one = "/api/admin/schedules/:job"
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     "/api/admin/schedules",
			ID:       "listSchedules",
			Summary:  "List the scheduled jobs with their last runs",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(s.list),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/trigger",
			ID:       "triggerJob",
			Summary:  "Run a job now",
			Auth:     web.Admin,
			Role:     operators.Operator,
			Status:   202,
			Event:    "job_triggered",
			Subject:  s.jobSnapshot,
			Endpoint: web.NewEndpoint(s.trigger),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/pause",
			ID:       "pauseJob",
			Summary:  "Stop a job from running by the clock",
			Auth:     web.Admin,
			Role:     operators.Operator,
			Status:   200,
			Event:    "job_paused",
			Subject:  s.jobSnapshot,
			Endpoint: web.NewEndpoint(s.pause),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/resume",
			ID:       "resumeJob",
			Summary:  "Let a job run by the clock again",
			Auth:     web.Admin,
			Role:     operators.Operator,
			Status:   200,
			Event:    "job_resumed",
			Subject:  s.jobSnapshot,
			Endpoint: web.NewEndpoint(s.resume),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/backfill",
			ID:       "backfillJob",
			Summary:  "Run a job for each time it was due in a span",
			Auth:     web.Admin,
			Role:     operators.Operator,
			Status:   202,
			Event:    "job_backfilled",
			Subject:  s.jobSnapshot,
			Endpoint: web.NewEndpoint(s.backfill),
		},
	}
}

type schedulesAnswer struct {
	Schedules []scheduleItem `json:"schedules"`
}

type scheduleItem struct {
	ID      string     `json:"id"`
	Cron    string     `json:"cron" doc:"five fields, UTC"`
	Note    string     `json:"note"`
	Paused  bool       `json:"paused"`
	Reason  string     `json:"reason,omitempty" doc:"of the pause"`
	Absent  bool       `json:"absent,omitempty" doc:"no worker has made the schedule yet"`
	Next    []web.Time `json:"next_runs"`
	Running []string   `json:"running" doc:"ids of the workflows in flight"`
	Missed  int64      `json:"missed" doc:"runs that were due while the server was away for too long"`
	Skipped int64      `json:"skipped" doc:"runs that were due while the one before went on"`
	Last    []runItem  `json:"last_runs" doc:"newest first"`
}

type runItem struct {
	Period    web.Time        `json:"period" doc:"the start of what the run is about"`
	State     string          `json:"state" doc:"running, succeeded or failed"`
	Counts    json.RawMessage `json:"counts" doc:"what it did, by name"`
	Error     *string         `json:"error"`
	Attempts  int             `json:"attempts"`
	StartedAt web.Time        `json:"started_at"`
	EndedAt   *web.Time       `json:"ended_at"`
}

func (s *Schedules) list(ctx context.Context, _ *web.None) (*schedulesAnswer, error) {
	states, err := s.Workflows.Schedules(ctx)
	if err != nil {
		return nil, err
	}
	runs, err := s.Runs.Runs(ctx, lastRuns)
	if err != nil {
		return nil, err
	}
	byJob := map[string][]runItem{}
	for _, r := range runs {
		byJob[r.Job] = append(byJob[r.Job], runItem{
			Period:    web.TimeOf(r.Period),
			State:     r.State,
			Counts:    r.Counts,
			Error:     r.Error,
			Attempts:  r.Attempts,
			StartedAt: web.TimeOf(r.StartedAt),
			EndedAt:   web.NewTime(r.EndedAt),
		})
	}
	out := &schedulesAnswer{Schedules: []scheduleItem{}}
	for _, st := range states {
		item := scheduleItem{
			ID:      st.Job,
			Cron:    st.Cron,
			Note:    st.Note,
			Paused:  st.Paused,
			Reason:  st.Reason,
			Absent:  st.Absent,
			Next:    []web.Time{},
			Running: append([]string{}, st.Running...),
			Missed:  st.Missed,
			Skipped: st.Skipped,
			Last:    append([]runItem{}, byJob[st.Job]...),
		}
		for _, at := range st.Next {
			item.Next = append(item.Next, web.TimeOf(at))
		}
		out.Schedules = append(out.Schedules, item)
	}
	return out, nil
}

// jobSnapshot is what events record of a job: whether its schedule is active, and what runs.
func (s *Schedules) jobSnapshot(ctx context.Context, _ web.AuditStore, c *gin.Context) (audit.Snapshot, error) {
	st, err := s.Workflows.Schedule(ctx, c.Param("job"))
	if err != nil {
		return audit.Snapshot{}, err
	}
	what, err := json.Marshal(map[string]any{
		"paused":  st.Paused,
		"reason":  st.Reason,
		"running": append([]string{}, st.Running...),
	})
	return audit.Snapshot{What: what}, err
}

type jobPath struct {
	Job string `json:"-" uri:"job" binding:"required,max=64"`
}

type jobReason struct {
	jobPath
	web.OptionalBody
	Reason string `json:"reason" binding:"max=500"`
}

func (s *Schedules) trigger(ctx context.Context, in *jobReason) (*web.Success, error) {
	return web.Done, s.Workflows.TriggerJob(ctx, in.Job)
}

func (s *Schedules) pause(ctx context.Context, in *jobReason) (*web.Success, error) {
	return web.Done, s.Workflows.PauseJob(ctx, in.Job, scheduleNote(ctx, "paused", in.Reason))
}

func (s *Schedules) resume(ctx context.Context, in *jobReason) (*web.Success, error) {
	return web.Done, s.Workflows.ResumeJob(ctx, in.Job, scheduleNote(ctx, "resumed", in.Reason))
}

// scheduleNote says who did something to a schedule, and why.
func scheduleNote(ctx context.Context, did, reason string) string {
	note := did + " by " + web.ActorName(ctx)
	if reason != "" {
		note += ": " + reason
	}
	return note
}

type backfillRequest struct {
	jobPath
	From  *web.Time `json:"from"  binding:"required"`
	Until *web.Time `json:"until" doc:"by default now"`
}

func (s *Schedules) backfill(ctx context.Context, in *backfillRequest) (*web.Success, error) {
	now := s.Now()
	from, until := in.From.OrZero(), in.Until.OrZero()
	if until.IsZero() {
		until = now
	}
	switch {
	case !from.Before(until):
		return nil, InvalidSpan.New("from must be before until")
	case until.After(now):
		return nil, InvalidSpan.New("until must not be in the future")
	case until.Sub(from) > maxBackfill:
		return nil, InvalidSpan.New("a backfill covers at most %d days", int(maxBackfill.Hours()/24))
	}
	return web.Done, s.Workflows.BackfillJob(ctx, in.Job, from, until)
}
