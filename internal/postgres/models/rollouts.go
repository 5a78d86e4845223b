package models

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/postgres/pg"
)

// Rollouts keeps how sessions earn their way, and swaps what is live. Each method
// sets a level, so a step that runs twice has one effect.
type Rollouts struct{ Models }

var (
	_ activities.RolloutStore = (*Rollouts)(nil)
	_                         = pg.RegisterConstraint("model_rollouts_one_open", mlmodel.Busy,
		"Another rollout is under way")
	_ = pg.RegisterConstraint("model_rollouts_one_stage", mlmodel.Busy, "Another rollout is under way")
)

// Open begins a session's rollout, or finds it begun by the same run. It touches
// no other: a session that is live and only watched is watched on while this one
// is validated, and any other rollout is in the way.
// Fails with mlmodel.not_found, mlmodel.already_live and mlmodel.busy.
func (s *Rollouts) Open(ctx context.Context, in activities.OpenRollout) error {
	plan, err := json.Marshal(in.Plan)
	if err != nil {
		return err
	}
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockModels); err != nil {
			return err
		}
		var live, mine bool
		err := tx.QueryRow(ctx, `SELECT s.is_live, coalesce(r.ended_at IS NULL AND r.session_id IS NOT NULL, false)
			FROM model_sessions s LEFT JOIN model_rollouts r ON r.session_id = s.id WHERE s.id = $1`, in.SessionID).
			Scan(&live, &mine)
		switch {
		case pg.IsNoRows(err):
			return mlmodel.NotFound.New("There is no session %s", in.SessionID)
		case err != nil:
			return err
		case mine:
			return nil
		case live:
			return mlmodel.AlreadyLive.New("The session %s is live already", in.SessionID)
		}
		_, err = tx.Exec(
			ctx,
			`
			INSERT INTO model_rollouts (session_id, plan, started_by, detail)
			VALUES ($1, $2, $3, 'its files are being validated')
			ON CONFLICT (session_id)
			DO UPDATE SET plan = excluded.plan, started_by = excluded.started_by, detail = excluded.detail,
				phase = 'validating', percent = 0, paused = false,
				previous_id = NULL, displaced_id = NULL, validation = '{}', readings = '{}', timeline = '[]',
				error_code = '', error = '',
				started_at = clock_timestamp(), stage_since = NULL, updated_at = clock_timestamp(), ended_at = NULL,
				tend_at = clock_timestamp() + interval '5 seconds'`,
			in.SessionID,
			plan,
			in.By,
		)
		return err
	})
}

// Row reads how far a rollout is. Fails with mlmodel.not_found.
func (s *Rollouts) Row(ctx context.Context, sessionID string) (*activities.RolloutRow, error) {
	var out activities.RolloutRow
	var since *time.Time
	err := s.DB.Pool.QueryRow(ctx, `
SELECT plan, started_by, phase, percent, paused, stage_since, timeline
FROM model_rollouts
WHERE session_id = $1`, sessionID).Scan(&out.Plan, &out.By, &out.Phase, &out.Percent, &out.Paused, &since,
		&out.Timeline)
	if pg.IsNoRows(err) {
		return nil, mlmodel.NotFound.New("There is no rollout of session %s", sessionID)
	}
	if since != nil {
		out.StageSince = since.UTC()
	}
	return &out, pg.Translate(err)
}

// lockModels makes changes of what serves wait for each other.
const lockModels = `SELECT pg_advisory_xact_lock(hashtext('model_sessions'))`

// openRollout is one that has not ended, and how its session stands.
type openRollout struct {
	kind  mlmodel.Kind
	phase mlmodel.Phase
	live  bool
	back  bool // its plan is that the fallback comes back
}

