package postgres

import (
	"context"

	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres/pg"
)

// selectChoice reads what the choice of pools for a replica is made from: its
// plan and the facts of its primary's region, in one row. Only pools of the
// family are of use; which of them is judged elsewhere. Prices are those of what the primary
// runs; one that is not known is left out, because the price of Linux would be too low.
const selectChoice = `
WITH needed AS (
    SELECT c.requirements || a.requirements AS need, p.region,
        coalesce(nullif(r.plan->>'instance_type', ''), p.instance_type) AS base,
        coalesce(nullif(p.product, ''), l.template->>'product', 'Linux/UNIX') AS product
    FROM replicas r
    JOIN agents a ON a.id = r.agent_id
    JOIN clients c ON c.id = a.client_id
    JOIN instances p ON p.agent_id = r.agent_id AND p.role = 'primary'
    LEFT JOIN launch_templates l ON l.agent_id = r.agent_id
    WHERE r.id = $2
), fitting AS (
    SELECT t.*
    FROM needed n
    JOIN instance_types b ON b.region = n.region AND b.name = n.base
    JOIN instance_types t ON t.region = n.region
        AND (t.name = n.base
            OR t.architectures && b.architectures
                AND t.vcpus BETWEEN coalesce((n.need->>'min_vcpus')::int, b.vcpus)
                AND coalesce((n.need->>'max_vcpus')::int,
                    2 * greatest(b.vcpus, (n.need->>'min_vcpus')::int))
                AND t.memory_mib BETWEEN coalesce((n.need->>'min_memory_mib')::int, b.memory_mib)
                    AND coalesce((n.need->>'max_memory_mib')::int,
                        2 * greatest(b.memory_mib, (n.need->>'min_memory_mib')::int)))
)
SELECT r.plan, jsonb_build_object('kind', r.kind,
    'primary', jsonb_build_object('instance_type', p.instance_type, 'region', p.region, 'az', p.az),
    'pools', coalesce((
        SELECT jsonb_agg(jsonb_build_object('instance_type', k.instance_type, 'az', k.az, 'price',
            coalesce(pp.price, 0), 'interruptions',
            (SELECT count(DISTINCT x.instance_id)
                FROM interruptions x
                WHERE x.pool_id = k.id
                    AND x.proven
                    AND x.kind = 'termination-notice'
                    AND x.detected_at > now() - interval '7 days'),
            'hours',
            coalesce((SELECT round((sum(extract(epoch FROM now()
                    - greatest(o.installed_at, now() - interval '7 days'))) / 3600)::numeric, 1)
                FROM instances o
                WHERE o.pool_id = k.id
                    AND o.proof <> 'unproven'
                    AND o.role <> 'retired'
                    AND o.terminated_at IS NULL
                    AND o.installed_at < now()), 0)
            + coalesce((SELECT round((sum(extract(epoch FROM o.terminated_at
                    - greatest(o.installed_at, now() - interval '7 days'))) / 3600)::numeric, 1)
                FROM instances o
                WHERE o.pool_id = k.id
                    AND o.proof <> 'unproven'
                    AND o.terminated_at > greatest(o.installed_at, now() - interval '7 days')), 0),
            'score',
            coalesce((SELECT s.score
                FROM placement_scores s
                WHERE s.client_id = r.client_id
                    AND s.region = k.region
                    AND s.instance_type = coalesce((SELECT base FROM needed), p.instance_type)
                    AND s.az = k.az
                    AND s.read_at > now() - interval '3 hours'
                    AND (k.instance_type = s.instance_type OR k.instance_type IN (SELECT name FROM fitting))), 0),
            'ours',
            (SELECT count(*)
                FROM instances o
                WHERE o.client_id = r.client_id AND o.pool_id = k.id AND o.role IN ('primary', 'replica')))
            ORDER BY k.id)
        FROM pools k
        LEFT JOIN ` + pg.SpotPrices + ` pp ON pp.pool_id = k.id
            AND pp.product = (SELECT product FROM needed)
            AND pp.observed_at > now() - interval '1 day'
        WHERE k.region = p.region
            AND k.is_active
            AND (k.instance_type LIKE f.types
            OR k.id = r.plan->>'pool'
            OR k.instance_type IN (SELECT name FROM fitting))),
            '[]'),
    'on_demand', coalesce((
        SELECT jsonb_object_agg(o.instance_type, o.price)
        FROM ` + pg.ListPrices + ` o
        WHERE o.region = p.region
            AND o.product = (SELECT product FROM needed)
            AND (o.instance_type LIKE f.types OR o.instance_type IN (SELECT name FROM fitting))),
            '{}'),
    'types',
    coalesce((SELECT jsonb_agg(jsonb_build_object('name', t.name, 'vcpus', t.vcpus, 'memory_mib', t.memory_mib,
    'architectures', t.architectures,
        'burstable', t.burstable, 'accelerators', t.accelerators, 'local_gb', t.local_gb, 'current', t.current,
        'bare_metal', t.bare_metal)
        ORDER BY t.name)
        FROM fitting t), '[]'),
    'requirements', (SELECT need FROM needed),
    'architecture',
    coalesce((SELECT l.template->>'architecture' FROM launch_templates l WHERE l.agent_id = r.agent_id), ''),
    'zones',
    coalesce((SELECT jsonb_agg(z ORDER BY z)
        FROM launch_templates l, jsonb_object_keys(coalesce(l.template->'subnets', '{}')) z
        WHERE l.agent_id = r.agent_id), '[]'),
    'fleet',
    (SELECT count(*)
        FROM instances o
        WHERE o.client_id = r.client_id AND o.region = p.region AND o.role IN ('primary', 'replica')),
    'resting', coalesce((
        SELECT jsonb_agg(h.mode || '/' || h.pool_id)
        FROM pool_health h
        WHERE h.client_id = r.client_id AND h.retry_after > now()),
            '[]'),
    'failed', coalesce((
        SELECT jsonb_agg(DISTINCT l.mode || '/' || l.pool_id)
        FROM launches l
        WHERE l.client_id = r.client_id
            AND l.created_at > now() - interval '2 hours'
            AND l.agent_id = r.agent_id
            AND l.replica_id <> r.id
            AND l.state = 'failed'
            AND l.error_code IN ('launch.refused', 'launch.misconfigured', 'launch.unexplained', 'launch.instance_gone',
                'launch.unseen', 'launch.no_addresses', 'launch.parts_quota', 'launch.token_reused')
            AND l.ended_at > now() - interval '1 hour'),
            '[]'),
    'blocked', coalesce((
        SELECT jsonb_agg(DISTINCT 'spot/' || b.pool_id)
        FROM pool_blocks b
        WHERE b.subject IN ('', r.client_id) AND b.until > now()),
            '[]'))
FROM replicas r JOIN instances p ON p.agent_id = r.agent_id AND p.role = 'primary',
    LATERAL (SELECT split_part(coalesce(nullif(r.plan->>'instance_type', ''), nullif(r.plan->>'pool', ''),
    p.instance_type),
    '.', 1) || '.%' AS types) f
WHERE r.id = $2 AND r.agent_id = $1`

// Choice reads what the choice of pools for a replica is made from. Fails with
// replica.not_found, also when the agent has no primary.
func (s *Launches) Choice(ctx context.Context, agentID, replicaID string) (replica.Plan, replica.ChoiceFacts, error) {
	var plan replica.Plan
	var facts replica.ChoiceFacts
	err := s.DB.Pool.QueryRow(ctx, selectChoice, agentID, replicaID).Scan(&plan, &facts)
	if pg.IsNoRows(err) {
		return plan, facts, replica.NotFound.New("there is no replica %s of an agent with a primary", replicaID)
	}
	return plan, facts, pg.Translate(err)
}
