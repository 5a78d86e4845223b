package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/postgres/models"
	"spotkeeper/internal/postgres/pg"
)

// shelf is uploaded sessions and their rollouts.
type shelf struct {
	*guarded
	models.Rollouts
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	g := guard(t)
	return &shelf{guarded: g, Rollouts: models.Rollouts{Models: models.Models{DB: g.db}}}
}

func (s *shelf) upload(kind mlmodel.Kind, id string, names ...string) {
	s.t.Helper()
	in := mlmodel.Session{ID: id, Kind: kind, UploadedBy: "ann"}
	for _, n := range names {
		in.Files = append(in.Files, mlmodel.File{Name: n, Digest: strings.Repeat("a", 64), Size: 100})
	}
	require.NoError(s.t, s.Create(s.t.Context(), in))
}

// activate takes a session through an immediate rollout as far as being live.
func (s *shelf) activate(id string, back bool) {
	s.t.Helper()
	require.NoError(s.t, s.Open(s.t.Context(), activities.OpenRollout{
		SessionID: id,
		Plan:      mlmodel.Plan{Back: back},
		By:        "ann",
	}))
	_, err := s.GoLive(s.t.Context(), id)
	require.NoError(s.t, err)
}

// states says how each session stands: L live, F fallback, else the first letter
// of its state.
func (s *shelf) states() string {
	s.t.Helper()
	return s.text(
		`
			SELECT string_agg(id || CASE WHEN is_live THEN 'L' WHEN is_fallback THEN 'F' ELSE left(state, 1) END, ' '
				ORDER BY id)
			FROM model_sessions`,
	)
}

func (s *shelf) text(sql string, args ...any) (out string) {
	s.t.Helper()
	require.NoError(s.t, s.db.Pool.QueryRow(s.t.Context(), sql, args...).Scan(&out))
	return out
}

// TestTheSessionsOfTheDeployedPage walks what an operator did against the legacy
// backend; at no moment is nothing live.
func TestTheSessionsOfTheDeployedPage(t *testing.T) {
	t.Parallel()
	s, ctx := newShelf(t), t.Context()
	shown := func() (ids []string) {
		found, err := s.Sessions(ctx, mlmodel.Models, false, pg.Page{})
		require.NoError(t, err)
		for _, x := range found {
			ids = append(ids, x.ID)
		}
		return ids
	}
	require.Empty(t, shown())
	s.upload(mlmodel.Models, "s1", "model_a.pkl", "scaler.joblib")
	require.Equal(t, "s1u", s.states())
	require.Equal(t, []string{"s1"}, shown())
	_, err := s.Fallback(ctx, mlmodel.Models)
	require.Equal(t, mlmodel.NoFallback, fault.CodeOf(err))

	s.activate("s1", false)
	require.Equal(t, "s1L", s.states())
	s.upload(mlmodel.Models, "s2", "model_b.onnx")
	require.Equal(t, "s1L s2u", s.states(), "an upload demotes nothing")
	require.Equal(t, []string{"s2", "s1"}, shown())
	s.activate("s2", false)
	require.Equal(t, "s1F s2L", s.states())
	require.Equal(t, "completed", s.text(`SELECT phase FROM model_rollouts WHERE session_id = 's1'`),
		"a watch gives way")

	back, err := s.Fallback(ctx, mlmodel.Models)
	require.NoError(t, err)
	require.Equal(t, "s1", back.ID)
	s.activate("s1", true)
	require.Equal(t, "s1L s2a", s.states(), "the fallback is used up")
	_, err = s.Fallback(ctx, mlmodel.Models)
	require.Equal(t, mlmodel.NoFallback, fault.CodeOf(err))

	s.upload(mlmodel.Models, "s3", "model_c.pkl")
	s.upload(mlmodel.Models, "s4", "model_c.pkl")
	require.Equal(t, []string{"s4", "s1"}, shown(),
		"archived and older ones are not shown: the page would call them pending")
	got, err := s.Session(ctx, "s1")
	require.NoError(t, err)
	require.Equal(t, []mlmodel.File{{
		Name:   "model_a.pkl",
		Digest: strings.Repeat("a", 64),
		Size:   100,
	}, {Name: "scaler.joblib", Digest: strings.Repeat("a", 64), Size: 100}}, got.Files)
	require.NotNil(t, got.ActivatedAt)

	s.upload(mlmodel.Engine, "e1", "engine.py")
	s.activate("e1", false)
	require.Equal(t, "e1L s1L s2a s3u s4u", s.states(), "each kind has its own live session")
}

