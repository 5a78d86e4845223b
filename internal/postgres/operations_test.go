package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/views"
)

func TestSaveOperationTwiceIsOnce(t *testing.T) {
	t.Parallel()

	g := guard(t)
	ops, view := &postgres.Operations{DB: g.db}, &views.Views{DB: g.db}
	deadline, left := time.Now().Add(time.Minute).UTC().Truncate(time.Microsecond), 61.23456
	at := time.Now().UTC().Truncate(time.Microsecond)
	in := activities.OperationProgress{
		ID:            "termination/a1/i-0",
		Kind:          "termination",
		AgentID:       "a1",
		Summary:       "replacing i-0",
		Cause:         "notice",
		InstanceID:    "i-0",
		Deadline:      &deadline,
		Phase:         "promote",
		RunID:         "run",
		NewInstanceID: "i-1",
		ReplicaID:     "r1",
		Steps: []activities.OperationStep{
			{
				Seq:    1,
				Name:   "launch",
				Status: "started",
				At:     at,
			}, {
				Seq:         2,
				Name:        "promote",
				Status:      "done",
				Detail:      "in time",
				SecondsLeft: &left,
				At:          at.Add(time.Second),
			}},
	}
	for range 2 {
		require.NoError(t, ops.Save(t.Context(), in))
	}
	o, err := view.Operation(t.Context(), "k1", in.ID)
	require.NoError(t, err)
	require.Equal(t, lines("running", "promote", "i-0", "i-1", "r1", true),
		lines(o.State, o.Phase, o.InstanceID, o.NewInstanceID, o.ReplicaID, o.Deadline.Equal(deadline)))
	steps, err := view.OperationSteps(t.Context(), o.ID)
	require.NoError(t, err)
	require.Len(t, steps, 2)
	require.Equal(t, lines("promote", "done", "in time", 61.235),
		lines(steps[1].Name, steps[1].Status, steps[1].Detail, *steps[1].SecondsLeft))
	require.True(t, steps[0].At.Equal(at), "a step has the moment of what happened")

	end := activities.OperationProgress{ID: in.ID, Kind: in.Kind, AgentID: "a1", RunID: "run",
		End: &activities.OperationEnd{
			State:    "succeeded",
			Summary:  "i-1 took over",
			Notify:   "web-1 survived",
			Severity: "warning",
		}}
	for range 2 {
		require.NoError(t, ops.Save(t.Context(), end))
		end.End = &activities.OperationEnd{State: "failed", Notify: "again"}
	}
	o, err = view.Operation(t.Context(), "k1", o.ID)
	require.NoError(t, err)
	require.Equal(t, lines("succeeded", "i-1 took over", true), lines(o.State, o.Summary, o.EndedAt != nil))
	require.Equal(t, "web-1 survived",
		one[string](g, `SELECT string_agg(message, ',') FROM notifications WHERE severity = 'warning'`))
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM events WHERE type = 'termination_succeeded'`))
	require.Zero(t, one[int](g, `SELECT count(*) FROM operations WHERE tend_at IS NOT NULL`),
		"the sweep is done with it")

	require.NoError(t, ops.Save(t.Context(), activities.OperationProgress{
		ID:      o.ID,
		Kind:    "termination",
		AgentID: "a1",
		Summary: "once more",
	}))
	again, err := view.Operation(t.Context(), "k1", o.ID)
	require.NoError(t, err)
	require.Equal(t, lines("running", "i-0", true, true),
		lines(again.State, again.InstanceID, again.EndedAt == nil, again.StartedAt.Equal(o.StartedAt)))
}

// TestSaveOperationWithADeadlineFarAway keeps the page although the seconds that are
// left do not fit their column.
func TestSaveOperationWithADeadlineFarAway(t *testing.T) {
	t.Parallel()

	g := guard(t)
	ops, far := &postgres.Operations{DB: g.db}, 5e9
	require.NoError(t, ops.Save(t.Context(), activities.OperationProgress{
		ID:      "x",
		Kind:    "termination",
		AgentID: "a1",
		RunID:   "r",
		Steps:   []activities.OperationStep{{Seq: 1, Name: "n", Status: "done", SecondsLeft: &far, At: time.Now()}},
	}))
	require.Equal(t, 99999, one[int](g, `SELECT seconds_left::int FROM operation_steps`))
}

func TestSaveOperationOfNoAgent(t *testing.T) {
	t.Parallel()

	g := guard(t)
	ops := &postgres.Operations{DB: g.db}
	step := []activities.OperationStep{{Seq: 1, Name: "n", Status: "done", At: time.Now()}}
	require.Equal(t, agent.NotFound, fault.CodeOf(ops.Save(t.Context(), activities.OperationProgress{
		ID:      "x",
		Kind:    "switch",
		AgentID: "a9",
		Steps:   step,
	})))
	require.Equal(t, agent.NotFound,
		fault.CodeOf(ops.Save(t.Context(), activities.OperationProgress{ID: "x", Kind: "switch", AgentID: "a9"})))
	g.agent("k2", "b1", "i-b")
	require.NoError(t, ops.Save(t.Context(), activities.OperationProgress{ID: "x", Kind: "switch", AgentID: "a1"}))
	require.Error(t, ops.Save(t.Context(),
		activities.OperationProgress{ID: "x", Kind: "switch", AgentID: "b1"}), "an id is one agent's")
}

// TestOneCauseIsNotifiedOnce however many operations end by it.
func TestOneCauseIsNotifiedOnce(t *testing.T) {
	t.Parallel()

	g := guard(t)
	s := &postgres.Operations{DB: g.db}
	for _, id := range []string{"replica/r1", "replica/r2"} {
		for _, key := range []string{"launch:a1/i-0/launch.quota", ""} {
			require.NoError(t, s.Save(t.Context(), activities.OperationProgress{
				ID:      id + key,
				Kind:    "replica",
				AgentID: "a1",
				RunID:   "run",
				Phase:   "launching",
			}))
			require.NoError(t, s.Save(t.Context(), activities.OperationProgress{
				ID:      id + key,
				Kind:    "replica",
				AgentID: "a1",
				RunID:   "run",
				End: &activities.OperationEnd{
					State:     "failed",
					Notify:    "A quota",
					Severity:  "error",
					NotifyKey: key,
				},
			}))
		}
	}
	require.Equal(t, "launch:a1/i-0/launch.quota operation:replica/r1 operation:replica/r2",
		one[string](g, `SELECT string_agg(dedup_key, ' ' ORDER BY dedup_key) FROM notifications`))
}