// takeStage locks an open rollout that is about to enter a stage. When that is
// its first, it passed its validation: the session that was only watched is left
// to itself, and is the one that out names. Fails with mlmodel.wrong_phase, and
// with mlmodel.already_live for a session that an undo made live while it was
// validated: going back from it would lead nowhere.
func takeStage(
	ctx context.Context,
	tx pgx.Tx,
	sessionID string,
	out *activities.StageTaken,
) (r openRollout, err error) {
	if _, err := tx.Exec(ctx, lockModels); err != nil {
		return r, err
	}
	err = tx.QueryRow(
		ctx,
		`
		SELECT s.kind, r.phase, s.is_live, coalesce((r.plan->>'back')::boolean, false)
		FROM model_sessions s
		JOIN model_rollouts r ON r.session_id = s.id
		WHERE s.id = $1 AND r.ended_at IS NULL`,
		sessionID,
	).Scan(&r.kind, &r.phase, &r.live, &r.back)
	switch {
	case pg.IsNoRows(err):
		return r, errRolloutEnded(sessionID)
	case err != nil || r.phase != mlmodel.Validating:
		return r, err
	case r.live:
		return r, mlmodel.AlreadyLive.New("The session %s is live already", sessionID)
	}
	err = tx.QueryRow(
		ctx,
		`
		UPDATE model_rollouts
		SET phase = 'completed', detail = $1, ended_at = clock_timestamp(), updated_at = clock_timestamp()
		WHERE phase = 'live' RETURNING session_id`,
		"session "+sessionID+" took over",
	).Scan(&out.Superseded)
	if pg.IsNoRows(err) {
		err = nil
	}
	return r, err
}

// Record writes how far a rollout is; from here the processes know what to serve.
// One that has ended, because another took over, stays as it ended. Fails as
// takeStage does.
func (s *Rollouts) Record(ctx context.Context, in activities.RolloutState) (out activities.StageTaken, err error) {
	timeline, err := json.Marshal(pg.NonNilList(in.Timeline))
	if err != nil {
		return out, err
	}
	err = s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := takeStage(ctx, tx, in.SessionID, &out); err != nil {
			return err
		}
		_, err := tx.Exec(
			ctx,
			`
			UPDATE model_rollouts
			SET phase = $2, percent = $3, paused = $4, detail = $5, timeline = $6, stage_since = $7,
				updated_at = clock_timestamp()
			WHERE session_id = $1`,
			in.SessionID,
			in.Phase,
			in.Percent,
			in.Paused,
			in.Detail,
			timeline,
			in.StageSince,
		)
		return err
	})
	return out, err
}

func errRolloutEnded(sessionID string) error {
	return mlmodel.WrongPhase.New("The rollout of session %s has ended", sessionID)
}

// Validated keeps what the validation found out about a session.
func (s *Rollouts) Validated(ctx context.Context, in activities.Validation) error {
	validation, err := json.Marshal(in)
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	b.Queue(`UPDATE model_sessions SET runner = $2, version = $3, error_code = '', error = '' WHERE id = $1`,
		in.SessionID, in.Runner, in.Version)
	b.Queue(`UPDATE model_rollouts SET validation = $2, updated_at = clock_timestamp() WHERE session_id = $1`,
		in.SessionID, validation)
	return pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
}

// GoLive makes the session of an open rollout the live one of its kind. What was
// live becomes the fallback, and what was the fallback is archived; a fallback
// that comes back leaves none. A rollout whose session is live needs nothing.
// Fails as takeStage does.
func (s *Rollouts) GoLive(ctx context.Context, sessionID string) (out activities.StageTaken, err error) {
	err = s.DB.InTx(ctx, func(tx pgx.Tx) error {
		r, err := takeStage(ctx, tx, sessionID, &out)
		if err != nil || r.live {
			return err
		}
		kind, back := r.kind, r.back
		b := &pgx.Batch{}
		b.Queue(
			`
			UPDATE model_rollouts
			SET previous_id = (SELECT id FROM model_sessions WHERE kind = $2 AND is_live),
				displaced_id = (SELECT id FROM model_sessions WHERE kind = $2 AND is_fallback)
			WHERE session_id = $1`,
			sessionID,
			kind,
		)
		b.Queue(`UPDATE model_sessions SET is_fallback = false, state = 'archived' WHERE kind = $1 AND is_fallback`,
			kind)
		b.Queue(
			`
				UPDATE model_sessions
				SET is_live = false, is_fallback = NOT $2, state = CASE WHEN $2 THEN 'archived' ELSE 'active' END
				WHERE kind = $1 AND is_live`,
			kind,
			back,
		)
		b.Queue(
			`
				UPDATE model_sessions
				SET is_live = true, state = 'active', activated_at = clock_timestamp(), error_code = '', error = ''
				WHERE id = $1`,
			sessionID,
		)
		b.Queue(
			`
				UPDATE model_rollouts
				SET phase = 'live', percent = 100, updated_at = clock_timestamp()
				WHERE session_id = $1`,
			sessionID,
		)
		b.Queue(
			`
				INSERT INTO events (type, severity, message, metadata)
				VALUES ($2, $3, $4, jsonb_build_object('session_id', $1::text))`,
			sessionID,
			liveEvent(kind, back),
			map[bool]string{true: "warning", false: "info"}[back],
			"session "+sessionID+" is live",
		)
		return tx.SendBatch(ctx, b).Close()
	})
	return out, err
}

