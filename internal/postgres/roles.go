package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/pg"
)

// Roles stores which instance has which role for an agent. Every method locks the agent's
// row before it writes, so two that run at once follow each other; each returns
// the roles as they are afterwards, because a writer must judge again.
type Roles struct{ DB *pg.DB }

// selectSet reads a whole roles.Set in one row. What is compared with now is
// compared with the database's clock, by which holds and deadlines were stamped. A
// notice about an instance that still plays a part never ages out.
var selectSet = `
SELECT jsonb_build_object(
    'agent_id', a.id,
    'client_id', a.client_id,
    'epoch', a.epoch,
    'keeping', a.keeping,
    'launcher', a.launcher,
    'enabled', a.enabled,
    'deleted', a.status = 'deleted',
    'auto_terminate', a.auto_terminate_enabled,
    'terminate_wait', a.terminate_wait_seconds * 1000000000::bigint,
    'review_seq', a.review_seq,
    'review', a.review_at IS NOT NULL,
    'failures', (
        SELECT jsonb_build_object(
            'standby', a.failures,
            'rebalance', count(*) FILTER (WHERE f.kind = 'rebalance'),
            'termination', count(*) FILTER (WHERE f.kind = 'termination'),
            'unmended',
            coalesce((array_agg(f.error_code
                ORDER BY f.created_at DESC) FILTER (WHERE f.kind IN ('rebalance', 'termination')))[1]
                IN ('launch.refused', 'launch.misconfigured'), false))
        FROM replicas f
        JOIN instances i ON i.id = f.made_for AND i.agent_id = a.id AND i.role = 'primary'
        WHERE f.agent_id = a.id
          AND f.state = 'failed'),
    'primary', coalesce((
        SELECT jsonb_build_object('id', i.id, 'instance_type', i.instance_type, 'region', i.region, 'az', i.az,
            'pool_id', i.pool_id, 'mode', i.mode, 'role', i.role, 'unproven', i.proof = 'unproven')
        FROM instances i
        WHERE i.agent_id = a.id
          AND i.role = 'primary'), '{}'),
    'replicas', coalesce((
        SELECT jsonb_agg(` + replicaObject + ` ORDER BY r.created_at, r.id)
        FROM replicas r
        WHERE r.agent_id = a.id
          AND r.state IN ('requested', 'launching', 'running', 'ready')), '[]'),
    'outcomes', coalesce((
        SELECT jsonb_agg(jsonb_build_object('instance_id', n.instance_id, 'kind', n.kind,
            'deadline', to_char(n.deadline AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'past', n.deadline <= clock_timestamp(),
            'left', (extract(epoch FROM n.deadline - clock_timestamp()) * 1000000000)::bigint,
            'result', n.result,
            'replica_id', coalesce(n.replica_id, ''),
            'new_primary', coalesce(n.new_primary, ''),
            'wanted', n.wanted_replica) ORDER BY n.received_at, n.instance_id)
        FROM notices n
        WHERE n.agent_id = a.id
          AND (n.result = ''
            OR n.received_at > now() - interval '1 day'
            OR EXISTS (SELECT
                FROM instances i
                WHERE i.id = n.instance_id AND i.agent_id = a.id AND i.role IN ('primary', 'replica')))),
            '[]'),
    'open_switch', coalesce(
        (SELECT s.id
        FROM switches s
        WHERE s.agent_id = a.id
          AND s.phase IN ('launching', 'waiting_until_ready', 'cutting_over')
        ORDER BY s.initiated_at DESC
        LIMIT 1),
        (SELECT c.id
        FROM commands c
        WHERE c.agent_id = a.id
          AND c.status = 'pending'
          AND c.command_type = 'switch'
          AND NOT EXISTS (SELECT
              FROM switches s
              WHERE s.id = c.id AND s.phase IN ('retiring_old', 'done', 'abandoned'))),
          ''))
FROM agents a
WHERE a.id = $1`

