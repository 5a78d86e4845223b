package views

import (
	"context"
	"encoding/json"
	"time"

	"spotkeeper/internal/postgres/pg"
)

// Changes reads what changed since a moment, for streams. A row that changed
// twice is sent once, in its present state.
type Changes struct{ DB *pg.DB }

// Change is one thing that is different now. Kind is operation, notice or roles.
type Change struct {
	At       time.Time
	Kind     string
	ClientID string
	Key      string // of the row, so that (Kind, Key, At) names the change
	Data     json.RawMessage
}

// Now reads the database's clock, by which changes are stamped.
func (c *Changes) Now(ctx context.Context) (time.Time, error) { return c.DB.Now(ctx) }

// Since lists the oldest changes after a moment, of one client or with an empty
// clientID of all. A change is stamped before it is committed, so one that took
// long may appear behind the newest: who follows along asks again for the last
// seconds.
func (c *Changes) Since(ctx context.Context, clientID string, since time.Time, limit int) ([]Change, error) {
	return pg.QueryRows[Change](ctx, c.DB, `
		SELECT at, kind, client_id, key, data FROM (
			(SELECT updated_at AS at, 'operation' AS kind, client_id, id AS key,
			jsonb_build_object('id', id, 'kind', kind, 'agent_id', agent_id,
				'state', state, 'phase', phase, 'summary', summary, 'instance_id', instance_id, 'new_instance_id',
				new_instance_id,
				'replica_id', replica_id, 'error_code', error_code) AS data
			 FROM operations WHERE updated_at > $2 AND ($1 = '' OR client_id = $1) ORDER BY updated_at LIMIT $3)
			UNION ALL
			(SELECT coalesce(decided_at, delivered_at, received_at), 'notice', client_id,
			agent_id || '/' || instance_id || '/' || kind,
				jsonb_build_object('agent_id', agent_id, 'instance_id', instance_id, 'kind', kind, 'deadline',
				to_char(deadline AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
				'delivered', delivered_at IS NOT NULL, 'result', result, 'new_primary', new_primary)
			 FROM notices WHERE coalesce(decided_at, delivered_at, received_at) > $2 AND ($1 = '' OR client_id = $1)
			 ORDER BY coalesce(decided_at, delivered_at, received_at) LIMIT $3)
			UNION ALL
			(SELECT changed_at, 'roles', client_id, agent_id || '/' || epoch,
			jsonb_build_object('agent_id', agent_id, 'epoch', epoch,
				'old_primary', old_id, 'new_primary', new_id, 'replica_id', replica_id, 'cause', cause, 'operation_id',
				operation_id)
			 FROM role_changes WHERE changed_at > $2 AND ($1 = '' OR client_id = $1) ORDER BY changed_at LIMIT $3)
		) x ORDER BY at, kind, key LIMIT $3`, clientID, since, limit)
}