// TestUndoRestoresEverything: live, fallback, and when nothing was live before.
func TestUndoRestoresEverything(t *testing.T) {
	t.Parallel()
	s, ctx := newShelf(t), t.Context()
	for _, id := range []string{"s1", "s2", "s3"} {
		s.upload(mlmodel.Models, id, "m.onnx")
	}
	finish := func(id string, phase mlmodel.Phase) {
		require.NoError(t, s.End(ctx, activities.EndRollout{SessionID: id, Phase: phase, Detail: "over"}))
	}
	s.activate("s1", false)
	require.NoError(t, s.Undo(ctx, "s1"))
	require.NoError(t, s.Undo(ctx, "s1"), "a second run changes nothing")
	finish("s1", mlmodel.RolledBack)
	require.Equal(t, "s1a s2u s3u", s.states(), "the built-in rules decide again")

	s.activate("s1", false)
	s.activate("s2", false)
	require.Equal(t, "s1F s2L s3u", s.states())
	s.activate("s3", false)
	_, err := s.GoLive(ctx, "s3")
	require.NoError(t, err, "a second run changes nothing")
	require.Equal(t, "s1a s2F s3L", s.states())
	at := s.text(`SELECT activated_at::text FROM model_sessions WHERE id = 's2'`)
	require.NoError(t, s.Undo(ctx, "s3"))
	finish("s3", mlmodel.RolledBack)
	require.Equal(t, "s1F s2L s3a", s.states())
	require.Equal(t, at, s.text(`SELECT activated_at::text FROM model_sessions WHERE id = 's2'`),
		"what decided before decides again, also among the kinds")

	s.activate("s1", true)
	require.Equal(t, "s1L s2a s3a", s.states())
	require.NoError(t, s.Undo(ctx, "s1"))
	require.Equal(t, "s1F s2L s3a", s.states())
	finish("s1", mlmodel.Aborted)
	_, going := s.GoLive(ctx, "s1")
	_, recording := s.Record(ctx, activities.RolloutState{SessionID: "s1", Phase: mlmodel.Shadow})
	for _, err := range []error{s.Undo(ctx, "s1"), going, recording} {
		require.Equal(t, mlmodel.WrongPhase, fault.CodeOf(err), "one that has ended changes nothing")
	}
	require.Equal(t, "s1F s2L s3a", s.states())
}

func TestOneRolloutAtATime(t *testing.T) {
	t.Parallel()
	s, ctx := newShelf(t), t.Context()
	for i := range 6 {
		s.upload(mlmodel.Models, fmt.Sprintf("s%d", i), "m.onnx")
	}
	require.Equal(t, mlmodel.NotFound, fault.CodeOf(s.Open(ctx, activities.OpenRollout{SessionID: "nope"})))
	var wg sync.WaitGroup
	var mu sync.Mutex
	codes := map[fault.Code]int{}
	for i := range 6 {
		wg.Go(func() {
			err := s.Open(ctx, activities.OpenRollout{SessionID: fmt.Sprintf("s%d", i), Plan: mlmodel.DefaultPlan()})
			mu.Lock()
			defer mu.Unlock()
			codes[fault.CodeOf(err)]++
		})
	}
	wg.Wait()
	require.Equal(t, map[fault.Code]int{"": 1, mlmodel.Busy: 5}, codes)

	mine := s.text(`SELECT session_id FROM model_rollouts WHERE ended_at IS NULL`)
	require.NoError(t, s.Open(ctx, activities.OpenRollout{SessionID: mine}), "its own run may ask twice")
	since := time.Now()
	_, err := s.Record(ctx, activities.RolloutState{
		SessionID:  mine,
		Phase:      mlmodel.Canary,
		Percent:    10,
		StageSince: &since,
		Detail:     "it decides for 10 %",
	})
	require.NoError(t, err)
	serving, err := s.Serving(ctx)
	require.NoError(t, err)
	require.Equal(t, mine, serving.Candidate.ID)
	require.Equal(t, mlmodel.Canary, serving.Phase)
	require.Equal(t, 10, serving.Percent)
	require.Empty(t, serving.Live)

	require.NoError(t, s.Validated(ctx, activities.Validation{
		SessionID: mine,
		Runner:    "onnx",
		Version:   "abc",
		Decisions: 7,
	}))
	view, err := s.Rollout(ctx, mine)
	require.NoError(t, err)
	require.Equal(t, 7, view.Validation.Decisions)
	require.Equal(t, mlmodel.DefaultPlan(), view.Plan)
	require.NoError(t, s.End(ctx, activities.EndRollout{SessionID: mine, Phase: mlmodel.Completed, Detail: "over"}))
	require.NoError(t, s.End(ctx, activities.EndRollout{SessionID: mine, Phase: mlmodel.Aborted, Detail: "again"}))
	list, err := s.List(ctx, 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, mlmodel.Completed, list[0].Phase, "it stays as it ended")
	serving, err = s.Serving(ctx)
	require.NoError(t, err)
	require.Equal(t, mlmodel.Serving{}, serving)
}

