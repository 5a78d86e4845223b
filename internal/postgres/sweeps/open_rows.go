package sweeps

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres/pg"
)

// OpenRows find the rows that are open and whose workflow the sweep has to look for.
// A row is open until its workflow has written its end. Claiming a row puts off its
// next turn in the same statement, so two processes never claim the same one and a
// row that cannot be tended waits behind all others.
type OpenRows struct{ DB *pg.DB }

var _ activities.OpenRowStore = (*OpenRows)(nil)

// ClaimOperations claims operations that are due, longest due first. A replica for an
// emergency counts as due two minutes earlier than it is, and a termination one minute:
// after an outage they go before the standbys, and every standby still gets its turn. A
// switch names its launcher, because who launches decides which workflow it is.
func (s *OpenRows) ClaimOperations(ctx context.Context, limit int) ([]activities.OpenRow, error) {
	return claimRows[activities.OpenRow](ctx, s.DB, `
WITH due AS (
    SELECT id
    FROM operations
    WHERE tend_at <= clock_timestamp()
    ORDER BY tend_at - CASE
        WHEN kind = 'replica' AND cause IN ('termination', 'rebalance') THEN interval '2 minutes'
        WHEN kind = 'termination' THEN interval '1 minute'
        ELSE interval '0' END
    LIMIT $1
    FOR NO KEY UPDATE SKIP LOCKED)
UPDATE operations o
SET tend_at = `+pg.TendAgain+`
FROM due
WHERE o.id = due.id
RETURNING o.id, o.client_id, o.agent_id,
    CASE WHEN o.kind = 'switch' THEN coalesce((SELECT c.launcher FROM commands c WHERE 'switch/' || c.id = o.id),
    'agent') ELSE '' END AS launcher,
    o.kind = 'replica' AND o.cause IN ('termination', 'rebalance') AS urgent,
    o.phase NOT IN ('', 'noticed', 'requested') AS begun`, limit)
}

// ClaimRollouts claims rollouts of models that are due.
func (s *OpenRows) ClaimRollouts(ctx context.Context, limit int) ([]string, error) {
	return claimIDs(ctx, s.DB, `
WITH due AS (
    SELECT session_id
    FROM model_rollouts
    WHERE ended_at IS NULL
      AND tend_at <= clock_timestamp()
    ORDER BY tend_at
    LIMIT $1
    FOR NO KEY UPDATE SKIP LOCKED)
UPDATE model_rollouts o
SET tend_at = `+pg.TendAgain+`
FROM due
WHERE o.session_id = due.session_id
RETURNING o.session_id`, limit)
}

// ClaimReviews claims agents whose roles a Guardian has to judge, longest due first. With
// noticed it claims those only whose primary AWS takes and that have no successor yet.
func (s *OpenRows) ClaimReviews(ctx context.Context, limit int, noticed bool) ([]string, error) {
	return claimIDs(ctx, s.DB, `
WITH due AS (
    SELECT a.id
    FROM agents a
    WHERE a.review_at <= clock_timestamp()
      AND (NOT $2 OR EXISTS (
          SELECT FROM notices n
          WHERE n.agent_id = a.id
            AND n.kind = 'termination-notice'
            AND n.result IN ('', 'lost')))
    ORDER BY a.review_at
    LIMIT $1
    FOR NO KEY UPDATE OF a SKIP LOCKED)
UPDATE agents a
SET review_at = clock_timestamp() + interval '30 seconds'
FROM due
WHERE a.id = due.id
RETURNING a.id`, limit, noticed)
}

// TendSoon makes every open row due within the given time. It is for a Temporal that
// has lost workflows: rows that live long would wait for their turn otherwise.
func (s *OpenRows) TendSoon(ctx context.Context, within time.Duration) error {
	b := &pgx.Batch{}
	b.Queue(`
UPDATE operations
SET tend_at = least(tend_at, clock_timestamp() + random() * $1::float8 * interval '1 second')
WHERE tend_at IS NOT NULL`, within.Seconds())
	b.Queue(`
UPDATE model_rollouts
SET tend_at = least(tend_at, clock_timestamp())
WHERE ended_at IS NULL`)
	return pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
}

// ClaimAgain makes rows due in a moment whose workflow could not be started.
func (s *OpenRows) ClaimAgain(ctx context.Context, operations, agents []string, in time.Duration) error {
	b := &pgx.Batch{}
	b.Queue(`
UPDATE operations
SET tend_at = clock_timestamp() + $2::float8 * interval '1 second'
WHERE id = ANY($1)
  AND tend_at IS NOT NULL`, operations, in.Seconds())
	b.Queue(`
UPDATE agents
SET review_at = clock_timestamp() + $2::float8 * interval '1 second'
WHERE id = ANY($1)
  AND review_at IS NOT NULL`, agents, in.Seconds())
	return pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
}

func claimRows[T any](ctx context.Context, db *pg.DB, sql string, limit int) ([]T, error) {
	found, err := db.Pool.Query(ctx, sql, limit)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(found, pgx.RowToStructByName[T])
	return out, pg.Translate(err)
}

func claimIDs(ctx context.Context, db *pg.DB, sql string, args ...any) ([]string, error) {
	found, err := db.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(found, pgx.RowTo[string])
	return out, pg.Translate(err)
}
