package decisions

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/pg"
)

// Decisions reads the input of an engine and stores its answers.
type Decisions struct {
	DB *pg.DB

	// Turns is how often Keep tries a decision, the last time without a turn; 0: 4.
	Turns int
}

// The pieces that statements about decisions are put together from. An agent is
// a, its primary is i; a is chosen by $1, a list of ids, and by $2, the tenant.
const (
	// alive is a pending command that is being carried out: one of ours that is older
	// and that no workflow has taken up lost its caller.
	alive = `
		c.status = 'pending'
		AND c.command_type = 'switch'
		AND (c.launcher = 'agent' OR c.created_at > now() - interval '2 minutes'
		OR EXISTS (SELECT FROM switches s WHERE s.id = c.id)
		OR EXISTS (SELECT FROM replicas r WHERE r.agent_id = c.agent_id AND r.made_for = c.id))`

	// whoMoves counts as moving from the order until the cut-over; how long an old
	// instance is kept after that does not matter here.
	whoMoves = `
moving AS MATERIALIZED (
	SELECT o.agent_id FROM operations o WHERE o.state = 'running' AND o.kind = 'switch'
		AND NOT EXISTS (SELECT
			FROM switches s
			WHERE s.id = substring(o.id FROM 8) AND s.phase IN ('retiring_old', 'done', 'abandoned'))
	UNION SELECT c.agent_id FROM commands c WHERE ` + alive + `),
sizes AS MATERIALIZED (
	SELECT x.client_id, count(*) AS agents, count(m.agent_id) AS moving
	FROM agents x
	LEFT JOIN moving m ON m.agent_id = x.id
	WHERE x.status <> 'deleted'
	GROUP BY x.client_id),
a AS (
	SELECT a.*, c.max_moving_percent AS client_share, z.agents AS client_agents, z.moving AS client_moving
	FROM agents a
	JOIN clients c ON c.id = a.client_id
	LEFT JOIN sizes z ON z.client_id = a.client_id
	WHERE a.id = ANY($1))`

	// standingOf is what voluntary moves are judged by: engine.MoveContext.
	standingOf = `
	'now', now(),
	'agent',
	jsonb_build_object('id', a.id, 'client_id', a.client_id, 'enabled', a.enabled
	AND a.status <> 'deleted', 'auto_switch', a.keeping = 'auto'),
	'instance',
	CASE WHEN i.id IS NULL THEN '{}' ELSE jsonb_build_object('id', i.id, 'type', i.instance_type, 'region', i.region,
	'az', i.az, 'mode', i.mode, 'pool_id', i.pool_id, 'launched_at', i.installed_at) END,
	'limits',
	jsonb_build_object('min_savings_percent', a.min_savings_percent, 'risk_threshold', a.risk_threshold,
	'max_switches_per_week', a.max_switches_per_week,
		'max_switches_per_day', a.max_switches_per_day, 'min_pool_duration',
		a.min_pool_duration_hours * 3600000000000::bigint,
		'max_moving_percent', a.client_share, 'max_fleet_moving_percent',
		(SELECT max_moving_percent FROM fleet_limits)),
	'activity', jsonb_build_object(
		'switches_day',
		(SELECT count(*)
			FROM switches s
			WHERE s.agent_id = a.id AND s.phase <> 'abandoned' AND s.initiated_at > now() - interval '1 day'),
		'switches_week',
		(SELECT count(*)
			FROM switches s
			WHERE s.agent_id = a.id AND s.phase <> 'abandoned' AND s.initiated_at > now() - interval '7 days'),
		'last_change_at', (SELECT max(changed_at) FROM role_changes r WHERE r.agent_id = a.id),
		'pool_since', CASE i.mode WHEN 'spot' THEN i.primary_since END),
	'holds', jsonb_build_object(
		'pauses',
		(SELECT coalesce(jsonb_agg(jsonb_build_object('scope', p.scope, 'until', p.until, 'reason', p.reason)
			ORDER BY p.until DESC),
		'[]')
			FROM pauses p
			WHERE p.until > now()
				AND p.subject = CASE p.scope WHEN 'client' THEN a.client_id WHEN 'agent' THEN a.id ELSE '' END),
		'notice',
		coalesce((SELECT n.kind
			FROM notices n
			WHERE n.agent_id = a.id AND n.instance_id = i.id AND n.result = '' AND n.deadline > now()
			ORDER BY n.kind DESC
			LIMIT 1),
		''),
		'operation',
		coalesce((SELECT o.id
			FROM operations o
			WHERE o.agent_id = a.id
				AND o.state = 'running'
				AND o.kind IN ('switch', 'termination', 'promotion', 'removal')
			ORDER BY o.started_at
			LIMIT 1),
			(SELECT 'switch/' || c.id FROM commands c WHERE c.agent_id = a.id AND ` + alive + ` LIMIT 1), ''),
		'client_agents', coalesce(a.client_agents, 0), 'client_moving', coalesce(a.client_moving, 0),
		'fleet_agents', coalesce((SELECT sum(agents) FROM sizes), 0), 'fleet_moving',
		coalesce((SELECT sum(moving) FROM sizes), 0),
		'consent', ` + consentOfAgent + `)`

	onDemandOf = `
		coalesce((SELECT jsonb_build_object('usd', o.price, 'at', o.observed_at)
			FROM ` + pg.ListPrices + ` o
			WHERE o.region = i.region
				AND o.instance_type = i.instance_type
				AND o.product = coalesce(nullif(i.product, ''), 'Linux/UNIX')),
		CASE
			WHEN i.ondemand_price > 0 AND i.product IN ('', 'Linux/UNIX')
			THEN jsonb_build_object('usd', i.ondemand_price, 'at', i.last_seen_at)
		END, '{}')`

	// ownPrices are what a client has reported of its own pools, where that counts and
	// the market says something else, or said it long ago.
	ownPrices = `
	SELECT p.client_id, p.pool_id, p.price, p.observed_at
	FROM client_prices p
	LEFT JOIN pool_prices m ON m.pool_id = p.pool_id
	WHERE p.client_id IN (SELECT client_id FROM agents WHERE id = ANY($1))
	  AND p.worth = 'counts'
	  AND p.observed_at > now() - interval '15 minutes'
	  AND (m.price IS DISTINCT FROM p.price OR m.observed_at < p.observed_at - interval '15 minutes')`

	// otherPrices is what the pools of primaries i cost that run something else than Linux,
	// with the price of each five minutes of the last day. Agents measure no such prices.
	otherPrices = `
	SELECT x.pool_id, x.product, jsonb_build_object(
		'price',
		CASE WHEN s.price IS NULL THEN '{}' ELSE jsonb_build_object('usd', s.price, 'at', s.observed_at) END,
		'history', (
			SELECT coalesce(jsonb_agg(jsonb_build_object('usd', h.price, 'at', g.at) ORDER BY g.at), '[]')
			FROM generate_series(date_bin('5 minutes', now() - interval '1 day', timestamptz 'epoch'), now(),
				interval '5 minutes') AS g(at)
			CROSS JOIN LATERAL (
				SELECT c.price
				FROM product_spot_prices c
				WHERE c.pool_id = x.pool_id AND c.product = x.product AND c.at <= g.at
				ORDER BY c.at DESC
				LIMIT 1) h)) AS facts
	FROM (
		SELECT DISTINCT p.id AS pool_id, i.product
		FROM i
		JOIN pools p ON p.region = i.region AND p.instance_type = i.instance_type
		WHERE p.is_active
		  AND i.product NOT IN ('', 'Linux/UNIX')) x
	LEFT JOIN ` + pg.SpotPrices + ` s ON s.pool_id = x.pool_id AND s.product = x.product`

	// poolFacts is what is known of the pools in candidates. Statistics are over all
	// tenants: what interrupts one interrupts the others. Instance-hours count the
	// part of each life that lies in the window.
	poolFacts = `
history AS (
	SELECT b.pool_id, jsonb_agg(jsonb_build_object('usd', b.price, 'at', b.observed_at) ORDER BY b.bucket) AS points
	FROM price_buckets b
	JOIN candidates p ON p.id = b.pool_id
	WHERE b.bucket > now() - interval '1 day'
	GROUP BY b.pool_id),
lost AS (
	SELECT x.pool_id, count(DISTINCT x.instance_id) AS n FROM interruptions x JOIN candidates p ON p.id = x.pool_id
	WHERE x.proven AND x.kind = 'termination-notice' AND x.detected_at > now() - interval '30 days' GROUP BY x.pool_id),
lived AS (
	SELECT x.pool_id,
		sum(extract(epoch FROM least(coalesce(x.terminated_at, now()), now()) - greatest(x.installed_at,
		now() - interval '30 days')) / 3600) AS hours
	FROM instances x JOIN candidates p ON p.id = x.pool_id
	WHERE x.mode = 'spot'
		AND x.proof <> 'unproven'
		AND coalesce(x.terminated_at, now()) > now() - interval '30 days'
		AND (x.role <> 'retired' OR x.terminated_at IS NOT NULL)
	GROUP BY x.pool_id),
known AS (
	SELECT p.id, p.region, p.instance_type,
		jsonb_build_object('id', p.id, 'type', p.instance_type, 'region', p.region, 'az', p.az,
		'price',
		CASE WHEN pp.price IS NULL THEN '{}' ELSE jsonb_build_object('usd', pp.price, 'at', pp.observed_at) END,
		'history', coalesce(h.points, '[]'),
		'interruptions',
		jsonb_build_object('count', coalesce(lost.n, 0), 'instance_hours', coalesce(lived.hours, 0))) AS facts
	FROM candidates p LEFT JOIN pool_prices pp ON pp.pool_id = p.id LEFT JOIN history h ON h.pool_id = p.id
		LEFT JOIN lost ON lost.pool_id = p.id LEFT JOIN lived ON lived.pool_id = p.id)`
)

