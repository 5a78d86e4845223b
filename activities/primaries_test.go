package activities_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/sweeps"
)

// follower takes what follows from a notice.
type follower struct {
	taken []*roles.TakenNotice
	away  error
}

func (f *follower) FollowNotice(_ context.Context, taken *roles.TakenNotice) error {
	if f.away == nil {
		f.taken = append(f.taken, taken)
	}
	return f.away
}

func (w *world) watch(d *follower) *activities.WatchPrimariesResult {
	w.t.Helper()
	p := &activities.Primaries{
		Store:     &sweeps.Primaries{Launches: postgres.Launches{DB: w.db}},
		Fleet:     w.fleet,
		Workflows: d,
		Log:       quiet,
	}
	got, err := p.WatchPrimaries(w.t.Context(), activities.WatchPrimariesInput{})
	require.NoError(w.t, err)
	return got
}

// TestAPrimaryThatVanished had no notice: EC2 is asked, and what it was launched
// with is known.
func TestAPrimaryThatVanished(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	d := &follower{}
	require.Equal(t, &activities.WatchPrimariesResult{Templates: 1}, w.watch(d))
	require.Equal(t, &activities.WatchPrimariesResult{}, w.watch(d), "read once per primary")

	w.exec(`UPDATE agents SET status = 'offline'`)
	require.Zero(t, w.watch(d).Lost, "silent and alive")
	w.fleet.unseen = true
	require.Zero(t, w.watch(d).Lost, "not found is not gone")
	w.fleet.unseen, w.fleet.gone = false, true
	w.fleet.become("i-0", activities.StateTerminated, false)
	require.Equal(t, &activities.WatchPrimariesResult{Lost: 1}, w.watch(d))
	require.Equal(t, &activities.WatchPrimariesResult{}, w.watch(d), "found once")
	require.Len(t, d.taken, 1)
	require.Equal(t, roles.RuledLaunch, d.taken[0].Verdict.Ruling)
	require.Equal(t, "sweep", one[string](w, `SELECT door FROM notices`))

	set, err := w.roles.Roles(t.Context(), "a1")
	require.NoError(t, err)
	_, wants := set.WantsEmergency()
	require.True(t, wants)
	_, err = w.launch(w.replica(replica.Termination), "b")
	require.NoError(t, err, "from what was noted while it lived")
}

// TestAVanishedPrimaryIsNotForgotten when Temporal is away at that moment.
func TestAVanishedPrimaryIsNotForgotten(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.exec(`UPDATE agents SET status = 'offline'`)
	w.fleet.become("i-0", activities.StateShuttingDown, false)
	require.Equal(t, &activities.WatchPrimariesResult{Templates: 1, Lost: 1, Failed: 1},
		w.watch(&follower{away: context.DeadlineExceeded}))
	require.Equal(t, 1, one[int](w, `SELECT count(*) FROM agents WHERE review_at IS NOT NULL`), "the sweep has it")
}
