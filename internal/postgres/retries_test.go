package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/views"
)

// fails opens a replica for i-0 as the Guardian does and lets it fail, with its page and
// the notification as its workflow writes them. It returns the replica's id.
func (g *guarded) fails(kind replica.Kind, code, reason string) string {
	g.t.Helper()
	ctx := g.t.Context()
	opened, err := g.OpenReplica(ctx, roles.ReplicaRequest{AgentID: "a1", Kind: kind, For: "i-0", CreatedBy: "system",
		NotBefore: time.Minute})
	require.NoError(g.t, err)
	id := opened.Replica.ID
	_, err = g.Advance(ctx, roles.ReplicaTransition{ReplicaID: id, To: replica.Failed, Error: reason,
		ErrorCode: replica.Misconfigured})
	require.NoError(g.t, err)
	for range 2 { // an activity may run twice
		require.NoError(g.t, (&postgres.Operations{DB: g.db}).Save(ctx, activities.OperationProgress{
			ID: "replica/" + id, Kind: "replica", AgentID: "a1", Phase: "giving_up",
			End: &activities.OperationEnd{State: "failed", Summary: "it failed", Code: code, Error: reason,
				Notify: "No replacement can be launched for a1: " + reason, Severity: "error",
				NotifyKey: "launch:a1/" + code},
		}))
	}
	return id
}

// TestHopelessCausesDoNotFlood: what fails again and again for one cause is one operation
// and one notification, both with a count, and writes its events once. When a launch has
// succeeded in between it is news again.
func TestHopelessCausesDoNotFlood(t *testing.T) {
	t.Parallel()
	g := guard(t)
	view := &views.Views{DB: g.db}
	first := g.fails(replica.Manual, "launch.misconfigured", "the image is gone")
	g.fails(replica.Manual, "launch.misconfigured", "the image is gone")
	last := g.fails(replica.Manual, "launch.misconfigured", "the image ami-9 is gone")

	list, err := view.Operations(t.Context(), views.OperationFilter{AgentID: "a1", Kind: "replica"})
	require.NoError(t, err)
	require.Len(t, list, 1, "no operation for each try")
	require.Equal(t, lines("replica/"+first, "failed", 3, "the image ami-9 is gone"),
		lines(list[0].ID, list[0].State, list[0].Tries, *list[0].Error), "with the newest reason")
	require.Equal(t, "1 3", one[string](g, `SELECT concat_ws(' ', count(*), max(occurrences)) FROM notifications`))
	require.Equal(t, "1 1 1", one[string](g, `SELECT concat_ws(' ', count(*) FILTER (WHERE type = 'replica_decided'),
		count(*) FILTER (WHERE message LIKE 'a manual replica failed%'), count(*) FILTER (WHERE message = 'it failed'))
		FROM events`))
	overview, err := view.Overview(t.Context(), "k1")
	require.NoError(t, err)
	require.Equal(t, int64(1), overview.Failed)
	_, err = view.Operation(t.Context(), "k1", "replica/"+last)
	require.NoError(t, err, "each try has its page")

	r := g.open(replica.Manual, "i-0")
	list, err = view.Operations(t.Context(), views.OperationFilter{AgentID: "a1", Kind: "replica"})
	require.NoError(t, err)
	require.Len(t, list, 1, "one that has come to nothing yet is a try as well")
	require.Equal(t, 4, list[0].Tries)
	require.True(t, g.advance(r.ID, replica.Launching, "i-9"))
	require.NoError(t, (&postgres.Operations{DB: g.db}).Save(t.Context(), activities.OperationProgress{
		ID: "replica/" + r.ID, Kind: "replica", AgentID: "a1", Phase: "starting", NewInstanceID: "i-9",
	}))
	list, err = view.Operations(t.Context(), views.OperationFilter{AgentID: "a1", Kind: "replica"})
	require.NoError(t, err)
	require.Len(t, list, 2, "one that has an instance is worth a line")
	require.True(t, g.advance(r.ID, replica.Ready, "i-9"))
	require.True(t, g.advance(r.ID, replica.Retiring, ""))

	g.fails(replica.Manual, "launch.misconfigured", "the image is gone again")
	require.Equal(t, "2 3", one[string](g, `SELECT concat_ws(' ', count(*), max(occurrences)) FROM notifications`),
		"it worked meanwhile: a new notification")
	require.Equal(t, 2, one[int](g, `SELECT count(*) FROM events WHERE message = 'it failed'`))
}

// TestATerminationSaysWhatItWaitsFor: the page of a notice carries why nothing can take
// over, how often that was tried and when it is tried again, and so does the message when
// the deadline passes.
func TestATerminationSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	g := guard(t)
	view := &views.Views{DB: g.db}
	require.NoError(t, (&postgres.Operations{DB: g.db}).Save(t.Context(), activities.OperationProgress{
		ID: "termination/a1/i-0", Kind: "termination", AgentID: "a1", InstanceID: "i-0", Phase: "looking_for_an_heir",
	}))
	waits, err := view.OperationWaits(t.Context(), []string{"termination/a1/i-0"})
	require.NoError(t, err)
	require.Empty(t, waits, "nothing has failed yet")
	g.fails(replica.Termination, "launch.misconfigured", "the image is gone")
	g.fails(replica.Termination, "launch.misconfigured", "the image is gone")
	g.noticed("i-0", interruption.Termination)
	opened, err := g.OpenReplica(t.Context(), roles.ReplicaRequest{AgentID: "a1", Kind: replica.Termination, For: "i-0",
		NotBefore: time.Minute})
	require.NoError(t, err)
	require.Positive(t, opened.Replica.Wait)
	waits, err = view.OperationWaits(t.Context(), []string{"termination/a1/i-0", "replica/" + opened.Replica.ID})
	require.NoError(t, err)
	require.Len(t, waits, 1)
	require.Equal(t, lines("the image is gone", 2, true),
		lines(waits[0].Reason, waits[0].Tries, waits[0].NextTryAt.After(time.Now())))

	_, err = g.DecideNotice(t.Context(), activities.Decision{
		Notice: interruption.Notice{AgentID: "a1", InstanceID: "i-0", Kind: interruption.Termination},
		Result: interruption.Lost,
	})
	require.NoError(t, err)
	require.Equal(t, "a1 lost i-0 before anything could take over; no replacement can be launched: the image is gone",
		one[string](g, `SELECT message FROM notifications WHERE dedup_key LIKE 'lost:%'`))
}
