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

// Place is where a reader of changes is: behind the change with this stamp, kind and key. One
// without a kind is before everything with its stamp.
type Place struct {
	At        time.Time
	Kind, Key string
}

// PlaceOf is the place behind a change.
func PlaceOf(c Change) Place { return Place{c.At, c.Kind, c.Key} }

// Since lists the oldest changes behind a place, of one client or with an empty clientID of
// all. A change is stamped before it is committed, so one that took long may appear behind
// the newest: a reader that follows along asks again for the last seconds. Many changes may
// have one stamp, those of one transaction, so a reader continues from a place.
func (c *Changes) Since(ctx context.Context, clientID string, after Place, limit int) ([]Change, error) {
	return pg.QueryRows[Change](ctx, c.DB, changesSince, clientID, after.At, limit, after.Kind, after.Key)
}

const changesSince = `
SELECT at, kind, client_id, key, data
FROM (
    (SELECT updated_at AS at, 'operation' AS kind, client_id, id AS key,
        jsonb_build_object('id', id, 'kind', kind, 'agent_id', agent_id, 'state', state, 'phase', phase,
            'summary', summary, 'instance_id', instance_id, 'new_instance_id', new_instance_id,
            'replica_id', replica_id, 'error_code', error_code) AS data
    FROM operations
    WHERE updated_at >= $2
      AND (updated_at, 'operation'::text, id) > ($2, $4::text, $5::text)
      AND ($1 = '' OR client_id = $1)
    ORDER BY updated_at, id
    LIMIT $3)
    UNION ALL
    (SELECT coalesce(decided_at, delivered_at, received_at) AS at, 'notice', client_id,
        agent_id || '/' || instance_id || '/' || kind AS key,
        jsonb_build_object('agent_id', agent_id, 'instance_id', instance_id, 'kind', kind,
            'deadline', to_char(deadline AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'delivered', delivered_at IS NOT NULL, 'result', result, 'new_primary', new_primary)
    FROM notices
    WHERE coalesce(decided_at, delivered_at, received_at) >= $2
      AND (coalesce(decided_at, delivered_at, received_at), 'notice'::text,
          agent_id || '/' || instance_id || '/' || kind) > ($2, $4::text, $5::text)
      AND ($1 = '' OR client_id = $1)
    ORDER BY 1, 4
    LIMIT $3)
    UNION ALL
    (SELECT changed_at AS at, 'roles', client_id, agent_id || '/' || epoch AS key,
        jsonb_build_object('agent_id', agent_id, 'epoch', epoch, 'old_primary', old_id, 'new_primary', new_id,
            'replica_id', replica_id, 'cause', cause, 'operation_id', operation_id)
    FROM role_changes
    WHERE changed_at >= $2
      AND (changed_at, 'roles'::text, agent_id || '/' || epoch) > ($2, $4::text, $5::text)
      AND ($1 = '' OR client_id = $1)
    ORDER BY 1, 4
    LIMIT $3)
) x
ORDER BY at, kind, key
LIMIT $3`
