package postgres

import (
	"cmp"
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
)

// insertNotice makes a notice durable, once per (agent, instance, kind). The
// first arrival's deadline stands; one that names none gets it from the
// database's clock, which also judges when it is over.
const insertNotice = `INSERT INTO notices AS n (client_id, agent_id, instance_id, kind, deadline, door, delivered_at)
	SELECT client_id, id, $2, $3, coalesce($4::timestamptz, clock_timestamp() + $5::float8 * interval '1 second'), $6, CASE WHEN $7::bool THEN clock_timestamp() END
	FROM agents WHERE id = $1
	ON CONFLICT ON CONSTRAINT notices_once DO UPDATE SET arrivals = n.arrivals + CASE WHEN $7::bool THEN 0 ELSE 1 END,
		delivered_at = CASE WHEN $7::bool THEN coalesce(n.delivered_at, clock_timestamp()) ELSE n.delivered_at END`

// noticeRow gives the parameters of insertNotice. taken says that a Guardian has
// it; otherwise it has only arrived.
func noticeRow(n interruption.Notice, taken bool) []any {
	lead := interruption.Lead
	if n.Kind == interruption.Rebalance {
		lead = replica.RebalanceHold // then it came to nothing
	}
	var deadline *time.Time
	if !n.Deadline.IsZero() {
		deadline = &n.Deadline
	}
	return []any{n.AgentID, n.InstanceID, n.Kind, deadline, lead.Seconds(), cmp.Or(n.Door, "http"), taken}
}

// queueInterruption counts a notice for the statistics of risk, and tells of it,
// the first time that it is heard of.
func queueInterruption(b *pgx.Batch, n interruption.Notice) {
	b.Queue(`WITH counted AS (
			INSERT INTO interruptions (client_id, agent_id, instance_id, kind, pool_id, region, az, instance_type, instance_age)
			SELECT a.client_id, a.id, $2, $3, i.pool_id, i.region, i.az, i.instance_type, now() - i.installed_at
			FROM agents a JOIN instances i ON i.id = $2 AND i.agent_id = a.id WHERE a.id = $1
			ON CONFLICT ON CONSTRAINT interruptions_once DO NOTHING RETURNING client_id, agent_id, instance_id, kind, pool_id),
		touched AS (
			UPDATE agents SET last_rebalance_at = now() FROM counted c WHERE id = c.agent_id AND c.kind = 'rebalance-recommendation')
		INSERT INTO events (client_id, agent_id, type, severity, actor, message, metadata)
		SELECT client_id, agent_id, replace(kind, '-', '_'), CASE WHEN kind = 'termination-notice' THEN 'critical' ELSE 'warning' END, 'agent',
			'AWS sent a ' || kind || ' for ' || instance_id, jsonb_build_object('instance_id', instance_id, 'pool_id', pool_id)
		FROM counted`, n.AgentID, n.InstanceID, n.Kind)
}

// RecordNotice makes a notice durable and marks it as taken by a Guardian. The
// second of the same changes nothing.
func (s *Roles) RecordNotice(ctx context.Context, in interruption.Notice) (*roles.Set, error) {
	return s.write(ctx, in.AgentID, func(b *pgx.Batch) {
		b.Queue(insertNotice, noticeRow(in, true)...)
		queueInterruption(b, in)
	})
}

// DecideNotice closes a notice that led to no change of roles, and tells people
// of one that was lost. A notice that was decided before keeps its result.
func (s *Roles) DecideNotice(ctx context.Context, in activities.Decision) (*roles.Set, error) {
	n := in.Notice
	return s.write(ctx, n.AgentID, func(b *pgx.Batch) {
		b.Queue(insertNotice, noticeRow(n, true)...)
		b.Queue(`WITH closed AS (
				UPDATE notices SET result = $4, decided_at = clock_timestamp()
				WHERE agent_id = $1 AND instance_id = $2 AND kind = $3 AND result = '' RETURNING client_id, agent_id, instance_id, kind, result),
			event AS (
				INSERT INTO events (client_id, agent_id, type, severity, message, metadata)
				SELECT client_id, agent_id, 'notice_' || result, CASE WHEN result = 'lost' THEN 'critical' ELSE 'info' END,
					'the ' || kind || ' for ' || instance_id || ' ended: ' || replace(result, '_', ' '), jsonb_build_object('instance_id', instance_id, 'kind', kind, 'result', result)
				FROM closed)
			INSERT INTO notifications (client_id, message, severity, dedup_key)
			SELECT c.client_id, a.logical_agent_id || ' lost ' || c.instance_id || ' before anything could take over; a replacement is still being made', 'critical',
				'lost:' || c.agent_id || '/' || c.instance_id
			FROM closed c JOIN agents a ON a.id = c.agent_id WHERE c.result = 'lost' ON CONFLICT (dedup_key) DO NOTHING`,
			n.AgentID, n.InstanceID, n.Kind, in.Result)
	})
}