// TestConstraintsOfSessions: the database refuses what no code should try.
func TestConstraintsOfSessions(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.upload(mlmodel.Models, "s1", "m.onnx")
	s.upload(mlmodel.Models, "s2", "m.onnx")
	s.activate("s1", false)
	for constraint, sql := range map[string]string{
		"model_sessions_one_live": `
			UPDATE model_sessions SET is_live = true, state = 'active', activated_at = now()`,
		"model_sessions_one_fallback": `
			UPDATE model_sessions SET is_live = false, is_fallback = true, state = 'active'`,
		"model_sessions_live_or_fallback":  `UPDATE model_sessions SET is_fallback = true WHERE is_live`,
		"model_sessions_serving_is_active": `UPDATE model_sessions SET state = 'archived' WHERE is_live`,
		"model_rollouts_one_open": `
			INSERT INTO model_rollouts (session_id, plan, phase, percent) VALUES ('s2', '{}', 'live', 100)`,
		"model_rollouts_one_stage": `
			INSERT INTO model_rollouts (session_id, plan, phase) VALUES ('s2', '{}', 'shadow')`,
		"model_rollouts_percent_fits":   `UPDATE model_rollouts SET phase = 'canary', percent = 0`,
		"model_rollouts_ended_has_time": `UPDATE model_rollouts SET ended_at = now()`,
	} {
		_, err := s.db.Pool.Exec(t.Context(), sql)
		require.ErrorContains(t, err, constraint)
	}
}

func TestOldSessionsGoWithoutFilesOfOthers(t *testing.T) {
	t.Parallel()
	s, ctx := newShelf(t), t.Context()
	s.upload(mlmodel.Models, "live", "m.onnx")
	s.activate("live", false)
	for i := range 25 {
		s.upload(mlmodel.Models, fmt.Sprintf("old%02d", i), "m.onnx")
	}
	s.upload(mlmodel.Engine, "engine", "e.py")
	gone, err := s.Prune(ctx, mlmodel.Models)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"old00", "old01", "old02", "old03", "old04"}, gone)
	require.Equal(t, "22", s.text(`SELECT count(*)::text FROM model_session_files`))
	gone, err = s.Prune(ctx, mlmodel.Models)
	require.NoError(t, err)
	require.Empty(t, gone)
}

func TestARefusalIsKeptUnlessADependencyWasAway(t *testing.T) {
	t.Parallel()
	s, ctx := newShelf(t), t.Context()
	for id, keep := range map[string]bool{"s1": false, "s2": true} {
		s.upload(mlmodel.Models, id, "m.h5")
		require.NoError(t, s.Open(ctx, activities.OpenRollout{SessionID: id}))
		require.NoError(t, s.End(ctx, activities.EndRollout{
			SessionID: id,
			Phase:     mlmodel.Rejected,
			Detail:    "use ONNX",
			Code:      "engine.no_runner",
			Error:     "use ONNX",
			Keep:      keep,
		}))
	}
	require.Equal(t, "s1r s2u", s.states())
	got, err := s.Session(ctx, "s1")
	require.NoError(t, err)
	require.Equal(t, "use ONNX", got.Error)
}
