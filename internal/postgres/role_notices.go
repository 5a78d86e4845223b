package postgres

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/pg"
)

// insertNotice makes a notice durable, once per (agent, instance, kind), when the
// instance is or was the agent's. A deadline that is missing, over or far ahead is
// brought to between now and the furthest one; of two the earlier one holds while
// the notice is open.
const insertNotice = `
INSERT INTO notices AS n (client_id, agent_id, instance_id, kind, deadline, door, arrived_at, wanted_replica,
    delivered_at, action)
SELECT i.client_id, i.agent_id, i.id, $3,
    least(greatest(coalesce($4::timestamptz, t.now + $5::float8 * interval '1 second'), t.now),
    t.now + $6::float8 * interval '1 second'),
    $7, $8::timestamptz, $9,
    CASE WHEN $10::bool THEN t.now END, $11
FROM instances i, (SELECT clock_timestamp() AS now) t
WHERE i.id = $2
  AND i.agent_id = $1
ON CONFLICT ON CONSTRAINT notices_once DO UPDATE
SET arrivals = n.arrivals + CASE WHEN $10::bool THEN 0 ELSE 1 END,
    second_door = CASE WHEN n.second_door = ''
    AND excluded.door <> n.door
    AND NOT $10::bool THEN excluded.door ELSE n.second_door END,
    second_at = CASE WHEN n.second_door = ''
    AND excluded.door <> n.door
    AND NOT $10::bool THEN clock_timestamp() ELSE n.second_at END,
    second_arrival = CASE WHEN n.second_door = ''
    AND excluded.door <> n.door
    AND NOT $10::bool THEN n.arrivals + 1 ELSE n.second_arrival END,
    deadline = CASE WHEN n.result = '' THEN least(n.deadline, excluded.deadline) ELSE n.deadline END,
    action = CASE WHEN n.action = '' THEN excluded.action ELSE n.action END,
    wanted_replica = CASE WHEN n.wanted_replica = '' THEN excluded.wanted_replica ELSE n.wanted_replica END,
    delivered_at = CASE WHEN $10::bool THEN coalesce(n.delivered_at, clock_timestamp()) ELSE n.delivered_at END`

// noticeRow gives the parameters of insertNotice. again says that the notice arrived
// before and a Guardian has it now.
func noticeRow(n interruption.Notice, again bool) []any {
	lead, furthest := interruption.NoticeLead, interruption.Furthest
	if n.Kind == interruption.Rebalance {
		lead, furthest = replica.RebalanceHold, replica.RebalanceHold // after that it came to nothing
	}
	return []any{n.AgentID, n.InstanceID, n.Kind, pg.TimeOrNull(n.Deadline), lead.Seconds(), furthest.Seconds(),
		cmp.Or(n.Door, "http"),
		pg.TimeOrNull(n.ArrivedAt), n.ReplicaID, again, n.Action}
}

// queueInterruption keeps a notice, and records the event, the first time that the notice
// arrives. For the statistics of risk, which all clients share, it counts when its
// instance is proven to be a spot instance.
func queueInterruption(b *pgx.Batch, n interruption.Notice) {
	b.Queue(`
WITH counted AS (
    INSERT INTO interruptions (client_id, agent_id, instance_id, kind, pool_id, region, az, instance_type, instance_age,
        proven)
    SELECT a.client_id, a.id, $2, $3, i.pool_id, i.region, i.az, i.instance_type, now() - i.installed_at,
        i.proof <> 'unproven' AND i.mode = 'spot'
    FROM agents a
    JOIN instances i ON i.id = $2 AND i.agent_id = a.id
    WHERE a.id = $1
    ON CONFLICT ON CONSTRAINT interruptions_once DO NOTHING
    RETURNING client_id, agent_id, instance_id, kind, pool_id),
touched AS (
    UPDATE agents
    SET last_rebalance_at = now()
    FROM counted c
    WHERE id = c.agent_id
      AND c.kind = 'rebalance-recommendation')
INSERT INTO events (client_id, agent_id, type, severity, actor, message, metadata)
SELECT client_id, agent_id, replace(kind, '-', '_'),
    CASE WHEN kind = 'termination-notice' THEN 'critical' ELSE 'warning' END,
    'agent',
    'AWS sent a ' || kind || ' for ' || instance_id,
    jsonb_build_object('instance_id', instance_id, 'pool_id', pool_id)
FROM counted`, n.AgentID, n.InstanceID, n.Kind)
}

// closeNotice closes an open notice with a result that changes no roles, and notifies
// the client of one that was lost. A notice that was decided before keeps its result.
const closeNotice = `
WITH closed AS (
    UPDATE notices
    SET result = $4,
        decided_at = clock_timestamp(),
        delivered_at = coalesce(delivered_at, clock_timestamp())
    WHERE agent_id = $1
      AND instance_id = $2
      AND kind = $3
      AND result = ''
    RETURNING client_id, agent_id, instance_id, kind, result),
event AS (
    INSERT INTO events (client_id, agent_id, type, severity, message, metadata)
    SELECT client_id, agent_id, 'notice_' || result,
        CASE WHEN result = 'lost' THEN 'critical' ELSE 'info' END,
        'the ' || kind || ' for ' || instance_id || ' ended: ' || replace(result, '_', ' '),
        jsonb_build_object('instance_id', instance_id, 'kind', kind, 'result', result)
    FROM closed)
INSERT INTO notifications (client_id, message, severity, dedup_key)
SELECT c.client_id,
    a.logical_agent_id || ' lost ' || c.instance_id || ' before anything could take over; '
        || coalesce('no replacement can be launched: ' || hopeless.error, 'a replacement is still being made'),
    'critical',
    'lost:' || c.agent_id || '/' || c.instance_id
FROM closed c
JOIN agents a ON a.id = c.agent_id
LEFT JOIN LATERAL (
    SELECT r.error, r.error_code
    FROM replicas r
    WHERE r.agent_id = c.agent_id
      AND r.made_for = c.instance_id
      AND r.state = 'failed'
    ORDER BY r.created_at DESC
    LIMIT 1) hopeless ON hopeless.error_code IN ('launch.refused', 'launch.misconfigured')
WHERE c.result = 'lost'
ON CONFLICT (dedup_key) DO NOTHING`

// DecideNotice closes a notice that led to no change of roles, and notifies the
// client of one that was lost. A notice that was decided before keeps its result, so
// a second call changes nothing.
func (s *Roles) DecideNotice(ctx context.Context, in activities.Decision) (*roles.AgentRoles, error) {
	n := in.Notice
	return s.writeRoles(ctx, n.AgentID, func(b *pgx.Batch) {
		b.Queue(closeNotice, n.AgentID, n.InstanceID, n.Kind, in.Result)
	})
}

// SettleReview records that a Guardian has judged the agent's roles as they were at
// the sequence number, and when they are due again; zero is never. Roles that changed
// meanwhile stay due. The Guardian has the agent's notices then.
func (s *Roles) SettleReview(ctx context.Context, in activities.Review) error {
	b := &pgx.Batch{}
	b.Queue(`
UPDATE agents
SET review_at = clock_timestamp() + $3::float8 * interval '1 second'
WHERE id = $1
  AND review_seq = $2`, in.AgentID, in.Seq, pg.SecondsOrNull(in.Next))
	b.Queue(`
UPDATE notices
SET delivered_at = clock_timestamp()
WHERE agent_id = $1
  AND delivered_at IS NULL
  AND EXISTS (SELECT FROM agents WHERE id = $1 AND review_seq = $2)`, in.AgentID, in.Seq)
	return pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
}
