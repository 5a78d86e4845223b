package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/postgres"
)

func TestOperationIsToldTwice(t *testing.T) {
	t.Parallel()

	g := guard(t)
	ops, view := &postgres.Operations{DB: g.db}, &postgres.Views{DB: g.db}
	deadline, left := time.Now().Add(time.Minute).UTC().Truncate(time.Microsecond), 61.23456
	for range 2 {
		require.NoError(t, ops.Begin(t.Context(), activities.BeginOperation{ID: "termination/a1/i-0", Kind: "termination", AgentID: "a1", Summary: "replacing i-0", Cause: "notice", InstanceID: "i-0", Deadline: &deadline}))
		for seq, name := range []string{"launch", "promote"} {
			require.NoError(t, ops.Step(t.Context(), activities.OperationStep{OperationID: "termination/a1/i-0", RunID: "run", Seq: seq, Name: name, Status: "started", SecondsLeft: &left, Phase: name}))
		}
		require.NoError(t, ops.Step(t.Context(), activities.OperationStep{OperationID: "termination/a1/i-0", RunID: "run", Seq: 1, Name: "promote", Status: "done", Detail: "in time", NewInstanceID: "i-1", ReplicaID: "r1"}))
	}
	o, err := view.Operation(t.Context(), "k1", "termination/a1/i-0")
	require.NoError(t, err)
	require.Equal(t, lines("running", "promote", "i-0", "i-1", "r1", true), lines(o.State, o.Phase, o.InstanceID, o.NewInstanceID, o.ReplicaID, o.Deadline.Equal(deadline)))
	steps, err := view.OperationSteps(t.Context(), o.ID)
	require.NoError(t, err)
	require.Len(t, steps, 2)
	require.Equal(t, lines("promote", "done", "in time", 61.235), lines(steps[1].Name, steps[1].Status, steps[1].Detail, *steps[1].SecondsLeft))

	end := activities.EndOperation{OperationID: o.ID, State: "succeeded", Summary: "i-1 took over", Notify: "web-1 survived", Severity: "warning"}
	for range 2 {
		require.NoError(t, ops.End(t.Context(), end))
		end.State, end.Notify = "failed", "again"
	}
	o, err = view.Operation(t.Context(), "k1", o.ID)
	require.NoError(t, err)
	require.Equal(t, lines("succeeded", "i-1 took over", true), lines(o.State, o.Summary, o.EndedAt != nil))
	require.Equal(t, "web-1 survived", one[string](g, `SELECT string_agg(message, ',') FROM notifications WHERE severity = 'warning'`))
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM events WHERE type = 'termination_succeeded'`))

	require.NoError(t, ops.Begin(t.Context(), activities.BeginOperation{ID: o.ID, Kind: "termination", AgentID: "a1", Summary: "once more"}))
	again, err := view.Operation(t.Context(), "k1", o.ID)
	require.NoError(t, err)
	require.Equal(t, lines("running", "i-0", true, true), lines(again.State, again.InstanceID, again.EndedAt == nil, again.StartedAt.Equal(o.StartedAt)))
}

func TestOperationOfNobody(t *testing.T) {
	t.Parallel()

	g := guard(t)
	ops := &postgres.Operations{DB: g.db}
	require.Equal(t, agent.NotFound, fault.CodeOf(ops.Begin(t.Context(), activities.BeginOperation{ID: "x", Kind: "switch", AgentID: "a9"})))
	require.Equal(t, postgres.UnknownOperation, fault.CodeOf(ops.Step(t.Context(), activities.OperationStep{OperationID: "x", RunID: "r", Name: "n", Status: "done"})))
	require.Equal(t, postgres.UnknownOperation, fault.CodeOf(ops.End(t.Context(), activities.EndOperation{OperationID: "x", State: "failed"})))
	g.agent("k2", "b1", "i-b")
	require.NoError(t, ops.Begin(t.Context(), activities.BeginOperation{ID: "x", Kind: "switch", AgentID: "a1"}))
	require.Error(t, ops.Begin(t.Context(), activities.BeginOperation{ID: "x", Kind: "switch", AgentID: "b1"}), "an id is one agent's")
}
