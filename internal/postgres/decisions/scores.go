package decisions

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres/pg"
)

// Scores keeps EC2's placement scores.
type Scores struct{ DB *pg.DB }

var _ activities.ScoreStore = (*Scores)(nil)

// selectScorePlaces lists each type that a client's primaries have in a region, with the
// nearest ten types that can replace it by the default requirements.
const selectScorePlaces = `
WITH wanted AS (
    SELECT DISTINCT i.client_id, i.region, i.instance_type
    FROM instances i
    JOIN agents a ON a.id = i.agent_id
    WHERE i.role = 'primary'
      AND i.proof <> 'unproven'
      AND a.launcher = 'control-plane'
      AND a.status <> 'deleted')
SELECT c.id, c.role_arn, c.external_id, c.own_account, w.region, w.instance_type, f.names
FROM wanted w
JOIN clients c ON c.id = w.client_id
JOIN instance_types b ON b.region = w.region AND b.name = w.instance_type
CROSS JOIN LATERAL (
    SELECT array_agg(x.name) AS names
    FROM (
        SELECT t.name
        FROM instance_types t
        WHERE t.region = b.region
          AND (t.name = b.name
            OR t.architectures && b.architectures
            AND t.vcpus BETWEEN b.vcpus AND 2 * b.vcpus
            AND t.memory_mib BETWEEN b.memory_mib AND 2 * b.memory_mib
            AND t.burstable = b.burstable
            AND t.accelerators = b.accelerators
            AND t.current
            AND NOT t.bare_metal)
        ORDER BY t.name <> b.name, t.vcpus, t.memory_mib, t.name
        LIMIT 10) x) f
LEFT JOIN placement_score_reads r
    ON r.client_id = w.client_id AND r.region = w.region AND r.instance_type = w.instance_type
WHERE (r.read_at IS NULL OR r.read_at < now() - interval '1 hour')
  AND NOT EXISTS (
    SELECT
    FROM placement_score_reads x
    WHERE x.client_id = w.client_id
      AND x.region = w.region
      AND x.refused
      AND x.read_at > now() - interval '1 hour')
ORDER BY r.read_at NULLS FIRST
LIMIT $1`

// ScorePlaces lists places whose scores are older than an hour, those first that were read
// longest ago.
func (s *Scores) ScorePlaces(ctx context.Context, limit int) ([]activities.ScorePlace, error) {
	rows, err := s.DB.Pool.Query(ctx, selectScorePlaces, limit)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p activities.ScorePlace, err error) {
		return p, row.Scan(&p.Account.ClientID, &p.Account.RoleARN, &p.Account.ExternalID, &p.Account.Own, &p.Region,
			&p.InstanceType, &p.Fitting)
	})
	return out, pg.Translate(err)
}

const keepScoreRead = `
INSERT INTO placement_score_reads (client_id, region, instance_type, refused)
SELECT id, $2, $3, $4
FROM clients
WHERE id = $1
ON CONFLICT ON CONSTRAINT placement_score_reads_once DO UPDATE
SET refused = excluded.refused,
    read_at = excluded.read_at`

// KeepScores stores the scores of a place by zone. They are levels, so a second run changes nothing.
func (s *Scores) KeepScores(ctx context.Context, p activities.ScorePlace, scores map[string]int) error {
	zones, values := make([]string, 0, len(scores)), make([]int, 0, len(scores))
	for zone, score := range scores {
		zones, values = append(zones, zone), append(values, score)
	}
	b := &pgx.Batch{}
	b.Queue(keepScoreRead, p.Account.ClientID, p.Region, p.InstanceType, false)
	b.Queue(`
INSERT INTO placement_scores (client_id, region, instance_type, az, score)
SELECT c.id, $2, $3, x.az, x.score
FROM clients c, unnest($4::text[], $5::int[]) AS x (az, score)
WHERE c.id = $1
  AND x.score BETWEEN 1 AND 10
ORDER BY x.az
ON CONFLICT ON CONSTRAINT placement_scores_once DO UPDATE
SET score = excluded.score,
    read_at = excluded.read_at`, p.Account.ClientID, p.Region, p.InstanceType, zones, values)
	return pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
}

// KeepScoresRefused notes that the role may not ask. The scores that were read before in the
// region count no more.
func (s *Scores) KeepScoresRefused(ctx context.Context, p activities.ScorePlace) error {
	b := &pgx.Batch{}
	b.Queue(keepScoreRead, p.Account.ClientID, p.Region, p.InstanceType, true)
	b.Queue(`DELETE FROM placement_scores WHERE client_id = $1 AND region = $2`, p.Account.ClientID, p.Region)
	return pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
}
