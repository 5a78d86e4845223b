package temporalx_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"spotkeeper/internal/temporalx"
)

// schedules is the server's side in memory.
type schedules struct {
	client.ScheduleClient
	there map[string]client.Schedule
}

func (s *schedules) Create(_ context.Context, o client.ScheduleOptions) (client.ScheduleHandle, error) {
	if _, there := s.there[o.ID]; there {
		return nil, temporal.ErrScheduleAlreadyRunning
	}
	s.there[o.ID] = client.Schedule{Action: o.Action, Spec: &o.Spec, State: &client.ScheduleState{Note: o.Note},
		Policy: &client.SchedulePolicies{Overlap: o.Overlap, CatchupWindow: o.CatchupWindow}}
	return nil, nil
}

func (s *schedules) GetHandle(_ context.Context, id string) client.ScheduleHandle {
	return &scheduled{schedules: s, id: id}
}

func (s *schedules) List(context.Context, client.ScheduleListOptions) (client.ScheduleListIterator, error) {
	var ids []string
	for id := range s.there {
		ids = append(ids, id)
	}
	return &listed{ids: ids}, nil
}

type listed struct{ ids []string }

func (l *listed) HasNext() bool { return len(l.ids) > 0 }
func (l *listed) Next() (*client.ScheduleListEntry, error) {
	id := l.ids[0]
	l.ids = l.ids[1:]
	return &client.ScheduleListEntry{ID: id}, nil
}

type scheduled struct {
	client.ScheduleHandle
	*schedules
	id string
}

func (h *scheduled) Update(_ context.Context, o client.ScheduleUpdateOptions) error {
	got, err := o.DoUpdate(client.ScheduleUpdateInput{Description: client.ScheduleDescription{Schedule: h.there[h.id]}})
	if err == nil {
		h.there[h.id] = *got.Schedule
	}
	return err
}

func TestSchedulesFollowTheCode(t *testing.T) {
	t.Parallel()

	s := &schedules{there: map[string]client.Schedule{}}
	want := []temporalx.Schedule{
		{
			ID:       "job/a",
			Cron:     "* * * * *",
			CatchUp:  time.Minute,
			Note:     "does a",
			Workflow: "A",
			Reason:   temporal.NewSearchAttributeKeyKeyword("Reason"),
		},
		{ID: "job/b", Cron: "*/5 * * * *", CatchUp: 5 * time.Minute, Note: "does b", Workflow: "B"},
	}
	done, err := temporalx.ReconcileSchedules(t.Context(), s, "job/", want)
	require.NoError(t, err)
	require.Equal(t, []string{"job/a", "job/b"}, done.Created)
	require.Equal(t, enums.SCHEDULE_OVERLAP_POLICY_SKIP, s.there["job/a"].Policy.Overlap)
	require.Equal(t, time.Minute, s.there["job/a"].Policy.CatchupWindow)

	// An operator pauses one, another program has one of their own, and the code changes.
	s.there["job/a"].State.Paused, s.there["job/a"].State.Note = true, "until Monday"
	s.there["job/old"], s.there["theirs"] = client.Schedule{}, client.Schedule{}
	want[0].Cron, want[1].Note = "0 * * * *", "does b better"
	done, err = temporalx.ReconcileSchedules(t.Context(), s, "job/", want)
	require.NoError(t, err)
	require.Equal(t, []string{"job/a", "job/b"}, done.Updated)
	require.Equal(t, []string{"job/old"}, done.Removed)
	require.Equal(t, []string{"0 * * * *"}, s.there["job/a"].Spec.CronExpressions)
	require.True(t, s.there["job/a"].State.Paused)
	require.Equal(t, "until Monday", s.there["job/a"].State.Note)
	require.Equal(t, "does b better", s.there["job/b"].State.Note)
	require.Contains(t, s.there, "job/old", "it is reported, and left for a person")
}
