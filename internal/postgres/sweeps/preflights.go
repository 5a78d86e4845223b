package sweeps

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/preflight"
	"spotkeeper/internal/postgres/pg"
)

// Preflights keeps the last report of each agent's checks.
type Preflights struct{ DB *pg.DB }

var _ activities.PreflightStore = (*Preflights)(nil)

// PreflightPlace says where an agent's primary is and what it was launched with. Fails
// with agent.not_found, also when the agent has no primary.
func (s *Preflights) PreflightPlace(ctx context.Context, clientID, agentID string) (*activities.PreflightPlace, error) {
	var out activities.PreflightPlace
	err := s.DB.Pool.QueryRow(ctx, `
SELECT a.id, p.id, p.region, c.id, c.role_arn, c.external_id, c.own_account, p.az,
    p.proof = 'unproven',
    a.launcher <> 'control-plane',
    l.template,
    EXISTS (
        SELECT
        FROM placement_score_reads s
        WHERE s.client_id = c.id
          AND s.region = p.region
          AND s.refused
          AND s.read_at > now() - interval '1 hour')
FROM agents a
JOIN clients c ON c.id = a.client_id
JOIN instances p ON p.agent_id = a.id AND p.role = 'primary'
LEFT JOIN launch_templates l ON l.agent_id = a.id
WHERE a.id = $1 AND ($2 = '' OR a.client_id = $2) AND a.status <> 'deleted'`, agentID, clientID).
		Scan(&out.AgentID, &out.InstanceID, &out.Region, &out.Account.ClientID, &out.Account.RoleARN,
			&out.Account.ExternalID, &out.Account.Own, &out.Zone, &out.Unproven, &out.ByAgent, &out.Template, &out.Scoreless)
	if pg.IsNoRows(err) {
		return nil, pg.UnknownAgent(agentID)
	}
	return &out, pg.Translate(err)
}

// keepPreflight stores a report, and notifies the client when checks fail that did not, and
// when all are mended.
const keepPreflight = `
WITH was AS (
	SELECT result FROM preflights WHERE agent_id = $1
), kept AS (
	INSERT INTO preflights (agent_id, result, checks, checked_at)
	SELECT id, $2, $3, $4
	FROM agents
	WHERE id = $1
	ON CONFLICT (agent_id) DO UPDATE
	SET result = excluded.result, checks = excluded.checks, checked_at = excluded.checked_at
	RETURNING agent_id
), failing AS (
	SELECT string_agg(x->>'name' || ': ' || coalesce(nullif(x->>'repair', ''), x->>'detail', ''), '; '
		ORDER BY x->>'name') AS what
	FROM jsonb_array_elements($3::jsonb) AS x
	WHERE x->>'result' = 'failed'
)
INSERT INTO notifications (client_id, message, severity, dedup_key)
SELECT a.client_id,
	CASE WHEN f.what IS NULL
		THEN 'A replacement of ' || a.logical_agent_id || ' can be launched again'
		ELSE 'A replacement of ' || a.logical_agent_id || ' could not be launched now. ' || left(f.what, 1000)
	END,
	CASE WHEN f.what IS NULL THEN 'info' ELSE 'error' END,
	'preflight:' || a.id || ':' || coalesce(md5(f.what), 'mended/' || $4::timestamptz::text)
FROM kept k
JOIN agents a ON a.id = k.agent_id
CROSS JOIN failing f
WHERE f.what IS NOT NULL OR (SELECT result FROM was) = 'failed'
ON CONFLICT (dedup_key) DO NOTHING`

// KeepPreflight stores a report. The same failure is notified once.
func (s *Preflights) KeepPreflight(ctx context.Context, r preflight.Report) error {
	checks, err := json.Marshal(r.Checks)
	if err != nil {
		return err
	}
	_, err = s.DB.Pool.Exec(ctx, keepPreflight, r.AgentID, r.Result, checks, r.CheckedAt)
	return pg.Translate(err)
}

// Preflight returns the last report of an agent, nil when it was never checked. Fails with
// agent.not_found.
func (s *Preflights) Preflight(ctx context.Context, clientID, agentID string) (*preflight.Report, error) {
	if _, err := s.PreflightPlace(ctx, clientID, agentID); err != nil {
		return nil, err
	}
	out := preflight.Report{AgentID: agentID}
	err := s.DB.Pool.QueryRow(ctx, `SELECT result, checks, checked_at FROM preflights WHERE agent_id = $1`, agentID).
		Scan(&out.Result, &out.Checks, &out.CheckedAt)
	if pg.IsNoRows(err) {
		return nil, nil //nolint:nilnil // there being none is an answer, not a failure
	}
	return &out, pg.Translate(err)
}

// PreflightsDue lists agents whose last report is older than a day, those without one first.
func (s *Primaries) PreflightsDue(ctx context.Context, limit int) ([]activities.Primary, error) {
	rows, err := s.DB.Pool.Query(ctx, `
SELECT a.id, i.id, i.region, c.id, c.role_arn, c.external_id, c.own_account
FROM instances i
JOIN agents a ON a.id = i.agent_id
JOIN clients c ON c.id = a.client_id
LEFT JOIN preflights f ON f.agent_id = a.id
WHERE i.role = 'primary' AND i.region <> '' AND a.status <> 'deleted' AND a.launcher = 'control-plane'
	AND EXISTS (SELECT FROM launch_templates l WHERE l.agent_id = a.id)
	AND (f.checked_at IS NULL OR f.checked_at < now() - interval '1 day')
ORDER BY f.checked_at NULLS FIRST
LIMIT $1`, limit)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p activities.Primary, err error) {
		return p, row.Scan(&p.AgentID, &p.InstanceID, &p.Region, &p.Account.ClientID, &p.Account.RoleARN,
			&p.Account.ExternalID, &p.Account.Own)
	})
	return out, pg.Translate(err)
}
