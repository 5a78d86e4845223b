package accounts

import (
	"context"

	"spotkeeper/internal/postgres/pg"
)

// RoleHealth notifies clients that their role cannot be assumed, and that it can again.
type RoleHealth struct{ DB *pg.DB }

// Refused notifies a client that STS refuses its role: once per hour while that lasts. The
// key of the notification holds this over all processes.
func (s *RoleHealth) Refused(ctx context.Context, clientID, why string) error {
	_, err := s.DB.Pool.Exec(ctx, `
WITH told AS (
    INSERT INTO notifications (client_id, message, severity, dedup_key)
    SELECT id,
        'Spotkeeper cannot act in the account of ' || name || ': ' || $2
            || '. Until that is mended no instance is replaced.',
        'critical',
        'role-refused:' || id || '/' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24')
    FROM clients
    WHERE id = $1
    ON CONFLICT (dedup_key) DO NOTHING
    RETURNING client_id, message, dedup_key)
INSERT INTO events (client_id, type, severity, message, dedup_key)
SELECT client_id, 'role_refused', 'critical', message, dedup_key
FROM told
ON CONFLICT (dedup_key) DO NOTHING`, clientID, why)
	return pg.Translate(err)
}

// Assumed notifies a client, once, that its refused role is assumed again.
func (s *RoleHealth) Assumed(ctx context.Context, clientID string) error {
	_, err := s.DB.Pool.Exec(ctx, `
WITH last AS (
    SELECT client_id, dedup_key
    FROM events
    WHERE client_id = $1
      AND type = 'role_refused'
    ORDER BY id DESC
    LIMIT 1),
told AS (
    INSERT INTO notifications (client_id, message, severity, dedup_key)
    SELECT client_id, 'Spotkeeper can act in the account again', 'info', 'mended:' || dedup_key
    FROM last
    ON CONFLICT (dedup_key) DO NOTHING
    RETURNING client_id, message, dedup_key)
INSERT INTO events (client_id, type, severity, message, dedup_key)
SELECT client_id, 'role_assumed', 'info', message, dedup_key
FROM told
ON CONFLICT (dedup_key) DO NOTHING`, clientID)
	return pg.Translate(err)
}
