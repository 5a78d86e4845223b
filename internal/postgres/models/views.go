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

// RolloutView is a rollout as pages show it.
type RolloutView struct {
	SessionID  string                     `json:"session_id"`
	Kind       mlmodel.Kind               `json:"kind"`
	Plan       mlmodel.Plan               `json:"plan"`
	Phase      mlmodel.Phase              `json:"phase"`
	Percent    int                        `json:"percent"`
	Paused     bool                       `json:"paused"`
	Detail     string                     `json:"detail"`
	StartedBy  string                     `json:"started_by"`
	Previous   *string                    `json:"previous_id"`
	Validation *activities.Validation     `json:"validation"`
	Readings   mlmodel.Readings           `json:"readings"`
	Timeline   []activities.TimelineEntry `json:"timeline"`
	Code       string                     `json:"error_code"`
	Error      string                     `json:"error"`
	StartedAt  time.Time                  `json:"started_at"`
	StageSince *time.Time                 `json:"stage_since"`
	EndedAt    *time.Time                 `json:"ended_at"`
}

const selectRollouts = `
	SELECT to_jsonb(r) || jsonb_build_object('kind', s.kind, 'validation', nullif(r.validation, '{}'))
	FROM model_rollouts r JOIN model_sessions s ON s.id = r.session_id `

func (s *Rollouts) views(ctx context.Context, where string, args ...any) ([]RolloutView, error) {
	rows, err := s.DB.Pool.Query(ctx, selectRollouts+where, args...)
	if err != nil {
		return nil, pg.Translate(err)
	}
	raw, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, pg.Translate(err)
	}
	out := make([]RolloutView, len(raw))
	for i := range raw {
		if err := json.Unmarshal(raw[i], &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// List lists rollouts, the newest first.
func (s *Rollouts) List(ctx context.Context, limit int) ([]RolloutView, error) {
	return s.views(ctx, `ORDER BY r.started_at DESC, r.session_id LIMIT $1`, limit)
}

// Rollout reads that of a session. Fails with mlmodel.not_found.
func (s *Rollouts) Rollout(ctx context.Context, sessionID string) (*RolloutView, error) {
	found, err := s.views(ctx, `WHERE r.session_id = $1`, sessionID)
	if err == nil && len(found) == 0 {
		return nil, mlmodel.NotFound.New("There is no rollout of session %s", sessionID)
	}
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}
