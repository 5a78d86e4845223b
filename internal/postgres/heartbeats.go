package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/agent"
)

// Beat is what became of a heartbeat.
type Beat struct {
	Standing agent.Standing
	// Silent says that the agent's primary is gone or has been silent for
	// agent.LostAfter, so that an outside instance may follow it.
	Silent bool
}

// Heartbeat records a sign of life in one statement, judged by (agent,
// instance). From the primary it is the agent's status; from any other instance
// it is that instance's alone. An old program that does not say where it runs
// speaks for the agent, unless it says goodbye while another instance of the
// agent is alive: then it is probably the replaced one, and agent-health finds
// out if it was not. Transitions to and from offline are told to the client in
// the same statement. One that brings no transition waits for no disk: a crash of
// the database that loses it is followed by the next one half a minute later.
// Fails with agent.not_found, also for a deleted agent.
func (s *Agents) Heartbeat(ctx context.Context, h agent.Heartbeat) (*Beat, error) {
	var out Beat
	var lazily *string
	err := s.DB.Pool.QueryRow(ctx, heartbeat, h.AgentID, h.ClientID, h.InstanceID, h.Status, agent.Known(h.Type), agent.Known(h.AZ), h.Mode, agent.LostAfter.Seconds()).
		Scan(&out.Standing, &out.Silent, &lazily)
	if noRows(err) {
		return nil, agent.NotFound.New("Agent not found")
	}
	if err != nil {
		return nil, translate(err)
	}
	return &out, nil
}

// The agent's row is locked before any instance is touched, as every change of
// roles does it: in another order a failover could meet a heartbeat in a deadlock.
const heartbeat = `
WITH a AS (
	SELECT a.id, a.client_id, a.status AS was, p.id AS primary_id,
		p.id IS NULL OR greatest(p.last_seen_at, p.primary_since, p.installed_at) < clock_timestamp() - $8::float8 * interval '1 second' AS silent
	FROM agents a LEFT JOIN instances p ON p.agent_id = a.id AND p.role = 'primary'
	WHERE a.id = $1 AND a.client_id = $2 AND a.status <> 'deleted' FOR NO KEY UPDATE OF a),
speaker AS (
	SELECT a.*, CASE
			WHEN $3 = '' AND $4 = 'offline' AND EXISTS (
				SELECT FROM instances o WHERE o.agent_id = a.id AND o.id IS DISTINCT FROM a.primary_id AND o.last_seen_at > clock_timestamp() - interval '2 minutes') THEN 'outside'
			WHEN $3 = '' THEN 'unnamed'
			ELSE coalesce((SELECT i.role FROM instances i WHERE i.id = $3 AND i.agent_id = a.id), 'outside') END AS standing
	FROM a),
seen AS (
	UPDATE instances i SET last_seen_at = clock_timestamp(),
		mode = CASE WHEN i.mode = 'unknown' AND $7 IN ('spot', 'ondemand') THEN $7 ELSE i.mode END,
		instance_type = CASE WHEN i.instance_type IN ('', 'unknown') AND $5 <> '' THEN $5 ELSE i.instance_type END,
		az = CASE WHEN i.az IN ('', 'unknown') AND $6 <> '' THEN $6 ELSE i.az END,
		pool_id = CASE WHEN (i.instance_type IN ('', 'unknown') OR i.az IN ('', 'unknown')) AND $5 <> '' AND $6 <> '' THEN $5 || '.' || $6 ELSE i.pool_id END
	FROM speaker s WHERE i.id = CASE WHEN s.standing = 'unnamed' THEN s.primary_id ELSE $3 END AND i.agent_id = s.id AND ($3 <> '' OR $4 <> 'offline')),
moved AS (
	UPDATE agents x SET status = $4, last_heartbeat_at = clock_timestamp()
	FROM speaker s WHERE x.id = s.id AND s.standing IN ('primary', 'unnamed') AND x.status <> 'deleted'
	RETURNING x.id, x.client_id, s.was, x.status),
synced AS (
	UPDATE clients SET last_sync_at = now() WHERE id = $2 AND EXISTS (SELECT FROM moved) AND (last_sync_at IS NULL OR last_sync_at < now() - interval '30 seconds')),
told AS (
	SELECT client_id, id, 'agent_offline' AS type, 'warning' AS severity, 'Agent ' || id || ' went offline' AS message FROM moved WHERE status = 'offline' AND was <> 'offline'
	UNION ALL
	SELECT client_id, id, 'agent_online', 'info', 'Agent ' || id || ' is back online' FROM moved WHERE status = 'online' AND was = 'offline'),
events AS (
	INSERT INTO events (client_id, agent_id, type, severity, actor, message) SELECT client_id, id, type, severity, 'agent', message FROM told),
notes AS (
	INSERT INTO notifications (client_id, message, severity) SELECT client_id, message, severity FROM told)
SELECT standing, silent, CASE WHEN was = $4 THEN set_config('synchronous_commit', 'off', true) END FROM speaker`

// TakeOver makes an outside instance the primary of an agent that has lost its
// own for good, if nothing else is about to. It says whether it did. Fails with
// agent.not_found, agent.instance_of_another_tenant and agent.instance_in_use.
func (s *Agents) TakeOver(ctx context.Context, agentID string, r agent.Registration) (bool, error) {
	took := false
	err := s.DB.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockAlive(ctx, tx, agentID); err != nil {
			return err
		}
		out := &Registered{}
		if err := tx.QueryRow(ctx, `SELECT a.id, a.logical_agent_id, coalesce(nullif($2, ''), p.region, '') FROM agents a
			LEFT JOIN instances p ON p.agent_id = a.id AND p.role = 'primary' WHERE a.id = $1`, agentID, r.Region).Scan(&out.AgentID, &r.LogicalID, &r.Region); err != nil {
			return err
		}
		if err := s.stand(ctx, tx, r, out); err != nil || out.Standing != agent.StandsOutside {
			return err
		}
		var err error
		took, err = takeOver(ctx, tx, agentID, r)
		return err
	})
	return took, err
}
