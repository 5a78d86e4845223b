package agents

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres/pg"
)

// HeartbeatResult is the result of a heartbeat.
type HeartbeatResult struct {
	Relation agent.InstanceRelation
	// Lost says that the agent's primary is lost (see pg.PrimaryLost), so that an
	// outside instance may follow it.
	Lost bool
}

// Heartbeat records a sign of life, judged by (agent, instance). From the primary it sets
// the agent's status; from any other instance it sets that instance's alone. A heartbeat
// without an instance, from an old program, counts for the agent. The exception is an
// offline heartbeat while another instance of the agent is alive: its sender is probably
// the replaced instance, and agent-health corrects the case where it was not.
//
// Transitions to and from offline notify the client in the same statement. Heartbeats that
// change no status use synchronous_commit=off; a lost one is replaced by the next, 30
// seconds later. Concurrent heartbeats share one statement.
// Fails with agent.not_found, also for a deleted agent.
func (s *Agents) Heartbeat(ctx context.Context, h agent.Heartbeat) (*HeartbeatResult, error) {
	out, err := s.beats.Do(ctx, h, s.Heartbeats)
	if pg.MayConcernOneRow(err) ||
		err == nil && out == nil { // one that fails must not fail the others or make them wait
		var found map[string]*HeartbeatResult
		found, err = s.writeHeartbeats(ctx, heartbeatAlone, h)
		out = found[h.AgentID]
	}
	switch {
	case err != nil:
		return nil, err
	case out == nil:
		return nil, agent.NotFound.New("Agent not found")
	}
	return out, nil
}

// Heartbeats records those of different agents in one statement. One that is left
// out is nil: of an agent that is not there, whose row is locked, or that has
// another one before it.
func (s *Agents) Heartbeats(ctx context.Context, all []agent.Heartbeat) ([]*HeartbeatResult, error) {
	var batch []agent.Heartbeat
	first := map[string]int{}
	for n, h := range all {
		if _, again := first[h.AgentID]; !again {
			first[h.AgentID] = n
			batch = append(batch, h)
		}
	}
	found, err := s.writeHeartbeats(ctx, heartbeatTogether, batch...)
	out := make([]*HeartbeatResult, len(all))
	for id, b := range found {
		out[first[id]] = b
	}
	return out, err
}

func (s *Agents) writeHeartbeats(
	ctx context.Context,
	statement string,
	all ...agent.Heartbeat,
) (map[string]*HeartbeatResult, error) {
	columns := make([][]string, 7)
	for _, h := range all {
		for n, v := range []string{h.AgentID, h.ClientID, h.InstanceID, string(h.Status), agent.KnownFact(h.Type),
			agent.KnownFact(h.AZ), string(h.Mode)} {
			columns[n] = append(columns[n], v)
		}
	}
	found, err := s.DB.Pool.Query(ctx, statement, columns[0], columns[1], columns[2], columns[3], columns[4],
		columns[5], columns[6])
	if err != nil {
		return nil, pg.Translate(err)
	}
	out := make(map[string]*HeartbeatResult, len(all))
	var id string
	var b HeartbeatResult
	var lazily *string
	if _, err = pgx.ForEachRow(found, []any{&id, &b.Relation, &b.Lost, &lazily}, func() error {
		one := b
		out[id] = &one
		return nil
	}); err != nil {
		return nil, pg.Translate(err)
	}
	return out, nil
}

// heartbeatTogether leaves out those whose agent is locked.
var heartbeatAlone, heartbeatTogether = heartbeat + `)` + heartbeatJudged, heartbeat + ` SKIP LOCKED)` + heartbeatJudged

