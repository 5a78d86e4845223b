package postgres

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/mlmodel"
)

// Rollouts keeps how sessions earn their way, and swaps what is live. Each method
// sets a level, so a step that runs twice has one effect.
type Rollouts struct{ Models }

var (
	_ activities.RolloutStore = (*Rollouts)(nil)
	_                         = meaning("model_rollouts_one_open", mlmodel.Busy, "Another rollout is under way")
)

// Open begins a session's rollout, or finds it begun by the same run. A rollout
// whose session is live and only watched gives way; any other is in the way.
// Fails with mlmodel.not_found, mlmodel.already_live and mlmodel.busy.
func (s *Rollouts) Open(ctx context.Context, in activities.OpenRollout) (out activities.RolloutOpened, err error) {
	plan, err := json.Marshal(in.Plan)
	if err != nil {
		return out, err
	}
	err = s.DB.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockModels); err != nil {
			return err
		}
		var live, mine bool
		err := tx.QueryRow(ctx, `SELECT s.is_live, coalesce(r.ended_at IS NULL AND r.session_id IS NOT NULL, false)
			FROM model_sessions s LEFT JOIN model_rollouts r ON r.session_id = s.id WHERE s.id = $1`, in.SessionID).Scan(&live, &mine)
		switch {
		case noRows(err):
			return mlmodel.NotFound.New("There is no session %s", in.SessionID)
		case err != nil:
			return err
		case mine:
			return nil
		case live:
			return mlmodel.AlreadyLive.New("The session %s is live already", in.SessionID)
		}
		err = tx.QueryRow(ctx, `UPDATE model_rollouts SET phase = 'completed', detail = $1, ended_at = clock_timestamp(), updated_at = clock_timestamp()
			WHERE phase = 'live' RETURNING session_id`, "session "+in.SessionID+" took over").Scan(&out.Superseded)
		if err != nil && !noRows(err) {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO model_rollouts (session_id, plan, started_by, detail) VALUES ($1, $2, $3, 'its files are being validated')
			ON CONFLICT (session_id) DO UPDATE SET plan = excluded.plan, started_by = excluded.started_by, detail = excluded.detail, phase = 'validating', percent = 0, paused = false,
				previous_id = NULL, displaced_id = NULL, validation = '{}', readings = '{}', timeline = '[]', error_code = '', error = '',
				started_at = clock_timestamp(), stage_since = NULL, updated_at = clock_timestamp(), ended_at = NULL`, in.SessionID, plan, in.By)
		return err
	})
	return out, err
}

// lockModels makes changes of what serves wait for each other.
const lockModels = `SELECT pg_advisory_xact_lock(hashtext('model_sessions'))`

// Record writes how far a rollout is; from here the processes know what to serve.
// One that has ended, because another took over, stays as it ended. Fails with
// mlmodel.wrong_phase.
func (s *Rollouts) Record(ctx context.Context, in activities.RolloutState) error {
	timeline, err := json.Marshal(list(in.Timeline))
	if err != nil {
		return err
	}
	tag, err := s.DB.Pool.Exec(ctx, `UPDATE model_rollouts SET phase = $2, percent = $3, paused = $4, detail = $5, timeline = $6, stage_since = $7, updated_at = clock_timestamp()
		WHERE session_id = $1 AND ended_at IS NULL`, in.SessionID, in.Phase, in.Percent, in.Paused, in.Detail, timeline, in.StageSince)
	if err == nil && tag.RowsAffected() == 0 {
		return ended(in.SessionID)
	}
	return translate(err)
}

func ended(sessionID string) error {
	return mlmodel.WrongPhase.New("The rollout of session %s has ended", sessionID)
}

// Validated keeps what the validation found out about a session.
func (s *Rollouts) Validated(ctx context.Context, in activities.Validation) error {
	validation, err := json.Marshal(in)
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	b.Queue(`UPDATE model_sessions SET runner = $2, version = $3, error_code = '', error = '' WHERE id = $1`, in.SessionID, in.Runner, in.Version)
	b.Queue(`UPDATE model_rollouts SET validation = $2, updated_at = clock_timestamp() WHERE session_id = $1`, in.SessionID, validation)
	return translate(s.DB.Pool.SendBatch(ctx, b).Close())
}

// GoLive makes the session of an open rollout the live one of its kind. What was
// live becomes the fallback, and what was the fallback is archived; a fallback
// that comes back leaves none. A session that is live already needs nothing.
// Fails with mlmodel.wrong_phase.
func (s *Rollouts) GoLive(ctx context.Context, sessionID string) error {
	return s.DB.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockModels); err != nil {
			return err
		}
		var kind mlmodel.Kind
		var live, back bool
		err := tx.QueryRow(ctx, `SELECT s.kind, s.is_live, coalesce((r.plan->>'back')::boolean, false) FROM model_sessions s JOIN model_rollouts r ON r.session_id = s.id
			WHERE s.id = $1 AND r.ended_at IS NULL`, sessionID).Scan(&kind, &live, &back)
		if noRows(err) {
			return ended(sessionID)
		}
		if err != nil || live {
			return err
		}
		b := &pgx.Batch{}
		b.Queue(`UPDATE model_rollouts SET previous_id = (SELECT id FROM model_sessions WHERE kind = $2 AND is_live), displaced_id = (SELECT id FROM model_sessions WHERE kind = $2 AND is_fallback)
			WHERE session_id = $1`, sessionID, kind)
		b.Queue(`UPDATE model_sessions SET is_fallback = false, state = 'archived' WHERE kind = $1 AND is_fallback`, kind)
		b.Queue(`UPDATE model_sessions SET is_live = false, is_fallback = NOT $2, state = CASE WHEN $2 THEN 'archived' ELSE 'active' END WHERE kind = $1 AND is_live`, kind, back)
		b.Queue(`UPDATE model_sessions SET is_live = true, state = 'active', activated_at = clock_timestamp(), error_code = '', error = '' WHERE id = $1`, sessionID)
		b.Queue(`UPDATE model_rollouts SET phase = 'live', percent = 100, updated_at = clock_timestamp() WHERE session_id = $1`, sessionID)
		b.Queue(`INSERT INTO events (type, severity, message, metadata) VALUES ($2, $3, $4, jsonb_build_object('session_id', $1::text))`,
			sessionID, liveEvent(kind, back), map[bool]string{true: "warning", false: "info"}[back], "session "+sessionID+" is live")
		return tx.SendBatch(ctx, b).Close()
	})
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

// Undo puts everything back to how it was before the session went live. One that
// is not live needs nothing.
func (s *Rollouts) Undo(ctx context.Context, sessionID string) error {
	return s.DB.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockModels); err != nil {
			return err
		}
		var live, back bool
		var previous, displaced *string
		err := tx.QueryRow(ctx, `SELECT s.is_live, coalesce((r.plan->>'back')::boolean, false), r.previous_id, r.displaced_id FROM model_sessions s JOIN model_rollouts r ON r.session_id = s.id
			WHERE s.id = $1 AND r.ended_at IS NULL`, sessionID).Scan(&live, &back, &previous, &displaced)
		if noRows(err) || err == nil && !live {
			return nil
		}
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		b.Queue(`UPDATE model_sessions SET is_live = false, is_fallback = false, state = 'archived' WHERE id = $1 OR id = $2`, sessionID, previous)
		b.Queue(`UPDATE model_sessions SET is_live = true, state = 'active' WHERE id = $1`, previous)
		b.Queue(`UPDATE model_sessions SET is_fallback = true, state = 'active' WHERE id = $1 AND NOT is_live`, displaced)
		b.Queue(`INSERT INTO events (type, severity, message, metadata) VALUES ('ml_models_rollback', 'warning', $2, jsonb_build_object('session_id', $1::text))`,
			sessionID, "session "+sessionID+" is not live any more")
		return tx.SendBatch(ctx, b).Close()
	})
}

// End closes a rollout; one that has ended stays as it ended. A session that
// waited and did not become live is archived, or refused with the reason.
func (s *Rollouts) End(ctx context.Context, in activities.EndRollout) error {
	timeline, err := json.Marshal(list(in.Timeline))
	if err != nil {
		return err
	}
	_, err = s.DB.Pool.Exec(ctx, `WITH ended AS (
			UPDATE model_rollouts SET phase = $2, paused = false, detail = $3, error_code = $4, error = $5, timeline = $6, ended_at = clock_timestamp(), updated_at = clock_timestamp()
			WHERE session_id = $1 AND ended_at IS NULL RETURNING session_id),
		put_away AS (
			UPDATE model_sessions SET state = CASE WHEN $2 = 'refused' THEN 'refused' ELSE 'archived' END, error_code = $4, error = $5
			WHERE id IN (SELECT session_id FROM ended) AND NOT is_live AND NOT is_fallback AND NOT $7 AND (state = 'uploaded' OR $2 <> 'refused')),
		event AS (
			INSERT INTO events (type, severity, message, metadata) SELECT 'model_rollout_' || $2::text, CASE WHEN $2 = 'completed' THEN 'info' ELSE 'warning' END, $3,
				jsonb_build_object('session_id', session_id, 'code', $4::text) FROM ended)
		SELECT 1`, in.SessionID, in.Phase, in.Detail, in.Code, in.Error, timeline, in.Keep)
	return translate(err)
}
