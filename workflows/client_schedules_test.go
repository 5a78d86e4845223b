package workflows_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"spotkeeper/activities"
	"spotkeeper/internal/temporalx"
	"spotkeeper/workflows"
)

// schedules are the schedules at a server in memory: which there are, and whether
// each is paused.
type schedules struct {
	client.ScheduleClient
	paused map[string]bool
	note   string // that was written last
}

func (s *schedules) GetHandle(_ context.Context, id string) client.ScheduleHandle {
	return scheduleHandle{id: id, of: s}
}

func (s *schedules) List(context.Context, client.ScheduleListOptions) (client.ScheduleListIterator, error) {
	var all []*client.ScheduleListEntry
	for id, paused := range s.paused {
		all = append(all, &client.ScheduleListEntry{ID: id, Paused: paused})
	}
	return &listedSchedules{all}, nil
}

type scheduleHandle struct {
	client.ScheduleHandle
	id string
	of *schedules
}

func (h scheduleHandle) Pause(context.Context, client.SchedulePauseOptions) error {
	h.of.paused[h.id] = true
	return nil
}

func (h scheduleHandle) Unpause(_ context.Context, o client.ScheduleUnpauseOptions) error {
	h.of.paused[h.id], h.of.note = false, o.Note
	return nil
}

type listedSchedules struct{ left []*client.ScheduleListEntry }

func (l *listedSchedules) HasNext() bool { return len(l.left) > 0 }

func (l *listedSchedules) Next() (*client.ScheduleListEntry, error) {
	next := l.left[0]
	l.left = l.left[1:]
	return next, nil
}

// scheduler is a server that has schedules.
type scheduler struct {
	server
	schedules schedules
}

func (s *scheduler) ScheduleClient() client.ScheduleClient { return &s.schedules }

// failing is the record of a job that has failed a given number of times in a row.
type failing struct{ n int }

func (f failing) FailuresInRow(context.Context, string) (int, error)           { return f.n, nil }
func (failing) NotifyPaused(context.Context, activities.JobEnd, string) error  { return nil }
func (failing) NotifyFailing(context.Context, activities.JobEnd, string) error { return nil }

// TestWhatRescuesIsNeverPausedByItsFailures: a job that is paused after five bad
// minutes does not come back with the service that was away, and one that reports
// would report nothing of its own pause either.
func TestWhatRescuesIsNeverPausedByItsFailures(t *testing.T) {
	t.Parallel()

	s := &scheduler{schedules: schedules{paused: map[string]bool{"job/of-an-older-version": true}}}
	c := &workflows.Client{Temporal: s}
	runs := &activities.Jobs{Failures: failing{n: 5}, Pauser: c}
	for _, x := range workflows.Schedules("control") {
		s.schedules.paused[x.ID] = false
		require.NoError(t, runs.PauseFailingJob(t.Context(),
			activities.JobEnd{Job: strings.TrimPrefix(x.ID, workflows.SchedulePrefix), Error: "EC2 is away"}))
	}
	paused, err := c.PausedJobs(t.Context())
	require.NoError(t, err)
	require.Len(t, paused, len(workflows.Schedules("control")), "and no others")
	goOn := []string{"agent-health", "template-notes", "notification-delivery", "orphan-sweep", "price-collection",
		"price-partitions", "primary-watch", "standby-watch"}
	for job, stopped := range paused {
		require.Equal(t, !slices.Contains(goOn, job), stopped, job)
	}
	require.False(t, c.PausesOnFailure("no-such-job"))
}

func TestSchedulesAreComplete(t *testing.T) {
	t.Parallel()

	seen := map[string]bool{}
	for _, s := range workflows.Schedules("control") {
		require.Contains(t, s.ID, workflows.SchedulePrefix)
		require.False(t, seen[s.ID], s.ID)
		seen[s.ID] = true
		require.NotEmpty(t, s.Cron)
		require.NotEmpty(t, s.Note)
		require.Positive(t, s.CatchUp)
		require.Positive(t, s.Timeout)
		require.Equal(t, workflows.JobsQueue("control"), s.Queue)
	}
	require.Contains(t, seen, "job/agent-health")
	require.Contains(t, seen, "job/orphan-sweep")
}

// TestAResumedJobKeepsItsNote: Temporal has one note of a schedule, which a pause replaces by its reason.
func TestAResumedJobKeepsItsNote(t *testing.T) {
	t.Parallel()

	s := &scheduler{schedules: schedules{paused: map[string]bool{"job/monthly-savings": true}}}
	c := &workflows.Client{Temporal: s}
	require.NoError(t, c.ResumeJob(t.Context(), "monthly-savings", "resumed by operator:ann"))
	require.False(t, s.schedules.paused["job/monthly-savings"])
	all := workflows.Schedules("control")
	i := slices.IndexFunc(all, func(x temporalx.Schedule) bool { return x.ID == "job/monthly-savings" })
	note := all[i].Note
	require.Equal(t, note+" (resumed by operator:ann)", s.schedules.note)
}