// The agents' rows are locked before any instance is touched, as every change of
// roles does it, and all in the order of their ids: in another order a failover,
// or a pricing report, could meet a heartbeat in a deadlock.
var heartbeat = `
WITH h AS (
	SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
		AS h(agent_id, tenant, instance_id, status, type, zone, bought)),
a AS (
	SELECT a.id, a.client_id, a.status AS was, h.instance_id, h.status, h.type, h.zone, h.bought, p.id AS primary_id,
		CASE WHEN h.instance_id IS DISTINCT FROM p.id THEN ` + pg.PrimaryLost + ` ELSE false END AS lost
	FROM h JOIN agents a ON a.id = h.agent_id AND a.client_id = h.tenant
	LEFT JOIN instances p ON p.agent_id = a.id AND p.role = 'primary'
	WHERE a.status <> 'deleted' ORDER BY a.id FOR NO KEY UPDATE OF a`

// heartbeatJudged continues after the lock. A client's last sync is left to the statement that
// else is writing it, so that two statements never wait for each other's clients.
const heartbeatJudged = `,
speaker AS (
	SELECT a.*, CASE
			WHEN a.instance_id = '' AND a.status = 'offline' AND EXISTS (
				SELECT
				FROM instances o
				WHERE o.agent_id = a.id
					AND o.id IS DISTINCT FROM a.primary_id
					AND o.last_seen_at > clock_timestamp() - interval '2 minutes') THEN 'outside'
			WHEN a.instance_id = '' THEN 'unnamed'
			ELSE coalesce((SELECT i.role FROM instances i WHERE i.id = a.instance_id AND i.agent_id = a.id),
			'outside') END AS standing
	FROM a),
heard AS MATERIALIZED (
	SELECT i.id AS heard_id, s.*
	FROM speaker s
	JOIN instances i ON i.id = CASE WHEN s.standing = 'unnamed' THEN s.primary_id ELSE s.instance_id END
		AND i.agent_id = s.id
	WHERE s.instance_id <> '' OR s.status <> 'offline' ORDER BY i.id FOR NO KEY UPDATE OF i),
seen AS (
	UPDATE instances i SET last_seen_at = clock_timestamp(),
		mode = CASE WHEN i.mode = 'unknown' AND s.bought IN ('spot', 'ondemand') THEN s.bought ELSE i.mode END,
		instance_type = CASE WHEN i.instance_type IN ('', 'unknown')
		AND s.type <> '' THEN s.type ELSE i.instance_type END,
		az = CASE WHEN i.az IN ('', 'unknown') AND s.zone <> '' THEN s.zone ELSE i.az END,
		pool_id = CASE WHEN (i.instance_type IN ('', 'unknown') OR i.az IN ('', 'unknown'))
		AND s.type <> ''
		AND s.zone <> '' THEN s.type || '.' || s.zone ELSE i.pool_id END
	FROM heard s WHERE i.id = s.heard_id),
moved AS (
	UPDATE agents x SET status = s.status, last_heartbeat_at = clock_timestamp()
	FROM speaker s WHERE x.id = s.id AND s.standing IN ('primary', 'unnamed') AND x.status <> 'deleted'
	RETURNING x.id, x.client_id, s.was, x.status),
synced AS (
	UPDATE clients SET last_sync_at = now() WHERE id IN (
		SELECT c.id
		FROM clients c
		WHERE c.id IN (SELECT client_id FROM moved)
			AND (c.last_sync_at IS NULL OR c.last_sync_at < now() - interval '30 seconds')
		FOR NO KEY UPDATE SKIP LOCKED)),
told AS (
	SELECT client_id, id, 'agent_offline' AS type, 'warning' AS severity, 'Agent ' || id || ' went offline' AS message
	FROM moved
	WHERE status = 'offline' AND was <> 'offline'
	UNION ALL
	SELECT client_id, id, 'agent_online', 'info', 'Agent ' || id || ' is back online'
	FROM moved
	WHERE status = 'online' AND was = 'offline'),
events AS (
	INSERT INTO events (client_id, agent_id, type, severity, actor, message)
	SELECT client_id, id, type, severity, 'agent', message
	FROM told),
notes AS (
	INSERT INTO notifications (client_id, message, severity) SELECT client_id, message, severity FROM told)
SELECT id, standing, lost,
	CASE WHEN NOT EXISTS (SELECT
		FROM speaker
		WHERE was <> status) THEN set_config('synchronous_commit', 'off', true) END
	FROM speaker`
