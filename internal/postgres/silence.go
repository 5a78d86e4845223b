package postgres

import (
	"context"
	"time"

	"spotkeeper/internal/postgres/pg"
)

// Silence finds agents and instances that no longer speak.
type Silence struct{ DB *pg.DB }

// MarkSilent marks agents offline that are online and silent for longer than the
// timeout, at most limit at once, and tells their clients in the same statement:
// once per silence, which the last heartbeat names. It says how many it marked.
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
