package sweeps

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/preflight"
	"spotkeeper/internal/postgres/pg"
)

// selectQuotaPlaces reads what each client has in a region, as far as EC2 has said how many
// vCPUs its types have. $1 is one client or empty for all; $2 leaves out what was checked
// within a day.
const selectQuotaPlaces = `
SELECT c.id, c.role_arn, c.external_id, c.own_account, i.region,
    jsonb_agg(jsonb_build_object('instance_type', i.instance_type, 'az', i.az, 'mode', i.mode, 'vcpus', t.vcpus)
        ORDER BY i.id)
FROM instances i
JOIN clients c ON c.id = i.client_id
JOIN agents a ON a.id = i.agent_id
JOIN instance_types t ON t.region = i.region AND t.name = i.instance_type
LEFT JOIN client_preflights f ON f.client_id = c.id AND f.region = i.region
WHERE i.role IN ('primary', 'replica')
  AND i.proof <> 'unproven'
  AND a.launcher = 'control-plane'
  AND a.status <> 'deleted'
  AND ($1 = '' OR c.id = $1)
  AND (NOT $2 OR f.checked_at IS NULL OR f.checked_at < now() - interval '1 day')
GROUP BY c.id, i.region, f.checked_at
ORDER BY f.checked_at NULLS FIRST
LIMIT $3`

// QuotaPlaces lists the regions of clients whose quotas can be held against what runs there,
// those first that were checked longest ago.
func (s *Preflights) QuotaPlaces(ctx context.Context, clientID string, due bool, limit int) (
	[]activities.QuotaPlace, error,
) {
	rows, err := s.DB.Pool.Query(ctx, selectQuotaPlaces, clientID, due, limit)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p activities.QuotaPlace, err error) {
		return p, row.Scan(&p.Account.ClientID, &p.Account.RoleARN, &p.Account.ExternalID, &p.Account.Own, &p.Region,
			&p.Use)
	})
	return out, pg.Translate(err)
}

// keepQuotas stores a report, and notifies the client when checks fail that did not, and
// when all are mended.
const keepQuotas = `
WITH was AS (
    SELECT result
    FROM client_preflights
    WHERE client_id = $1
      AND region = $2),
kept AS (
    INSERT INTO client_preflights (client_id, region, result, checks, checked_at)
    SELECT id, $2, $3, $4, $5
    FROM clients
    WHERE id = $1
    ON CONFLICT ON CONSTRAINT client_preflights_once DO UPDATE
    SET result = excluded.result,
        checks = excluded.checks,
        checked_at = excluded.checked_at
    RETURNING client_id),
failing AS (
    SELECT string_agg((x->>'name') || ': ' || coalesce(x->>'repair', ''), '; ' ORDER BY x->>'name') AS what,
        string_agg(x->>'name', '; ' ORDER BY x->>'name') AS names
    FROM jsonb_array_elements($4::jsonb) AS x
    WHERE x->>'result' = 'failed')
INSERT INTO notifications (client_id, message, severity, dedup_key)
SELECT k.client_id,
    CASE WHEN f.what IS NULL
        THEN 'The quotas in ' || $2 || ' suffice for the loss of a zone again'
        ELSE 'The loss of a zone in ' || $2 || ' could not be replaced. ' || left(f.what, 1000) END,
    CASE WHEN f.what IS NULL THEN 'info' ELSE 'error' END,
    'quotas:' || k.client_id || ':' || $2 || ':'
        || CASE WHEN f.what IS NULL THEN 'mended/' || $5::timestamptz::text ELSE md5(f.names) END
FROM kept k
CROSS JOIN failing f
WHERE f.what IS NULL AND (SELECT result FROM was) = 'failed'
   OR f.what IS NOT NULL AND (SELECT result FROM was) IS DISTINCT FROM 'failed'
ON CONFLICT (dedup_key) DO UPDATE
SET message = excluded.message,
    is_read = false,
    created_at = now()`

// KeepQuotas stores a client's report on a region. It notifies the client when a failure
// begins, and again when the failure returns after it was mended.
func (s *Preflights) KeepQuotas(
	ctx context.Context,
	clientID, region string,
	checks []preflight.Check,
	at time.Time,
) error {
	raw, err := json.Marshal(checks)
	if err != nil {
		return err
	}
	_, err = s.DB.Pool.Exec(ctx, keepQuotas, clientID, region, preflight.WorstResult(checks), raw, at)
	return pg.Translate(err)
}

// ClientPreflight is the last reports of a client: those of its agents counted, and what is
// not well.
type ClientPreflight struct {
	Agents    map[preflight.Result]int `json:"agents"` // by result
	Unchecked int                      `json:"unchecked"`
	Regions   []RegionPreflight        `json:"regions"`
	Troubled  []AgentPreflight         `json:"troubled"`
}

// RegionPreflight is what was checked of a client's account in a region.
type RegionPreflight struct {
	Region    string            `json:"region"`
	Result    preflight.Result  `json:"result"`
	Checks    []preflight.Check `json:"checks"`
	CheckedAt time.Time         `json:"checked_at"`
}

// AgentPreflight is what is not well of an agent.
type AgentPreflight struct {
	AgentID   string            `json:"agent_id"`
	LogicalID string            `json:"logical_id"`
	Result    preflight.Result  `json:"result"`
	Checks    []preflight.Check `json:"checks"` // without those that are ok
	CheckedAt time.Time         `json:"checked_at"`
}

// mostTroubled bounds the agents of a summary, the worst first.
const mostTroubled = 500

const selectClientPreflight = `
WITH reported AS (
    SELECT a.id, a.logical_agent_id, f.result, f.checks, f.checked_at
    FROM agents a
    LEFT JOIN preflights f ON f.agent_id = a.id
    WHERE a.client_id = $1
      AND a.status <> 'deleted'
      AND a.launcher = 'control-plane')
SELECT jsonb_build_object(
    'agents', coalesce((
        SELECT jsonb_object_agg(result, n)
        FROM (SELECT result, count(*) AS n FROM reported WHERE result IS NOT NULL GROUP BY result) x), '{}'),
    'unchecked', (SELECT count(*) FROM reported WHERE result IS NULL),
    'regions', coalesce((
        SELECT jsonb_agg(jsonb_build_object('region', region, 'result', result, 'checks', checks,
            'checked_at', checked_at) ORDER BY region)
        FROM client_preflights
        WHERE client_id = $1), '[]'),
    'troubled', coalesce((
        SELECT jsonb_agg(jsonb_build_object('agent_id', id, 'logical_id', logical_agent_id, 'result', result,
            'checked_at', checked_at,
            'checks', (SELECT jsonb_agg(k) FROM jsonb_array_elements(checks) k WHERE k->>'result' <> 'ok'))
            ORDER BY array_position(ARRAY['failed', 'warning', 'unknown'], result), logical_agent_id)
        FROM (
            SELECT *
            FROM reported
            WHERE result <> 'ok'
            ORDER BY array_position(ARRAY['failed', 'warning', 'unknown'], result), logical_agent_id
            LIMIT $2) x), '[]'))
FROM clients
WHERE id = $1`

// ClientPreflight reads the last reports of a client. Fails with clients.not_found.
func (s *Preflights) ClientPreflight(ctx context.Context, clientID string) (*ClientPreflight, error) {
	var out ClientPreflight
	err := s.DB.Pool.QueryRow(ctx, selectClientPreflight, clientID, mostTroubled).Scan(&out)
	if pg.IsNoRows(err) {
		return nil, clients.NotFound.New("Client not found")
	}
	return &out, pg.Translate(err)
}
