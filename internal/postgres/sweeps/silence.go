package sweeps

import (
	"context"
	"time"

	"spotkeeper/internal/postgres/pg"
)

// Silence finds agents and instances that have stopped sending heartbeats.
type Silence struct{ DB *pg.DB }

// MarkSilent marks online agents as offline when they have been silent for longer than the
// timeout, at most limit at once, and notifies their clients in the same statement. A
// silence, identified by its last heartbeat, is notified once. It returns how many it marked.
func (s *Silence) MarkSilent(ctx context.Context, timeout time.Duration, limit int) (int, error) {
	var n int
	err := s.DB.Pool.QueryRow(ctx, `WITH silent AS (
			SELECT id
			FROM agents
			WHERE status = 'online'
				AND coalesce(last_heartbeat_at, created_at) < clock_timestamp() - $1::float8 * interval '1 second'
			ORDER BY last_heartbeat_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED),
		marked AS (
			UPDATE agents a SET status = 'offline', updated_at = now() FROM silent WHERE a.id = silent.id
			RETURNING a.id, a.client_id, a.last_heartbeat_at, coalesce(nullif(a.hostname, ''), a.id) AS name,
				'silent:' || a.id || '/' || coalesce(extract(epoch FROM a.last_heartbeat_at)::text, 'never') AS key),
		event AS (
			INSERT INTO events (client_id, agent_id, type, severity, message, metadata, dedup_key)
			SELECT client_id, id, 'agent_marked_offline', 'warning',
				'Agent ' || name || ' marked offline (heartbeat timeout)',
				jsonb_build_object('timeout_seconds', $1::float8, 'last_heartbeat_at', last_heartbeat_at), key
				FROM marked
				ON CONFLICT (dedup_key) DO NOTHING),
		notification AS (
			INSERT INTO notifications (client_id, message, severity, dedup_key)
			SELECT client_id, 'Agent ' || name || ' marked offline (heartbeat timeout)', 'warning', key
			FROM marked
			ON CONFLICT (dedup_key) DO NOTHING)
		SELECT count(*) FROM marked`, timeout.Seconds(), limit).Scan(&n)
	return n, pg.Translate(err)
}

// NotifySilentSuccessors notifies clients of each new primary that has sent no heartbeat
// although it has been the primary for longer than after. The key of the notification makes
// it once per primary. Agents whose earlier instances were silent too are left out.
func (s *Silence) NotifySilentSuccessors(ctx context.Context, after time.Duration) (int, error) {
	tag, err := s.DB.Pool.Exec(ctx, `
WITH silent AS (
    SELECT a.client_id, a.id, p.id AS instance_id, 'silent-heir:' || p.id AS key,
        a.logical_agent_id || ' runs on ' || p.id || ' since ' || to_char(h.changed_at AT TIME ZONE 'UTC', 'HH24:MI')
            || ' UTC, and the agent there was never heard of: the instance runs, its work may not.'
            || ' Have the image or the user data start the agent at boot, or move the agent.' AS message
    FROM instances p
    JOIN agents a ON a.id = p.agent_id
    JOIN role_changes h ON h.agent_id = a.id AND h.new_id = p.id AND h.epoch = p.epoch
    JOIN instances o ON o.id = h.old_id AND o.agent_id = a.id AND o.last_seen_at IS NOT NULL
    WHERE p.role = 'primary'
      AND p.last_seen_at IS NULL
      AND p.primary_since < clock_timestamp() - $1::float8 * interval '1 second'
      AND a.status <> 'deleted'
      AND NOT EXISTS (
        SELECT
        FROM events e
        WHERE e.dedup_key = 'silent-heir:' || p.id)),
notified AS (
    INSERT INTO notifications (client_id, message, severity, dedup_key)
    SELECT client_id, message, 'error', key
    FROM silent
    ON CONFLICT (dedup_key) DO NOTHING)
INSERT INTO events (client_id, agent_id, type, severity, message, metadata, dedup_key)
SELECT client_id, id, 'heir_silent', 'error', message, jsonb_build_object('instance_id', instance_id), key
FROM silent
ON CONFLICT (dedup_key) DO NOTHING`, after.Seconds())
	return int(tag.RowsAffected()), pg.Translate(err)
}
