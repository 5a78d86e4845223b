package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/mlmodel"
)

// watched is a shelf on which s1 was live before s2, which is live and watched.
func watched(t *testing.T) *shelf {
	t.Helper()
	s := newShelf(t)
	for _, id := range []string{"s1", "s2", "s3", "s4"} {
		s.upload(mlmodel.Models, id, "m.onnx")
	}
	s.activate("s1", false)
	s.activate("s2", false)
	return s
}

// phases says where the rollouts stand that have not ended.
func (s *shelf) phases() string {
	s.t.Helper()
	return s.text(
		`
			SELECT coalesce(string_agg(session_id || ' ' || phase, ', ' ORDER BY session_id), '')
			FROM model_rollouts
			WHERE ended_at IS NULL`,
	)
}

// TestAWatchOutlivesWhatIsRefused: a session that is only validated ends no watch,
// and the guards of the one that is live can still take it back.
func TestAWatchOutlivesWhatIsRefused(t *testing.T) {
	t.Parallel()
	s := watched(t)
	ctx := t.Context()
	require.NoError(t, s.Open(ctx, activities.OpenRollout{SessionID: "s3", Plan: mlmodel.DefaultPlan()}))
	require.Equal(t, "s2 live, s3 validating", s.phases())
	require.Equal(t, mlmodel.Busy, fault.CodeOf(s.Open(ctx, activities.OpenRollout{SessionID: "s4"})),
		"one is validated at a time")
	require.NoError(t, s.End(ctx, activities.EndRollout{SessionID: "s3", Phase: mlmodel.Rejected, Detail: "it fails"}))
	require.Equal(t, "s2 live", s.phases())
	require.NoError(t, s.Undo(ctx, "s2"))
	require.Equal(t, "s1L s2a s3r s4u", s.states())
}

// TestAWatchGivesWayToAStage, the first one of the next rollout, whichever it is.
func TestAWatchGivesWayToAStage(t *testing.T) {
	t.Parallel()
	for first, take := range map[mlmodel.Phase]func(s *shelf) (activities.StageTaken, error){
		mlmodel.Shadow: func(s *shelf) (activities.StageTaken, error) {
			return s.Record(s.t.Context(), activities.RolloutState{SessionID: "s3", Phase: mlmodel.Shadow})
		},
		mlmodel.Canary: func(s *shelf) (activities.StageTaken, error) {
			return s.Record(s.t.Context(), activities.RolloutState{SessionID: "s3", Phase: mlmodel.Canary, Percent: 5})
		},
		mlmodel.Live: func(s *shelf) (activities.StageTaken, error) { return s.GoLive(s.t.Context(), "s3") },
	} {
		t.Run(string(first), func(t *testing.T) {
			t.Parallel()
			s := watched(t)
			ctx := t.Context()
			require.NoError(t, s.Open(ctx, activities.OpenRollout{SessionID: "s3", Plan: mlmodel.DefaultPlan()}))
			for _, superseded := range []string{"s2", ""} { // a second run changes nothing
				taken, err := take(s)
				require.NoError(t, err)
				require.Equal(t, superseded, taken.Superseded)
			}
			require.Equal(t, "s3 "+string(first), s.phases())
			require.Equal(t, "completed session s3 took over",
				s.text(`SELECT phase || ' ' || detail FROM model_rollouts WHERE session_id = 's2'`))
			require.Equal(t, mlmodel.WrongPhase, fault.CodeOf(s.Undo(ctx, "s2")),
				"its rollback would be of what another serves by")
			var busy fault.Code
			if first != mlmodel.Live {
				busy = mlmodel.Busy
			}
			require.Equal(t, busy, fault.CodeOf(s.Open(ctx, activities.OpenRollout{SessionID: "s4"})),
				"only a watch is not in the way")
		})
	}
}

// TestWhatAnUndoMadeLiveIsNotRolledOut: the fallback is validated when the one
// that is watched is taken back, and so it is live before its first stage. Going
// back from it would leave nothing.
func TestWhatAnUndoMadeLiveIsNotRolledOut(t *testing.T) {
	t.Parallel()
	s := watched(t)
	ctx := t.Context()
	require.NoError(t, s.Open(ctx, activities.OpenRollout{SessionID: "s1", Plan: mlmodel.DefaultPlan()}))
	require.NoError(t, s.Undo(ctx, "s2"))
	require.NoError(t, s.End(ctx, activities.EndRollout{SessionID: "s2", Phase: mlmodel.RolledBack}))
	require.Equal(t, "s1L s2a s3u s4u", s.states())

	_, going := s.GoLive(ctx, "s1")
	_, recording := s.Record(ctx, activities.RolloutState{SessionID: "s1", Phase: mlmodel.Shadow})
	require.Equal(t, mlmodel.AlreadyLive, fault.CodeOf(going))
	require.Equal(t, mlmodel.AlreadyLive, fault.CodeOf(recording))
	require.NoError(t, s.Undo(ctx, "s1"))
	require.NoError(t, s.End(ctx, activities.EndRollout{SessionID: "s1", Phase: mlmodel.Rejected}))
	require.Equal(t, "s1L s2a s3u s4u", s.states(), "it serves on")
}