// replicaObject is a roles.Replica of the row r.
var replicaObject = fmt.Sprintf(`jsonb_build_object(
            'id', r.id,
            'kind', r.kind,
            'for', r.made_for,
            'state', r.state,
            'launcher', r.launcher,
            'plan', r.plan,
            'instance_id', coalesce(r.instance_id, ''),
            'pool_id', coalesce(r.pool_id, ''),
            'request_id', coalesce(r.request_id, ''),
            'hold', coalesce((extract(epoch FROM r.hold) * 1000000000)::bigint, 0),
            'expired', coalesce(r.hold_until <= clock_timestamp(), false),
            'stalled', r.instance_id IS NULL
                AND greatest(r.created_at, r.not_before) < clock_timestamp() - interval '%d seconds',
            'wait', CASE
                WHEN r.state = 'requested' AND r.not_before > clock_timestamp()
                THEN (extract(epoch FROM r.not_before - clock_timestamp()) * 1000000000)::bigint
                ELSE 0 END,
            'unheard', r.state IN ('running', 'ready')
                AND r.launcher = 'control-plane'
                AND r.last_sync_at IS NULL
                AND EXISTS (
                    SELECT
                    FROM instances n
                    WHERE n.id = r.instance_id
                      AND n.last_seen_at IS NULL)
                AND EXISTS (
                    SELECT
                    FROM instances p
                    WHERE p.agent_id = r.agent_id
                      AND p.role = 'primary'
                      AND p.last_seen_at IS NOT NULL)
                AND NOT `+silentBeforeOf+`r.agent_id`+silentBeforeEnd+`,
            'unproven', EXISTS (
                SELECT
                FROM instances u
                WHERE u.id = r.instance_id
                  AND u.proof = 'unproven'))`, int(roles.StallAfter.Seconds()))

// scanRoles reads the one row of selectSet. Fails with agent.not_found.
func scanRoles(row pgx.Row, agentID string) (*roles.AgentRoles, error) {
	var set roles.AgentRoles
	err := row.Scan(&set)
	if pg.IsNoRows(err) {
		return nil, pg.UnknownAgent(agentID)
	}
	if err != nil {
		return nil, err
	}
	return &set, nil
}

// Roles reads an agent's roles. Fails with agent.not_found.
func (s *Roles) Roles(ctx context.Context, agentID string) (*roles.AgentRoles, error) {
	set, err := scanRoles(s.DB.Pool.QueryRow(ctx, selectSet, agentID), agentID)
	return set, pg.Translate(err)
}

// writeRoles runs the statements of b in one round trip and one transaction, after
// the agent was locked, and reads the roles at its end. A statement may not
// depend on the answer of another; those that do have a transaction of their own.
func (s *Roles) writeRoles(ctx context.Context, agentID string, queue func(*pgx.Batch)) (*roles.AgentRoles, error) {
	b := &pgx.Batch{}
	var set *roles.AgentRoles
	b.Queue(pg.LockAgent, agentID)
	queue(b)
	b.Queue(selectSet, agentID).QueryRow(func(row pgx.Row) (err error) {
		set, err = scanRoles(row, agentID)
		return err
	})
	if err := s.DB.Pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, pg.Translate(err)
	}
	return set, nil
}

// SetKeeping sets when the agent keeps a replica. The two active modes exclude
// each other by being one value; failures of the former mode are forgotten. A
// deleted agent keeps nothing. Fails with agent.not_found.
func (s *Roles) SetKeeping(
	ctx context.Context,
	agentID string,
	keeping agent.StandbyMode,
	by string,
) (*roles.AgentRoles, error) {
	return s.writeRoles(ctx, agentID, func(b *pgx.Batch) {
		pg.QueueReview(b, agentID)
		b.Queue(`WITH before AS (SELECT id, keeping FROM agents WHERE id = $1), changed AS (
				UPDATE agents a SET keeping = $2, failures = 0, updated_at = now()
				FROM before WHERE a.id = before.id AND a.keeping <> $2 AND a.status <> 'deleted'
				RETURNING a.client_id, a.id, before.keeping AS was)
			INSERT INTO events (client_id, agent_id, type, actor, message, metadata)
			SELECT client_id, id, 'replica_mode_changed', coalesce(nullif($3, ''), 'system'),
				'replica mode is ' || $2::text || ', it was ' || was,
				jsonb_build_object('before', jsonb_build_object('keeping', was), 'after',
				jsonb_build_object('keeping', $2::text))
				FROM changed`, agentID, keeping, by)
	})
}
