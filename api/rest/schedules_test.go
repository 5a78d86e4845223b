package rest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/temporalx"
	"spotkeeper/workflows"
)

// playedJobs records the calls to the schedules.
type playedJobs struct {
	told []string
	from time.Time
}

func (p *playedJobs) Schedules(context.Context) ([]workflows.ScheduleState, error) {
	return []workflows.ScheduleState{
		{
			Job:  "gap-fill",
			Cron: "20 1 * * *",
			Note: "Fills gaps.",
			Next: []time.Time{time.Date(2026, 11, 23, 1, 20, 0, 0, time.UTC)},
		},
		{
			Job:     "price-dedup",
			Cron:    "7 * * * *",
			Note:    "Merges.",
			Paused:  true,
			Reason:  "paused by ops",
			Running: []string{"job/price-dedup-x"},
			Skipped: 2,
		},
	}, nil
}

func (p *playedJobs) Schedule(ctx context.Context, job string) (*workflows.ScheduleState, error) {
	all, err := p.Schedules(ctx)
	for _, s := range all {
		if s.Job == job {
			s.Paused, s.Reason = len(p.told) == 0, strings.Join(p.told, ", ")
			return &s, err
		}
	}
	return nil, workflows.UnknownJob.New("there is no job %s", job)
}

func (p *playedJobs) act(what, job string) error {
	if job != "price-dedup" {
		return workflows.UnknownJob.New("there is no job %s", job)
	}
	p.told = append(p.told, what)
	return nil
}

func (*playedJobs) Workers(context.Context) ([]workflows.Worker, []workflows.WorkerVersion, error) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	version := temporalx.Version{BuildID: "two", Created: at, Current: true}
	return []workflows.Worker{{Identity: "7@worker-1", Queue: "control", LastSeen: at, Deployment: "spotkeeper", BuildID: "two"}},
		[]workflows.WorkerVersion{{Deployment: "spotkeeper", Version: version}}, nil
}

// TestWorkersAreListed: which processes do the work, and which of their versions has the new workflows.
func TestWorkersAreListed(t *testing.T) {
	t.Parallel()

	got := newStack(t).call(operatorToken, "GET", "/api/admin/workers", "")
	require.JSONEq(t, `{
		"workers": [{"identity": "7@worker-1", "queue": "control", "last_seen_at": "2026-03-01T12:00:00.000Z",
			"deployment": "spotkeeper", "build_id": "two"}],
		"versions": [{"deployment": "spotkeeper", "build_id": "two", "created_at": "2026-03-01T12:00:00.000Z",
			"current": true, "ramp_percent": 0, "drained": false}]
	}`, got.raw)
}

func (p *playedJobs) TriggerJob(_ context.Context, job string) error { return p.act("trigger", job) }

func (p *playedJobs) PauseJob(_ context.Context, job, reason string) error {
	return p.act(reason, job)
}

func (p *playedJobs) ResumeJob(_ context.Context, job, reason string) error {
	return p.act(reason, job)
}

func (p *playedJobs) BackfillJob(_ context.Context, job string, from, _ time.Time) error {
	p.from = from
	return p.act("backfill", job)
}

// TestSchedules: operators see every job with what its last runs did, and act on
// it; no other code does.
func TestSchedules(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`INSERT INTO job_runs (job, period, state, counts, error, attempts, ended_at)
		SELECT 'price-dedup', now() - n * interval '1 hour', CASE n WHEN 0 THEN 'failed' ELSE 'succeeded' END,
			'{"processed": 7}', CASE n WHEN 0 THEN 'the disk is full' END, 1, now()
		FROM generate_series(0, 14) n`)

	got := s.call(operatorToken, "GET", "/api/admin/schedules", "")
	got.holds(t, 200, `{"schedules":"*"}`)
	list := got.body["schedules"].([]any)
	require.Len(t, list, 2)
	idle, dedup := list[0].(map[string]any), list[1].(map[string]any)
	require.Equal(t, []any{"2026-11-23T01:20:00Z"}, idle["next_runs"])
	require.Equal(t, []any{}, idle["last_runs"])
	require.Equal(t, []any{true, "paused by ops", 2.0}, []any{dedup["paused"], dedup["reason"], dedup["skipped"]})
	runs := dedup["last_runs"].([]any)
	require.Len(t, runs, 10)
	require.Equal(t, "the disk is full", runs[0].(map[string]any)["error"])
	require.Equal(t, map[string]any{"processed": 7.0}, runs[1].(map[string]any)["counts"])

	const one = "/api/admin/schedules/price-dedup/"
	s.call(operatorToken, "POST", one+"trigger", "").holds(t, 202, `{"success":true}`)
	s.call(operatorToken, "POST", one+"pause", `{"reason":"the disk"}`).holds(t, 200, `{"success":true}`)
	s.call(operatorToken, "POST", one+"resume", "").holds(t, 200, `{"success":true}`)
	s.call(operatorToken, "POST", one+"backfill",
		`{"from":"`+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)+`"}`).holds(t, 202, `{"success":true}`)
	require.Len(t, s.jobs.told, 4)
	require.True(t, strings.HasPrefix(s.jobs.told[1], "paused by ") &&
		strings.HasSuffix(s.jobs.told[1], ": the disk"), s.jobs.told[1])
	require.WithinDuration(t, time.Now().Add(-time.Hour), s.jobs.from, 5*time.Second)

	for body, status := range map[string]int{
		`{}`:                              400,
		`{"from":"soon"}`:                 400,
		`{"from":"2020-01-01T00:00:00Z"}`: 400,
		`{"from":"2026-01-02T00:00:00Z","until":"2026-01-01T00:00:00Z"}`: 400,
		`{"from":"2999-01-01T00:00:00Z","until":"2999-01-02T00:00:00Z"}`: 400,
	} {
		require.Equal(t, status, s.call(operatorToken, "POST", one+"backfill", body).status, body)
	}
	s.call(operatorToken, "POST", "/api/admin/schedules/nothing/trigger", "").holds(t, 404, `{"code":"job.not_found"}`)
	require.Equal(t, 403, s.call(s.acme, "GET", "/api/admin/schedules", "").status)
	require.Len(t, s.jobs.told, 4)
}