func liveEvent(kind mlmodel.Kind, back bool) string {
	switch {
	case back:
		return "ml_models_rollback"
	case kind == mlmodel.Engine:
		return "decision_engine_updated"
	default:
		return "ml_models_activated"
	}
}

// Undo puts everything back to how it was before the rollout made its session
// live. One that did not, or not yet, needs nothing. Fails with
// mlmodel.wrong_phase when another took over: there is nothing to go back to.
func (s *Rollouts) Undo(ctx context.Context, sessionID string) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockModels); err != nil {
			return err
		}
		var live, back bool
		var previous, displaced *string
		err := tx.QueryRow(
			ctx,
			`
			SELECT s.is_live
				AND r.phase = 'live', coalesce((r.plan->>'back')::boolean, false), r.previous_id, r.displaced_id
			FROM model_sessions s
			JOIN model_rollouts r ON r.session_id = s.id
			WHERE s.id = $1 AND r.ended_at IS NULL`,
			sessionID,
		).Scan(&live, &back, &previous, &displaced)
		if pg.IsNoRows(err) {
			return errRolloutEnded(sessionID)
		}
		if err != nil || !live {
			return err
		}
		b := &pgx.Batch{}
		b.Queue(
			`UPDATE model_sessions SET is_live = false, is_fallback = false, state = 'archived' WHERE id = $1 OR id = $2`,
			sessionID,
			previous,
		)
		b.Queue(`UPDATE model_sessions SET is_live = true, state = 'active' WHERE id = $1`, previous)
		b.Queue(`UPDATE model_sessions SET is_fallback = true, state = 'active' WHERE id = $1 AND NOT is_live`,
			displaced)
		b.Queue(
			`
				INSERT INTO events (type, severity, message, metadata)
				VALUES ('ml_models_rollback', 'warning', $2, jsonb_build_object('session_id', $1::text))`,
			sessionID,
			"session "+sessionID+" is not live any more",
		)
		return tx.SendBatch(ctx, b).Close()
	})
}

// End closes a rollout; one that has ended stays as it ended. A session that
// waited and did not become live is archived, or refused with the reason.
func (s *Rollouts) End(ctx context.Context, in activities.EndRollout) error {
	timeline, err := json.Marshal(pg.NonNilList(in.Timeline))
	if err != nil {
		return err
	}
	_, err = s.DB.Pool.Exec(ctx, `WITH ended AS (
			UPDATE model_rollouts
			SET phase = $2, paused = false, detail = $3, error_code = $4, error = $5, timeline = $6,
				ended_at = clock_timestamp(), updated_at = clock_timestamp()
			WHERE session_id = $1 AND ended_at IS NULL RETURNING session_id),
		put_away AS (
			UPDATE model_sessions
			SET state = CASE WHEN $2 = 'refused' THEN 'refused' ELSE 'archived' END, error_code = $4, error = $5
			WHERE id IN (SELECT session_id FROM ended)
				AND NOT is_live
				AND NOT is_fallback
				AND NOT $7
				AND (state = 'uploaded' OR $2 <> 'refused')),
		event AS (
			INSERT INTO events (type, severity, message, metadata)
			SELECT 'model_rollout_' || $2::text, CASE WHEN $2 = 'completed' THEN 'info' ELSE 'warning' END, $3,
				jsonb_build_object('session_id', session_id, 'code', $4::text) FROM ended)
		SELECT 1`, in.SessionID, in.Phase, in.Detail, in.Code, in.Error, timeline, in.Keep)
	return pg.Translate(err)
}
