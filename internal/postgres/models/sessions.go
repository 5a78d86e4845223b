package models

import (
	"context"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/postgres/entity"
	"spotkeeper/internal/postgres/pg"
)

// Models keeps uploaded sessions and what serves. The files' content is with the
// artifacts.
type Models struct{ DB *pg.DB }

// sessions begins a query of sessions with their files, in the order of the upload.
func (s *Models) sessions() gorm.ChainInterface[entity.ModelSession] {
	return gorm.G[entity.ModelSession](s.DB.Gorm).Preload("Files", func(files gorm.PreloadBuilder) error {
		files.Order("position")
		return nil
	})
}

// findSessions reads the sessions of a query: two statements, however many there are.
func findSessions(ctx context.Context, q gorm.ChainInterface[entity.ModelSession]) ([]mlmodel.Session, error) {
	found, err := q.Find(ctx)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out := make([]mlmodel.Session, 0, len(found))
	for i := range found {
		out = append(out, sessionOf(&found[i]))
	}
	return out, nil
}

func sessionOf(x *entity.ModelSession) mlmodel.Session {
	out := mlmodel.Session{
		ID: x.ID, Kind: mlmodel.Kind(x.Kind), State: mlmodel.State(x.State), Live: x.IsLive, Fallback: x.IsFallback,
		Runner: x.Runner, Version: x.Version, UploadedBy: x.UploadedBy, Code: x.ErrorCode, Error: x.Error,
		CreatedAt: x.CreatedAt, ActivatedAt: x.ActivatedAt, Files: make([]mlmodel.File, 0, len(x.Files)),
	}
	for _, f := range x.Files {
		out.Files = append(out.Files, mlmodel.File{Name: f.Name, Digest: f.Digest, Size: f.Size})
	}
	return out
}

// Create writes a session down whose files are kept already. The id is the
// caller's, so a second call is a conflict of keys and no second session.
func (s *Models) Create(ctx context.Context, in mlmodel.Session) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO model_sessions (id, kind, uploaded_by) VALUES ($1, $2, $3)`, in.ID,
			in.Kind, in.UploadedBy); err != nil {
			return err
		}
		for i, f := range in.Files {
			if _, err := tx.Exec(ctx,
				`INSERT INTO model_session_files (session_id, position, name, digest, size) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (session_id, name) DO UPDATE SET digest = excluded.digest, size = excluded.size`, in.ID,
				i, f.Name, f.Digest, f.Size); err != nil {
				return err
			}
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			Type:     uploadEvent[in.Kind],
			Severity: "info",
			Actor:    in.UploadedBy,
			Message:  "files were uploaded: session " + in.ID,
			Metadata: map[string]any{
				"session_id": in.ID,
				"before":     nil,
				"after":      map[string]any{"kind": in.Kind, "files": in.Files},
			},
		})
	})
}

var uploadEvent = map[mlmodel.Kind]string{
	mlmodel.Models: "ml_models_uploaded",
	mlmodel.Engine: "decision_engine_uploaded",
}

// Session reads one. Fails with mlmodel.not_found.
func (s *Models) Session(ctx context.Context, id string) (*mlmodel.Session, error) {
	found, err := findSessions(ctx, s.sessions().Where("id = ?", id))
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
	q := s.sessions().Where("kind = ?", kind)
	if !all {
		q = q.Where(`is_live OR is_fallback OR state = 'uploaded' AND id = (
			SELECT id
			FROM model_sessions
			WHERE kind = ?
			ORDER BY created_at DESC, id
			LIMIT 1)`, kind)
	}
	return findSessions(ctx, q.Scopes(pg.NewestFirst(p, "created_at")))
}

// Fallback is the session of a kind to go back to. Fails with mlmodel.no_fallback.
func (s *Models) Fallback(ctx context.Context, kind mlmodel.Kind) (*mlmodel.Session, error) {
	found, err := findSessions(ctx, s.sessions().Where("kind = ? AND is_fallback", kind))
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
			AND NOT EXISTS (SELECT
				FROM model_rollouts r
				WHERE r.ended_at IS NULL AND s.id IN (r.session_id, r.previous_id, r.displaced_id))
		ORDER BY created_at DESC, id OFFSET $2) RETURNING id`, kind, keepSessions)
	if err != nil {
		return nil, pg.Translate(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, pg.Translate(err)
}

// Serving reads what every process should serve.
func (s *Models) Serving(ctx context.Context) (mlmodel.Serving, error) {
	found, err := findSessions(ctx, s.sessions().Where(`is_live OR id IN (
		SELECT session_id
		FROM model_rollouts
		WHERE phase IN ('shadow', 'canary'))`).Order("id"))
	if err != nil {
		return mlmodel.Serving{}, err
	}
	var out mlmodel.Serving
	err = s.DB.Pool.QueryRow(ctx, `SELECT phase, percent FROM model_rollouts WHERE phase IN ('shadow', 'canary')`).
		Scan(&out.Phase, &out.Percent)
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
