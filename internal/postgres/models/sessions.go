package models

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/postgres/pg"
)

// Models keeps uploaded sessions and what serves. The files' content is with the
// artifacts.
type Models struct{ DB *pg.DB }

// selectSessions reads sessions as JSON with their files.
const selectSessions = `SELECT jsonb_build_object('id', s.id, 'kind', s.kind, 'state', s.state, 'live', s.is_live, 'fallback', s.is_fallback, 'runner', s.runner, 'version', s.version,
		'uploaded_by', s.uploaded_by, 'code', s.error_code, 'error', s.error, 'created_at', s.created_at, 'activated_at', s.activated_at,
		'files', coalesce((SELECT jsonb_agg(jsonb_build_object('name', f.name, 'digest', f.digest, 'size', f.size) ORDER BY f.position) FROM model_session_files f WHERE f.session_id = s.id), '[]'))
	FROM model_sessions s `

func (s *Models) sessions(ctx context.Context, where string, args ...any) ([]mlmodel.Session, error) {
	rows, err := s.DB.Pool.Query(ctx, selectSessions+where, args...)
	if err != nil {
		return nil, pg.Translate(err)
	}
	raw, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, pg.Translate(err)
	}
	out := make([]mlmodel.Session, len(raw))
	for i := range raw {
		if err := json.Unmarshal(raw[i], &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Create writes a session down whose files are kept already. The id is the
// caller's, so a second call is a conflict of keys and no second session.
func (s *Models) Create(ctx context.Context, in mlmodel.Session) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO model_sessions (id, kind, uploaded_by) VALUES ($1, $2, $3)`, in.ID, in.Kind, in.UploadedBy); err != nil {
			return err
		}
		for i, f := range in.Files {
			if _, err := tx.Exec(ctx, `INSERT INTO model_session_files (session_id, position, name, digest, size) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (session_id, name) DO UPDATE SET digest = excluded.digest, size = excluded.size`, in.ID, i, f.Name, f.Digest, f.Size); err != nil {
				return err
			}
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{Type: uploadEvent[in.Kind], Severity: "info", Actor: in.UploadedBy, Message: "files were uploaded: session " + in.ID,
			Metadata: map[string]any{"session_id": in.ID, "before": nil, "after": map[string]any{"kind": in.Kind, "files": in.Files}}})
	})
}

var uploadEvent = map[mlmodel.Kind]string{mlmodel.Models: "ml_models_uploaded", mlmodel.Engine: "decision_engine_uploaded"}

// Session reads one. Fails with mlmodel.not_found.
func (s *Models) Session(ctx context.Context, id string) (*mlmodel.Session, error) {
	found, err := s.sessions(ctx, `WHERE s.id = $1`, id)
	if err == nil && len(found) == 0 {
		return nil, mlmodel.NotFound.New("There is no session %s", id)
	}
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

// Sessions lists what matters of a kind, newest first: the live session, the fallback,
// and the newest that waits; or all that are kept.
func (s *Models) Sessions(ctx context.Context, kind mlmodel.Kind, all bool, p pg.Page) ([]mlmodel.Session, error) {
	at, id := p.From()
	return s.sessions(ctx, `WHERE s.kind = $1 AND s.created_at <= $3 AND (s.created_at < $3 OR s.id > $4) AND ($2 OR s.is_live OR s.is_fallback
		OR s.id = (SELECT id FROM model_sessions WHERE kind = $1 ORDER BY created_at DESC, id LIMIT 1) AND s.state = 'uploaded') ORDER BY s.created_at DESC, s.id LIMIT $5`, kind, all, at, id, p.UpTo())
}

// Fallback is the session of a kind to go back to. Fails with mlmodel.no_fallback.
func (s *Models) Fallback(ctx context.Context, kind mlmodel.Kind) (*mlmodel.Session, error) {
	found, err := s.sessions(ctx, `WHERE s.kind = $1 AND s.is_fallback`, kind)
	if err == nil && len(found) == 0 {
		return nil, mlmodel.NoFallback.New("No fallback version available")
	}
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

// keepSessions is how many sessions of a kind are kept that nothing serves from.
const keepSessions = 20

// Prune forgets the oldest sessions of a kind that neither serve nor wait, and
// returns their ids so that their files can go. Nothing of another session is
// touched: files are kept per session.
func (s *Models) Prune(ctx context.Context, kind mlmodel.Kind) ([]string, error) {
	rows, err := s.DB.Pool.Query(ctx, `DELETE FROM model_sessions WHERE id IN (
		SELECT id FROM model_sessions s WHERE kind = $1 AND NOT is_live AND NOT is_fallback
			AND NOT EXISTS (SELECT FROM model_rollouts r WHERE r.ended_at IS NULL AND s.id IN (r.session_id, r.previous_id, r.displaced_id))
		ORDER BY created_at DESC, id OFFSET $2) RETURNING id`, kind, keepSessions)
	if err != nil {
		return nil, pg.Translate(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, pg.Translate(err)
}

// Serving reads what every process should serve.
func (s *Models) Serving(ctx context.Context) (mlmodel.Serving, error) {
	found, err := s.sessions(ctx, `LEFT JOIN model_rollouts r ON r.session_id = s.id AND r.phase IN ('shadow', 'canary') WHERE s.is_live OR r.session_id IS NOT NULL ORDER BY s.id`)
	if err != nil {
		return mlmodel.Serving{}, err
	}
	var out mlmodel.Serving
	err = s.DB.Pool.QueryRow(ctx, `SELECT phase, percent FROM model_rollouts WHERE phase IN ('shadow', 'canary')`).Scan(&out.Phase, &out.Percent)
	if err != nil && !pg.IsNoRows(err) {
		return out, pg.Translate(err)
	}
	for i := range found {
		if found[i].Live {
			out.Live = append(out.Live, found[i])
		} else if out.Phase != "" {
			out.Candidate = &found[i]
		}
	}
	if out.Candidate == nil { // it ended between the two statements
		out.Phase, out.Percent = "", 0
	}
	return out, nil
}