const selectMoveContext = `WITH ` + whoMoves + `
SELECT jsonb_build_object(` + standingOf + `) FROM a LEFT JOIN instances i ON i.agent_id = a.id AND i.role = 'primary'`

// selectInput reads a whole engine.Input in one row, so that a decision is made
// from one moment.
const selectInput = `WITH ` + whoMoves + `,
i AS (SELECT i.* FROM instances i JOIN a ON i.agent_id = a.id AND i.role = 'primary'),
candidates AS (
	SELECT p.id, p.instance_type, p.region, p.az
	FROM pools p
	JOIN i ON p.region = i.region AND p.instance_type = i.instance_type
	WHERE p.is_active),
own AS (` + ownPrices + `),
other AS (` + otherPrices + `),
` + poolFacts + `
SELECT jsonb_build_object(` + standingOf + `, 'on_demand', ` + onDemandOf + `,
	'pools', coalesce((SELECT jsonb_agg(k.facts || jsonb_build_object('blocked_until', greatest(ph.retry_after, pb.until),
				'blocked_by', coalesce(pb.created_by, ''), 'block_reason', coalesce(pb.reason, ''))
			|| CASE WHEN other.facts IS NOT NULL THEN other.facts
				WHEN own.price IS NULL THEN '{}'::jsonb
				ELSE jsonb_build_object('price', jsonb_build_object('usd', own.price, 'at', own.observed_at)) END
			ORDER BY k.id)
		FROM known k LEFT JOIN pool_health ph ON ph.client_id = a.client_id AND ph.pool_id = k.id AND ph.mode = 'spot'
			LEFT JOIN own ON own.client_id = a.client_id AND own.pool_id = k.id
			LEFT JOIN other ON other.pool_id = k.id AND other.product = i.product
			` + blockOfPool + `),
			'[]'))
FROM a LEFT JOIN i ON true WHERE $2 = '' OR a.client_id = $2`

// unset are the limits that cannot be set.
var unset = engine.Limits{CoolDown: engine.DefaultLimits().CoolDown}

// Input reads everything a decision about the agent is made from. An agent
// without a primary has an instance without an id. Fails with agent.not_found.
func (s *Decisions) Input(ctx context.Context, clientID, agentID string) (engine.Input, error) {
	in := engine.Input{Limits: unset}
	var raw []byte
	err := s.DB.Pool.QueryRow(ctx, selectInput, []string{agentID}, clientID).Scan(&raw)
	if pg.IsNoRows(err) {
		return in, agent.NotFound.New("Agent not found")
	}
	if err != nil {
		return in, pg.Translate(err)
	}
	return in, json.Unmarshal(raw, &in)
}

// collectJSON reads rows of one JSON value each.
func collectJSON[T any](r pgx.Rows) ([]T, error) {
	return pgx.CollectRows(r, func(row pgx.CollectableRow) (out T, err error) {
		var raw []byte
		if err = row.Scan(&raw); err == nil {
			err = json.Unmarshal(raw, &out)
		}
		return out, err
	})
}
