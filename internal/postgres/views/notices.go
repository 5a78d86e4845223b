package views

import (
	"context"
	"time"

	"spotkeeper/internal/postgres/pg"
)

// NoticeView is one notice with the agent and the operation that it is about.
type NoticeView struct {
	ClientID       string
	ClientName     string
	AgentID        string
	LogicalAgentID string
	InstanceID     string
	PoolID         string // of the instance; empty when it is not known
	Kind           string
	Door           string
	Action         string // empty: not known
	Arrivals       int
	ArrivedAt      time.Time // at the first door
	ReceivedAt     time.Time // durable
	DeliveredAt    *time.Time
	DecidedAt      *time.Time
	Deadline       time.Time
	Result         string // empty: not decided
	NewPrimary     *string
	OperationID    *string
	OperationState *string
	Phase          *string
	Open           bool
}

// NoticeFilter chooses notices. Empty members do not filter.
type NoticeFilter struct {
	ClientID, AgentID, Door, Kind string
	Open                          bool // only those that stand
	Page                          pg.Page
}

// A notice stands until it is decided and, for a termination, until its deadline has
// passed or its operation has ended. A lost one stands for an hour.
const noticeStands = `(
	(n.result = '' AND n.received_at > now() - interval '1 day')
	OR (n.kind = 'termination-notice' AND n.result <> 'not_primary' AND n.deadline > now() AND coalesce(o.state = 'running', true))
	OR (n.result = 'lost' AND n.deadline > now() - interval '1 hour'))`

// Notices lists notices, newest first, one more than the limit when there are more.
func (v *Views) Notices(ctx context.Context, f NoticeFilter) ([]NoticeView, error) {
	at, id := f.Page.From()
	return pg.QueryRows[NoticeView](ctx, v.DB, `
		SELECT n.client_id, c.name AS client_name, n.agent_id, a.logical_agent_id, n.instance_id,
			coalesce(i.pool_id, '') AS pool_id,
			n.kind, n.door, n.action, n.arrivals, coalesce(n.arrived_at, n.received_at) AS arrived_at, n.received_at,
			n.delivered_at, n.decided_at,
			n.deadline, n.result, n.new_primary, o.id AS operation_id, o.state AS operation_state, o.phase, `+
		noticeStands+` AS open
		FROM notices n
		JOIN clients c ON c.id = n.client_id
		JOIN agents a ON a.id = n.agent_id
		LEFT JOIN instances i ON i.id = n.instance_id
		LEFT JOIN operations o ON n.kind = 'termination-notice'
			AND o.id = 'termination/' || n.agent_id || '/' || n.instance_id
		WHERE ($1 = '' OR n.client_id = $1)
		  AND ($2 = '' OR n.agent_id = $2)
		  AND ($3 = '' OR n.door = $3)
		  AND ($4 = '' OR n.kind = $4)
		  AND (NOT $5 OR `+noticeStands+`)
		  AND n.received_at <= $6
		  AND (n.received_at < $6 OR n.agent_id || '/' || n.instance_id || '/' || n.kind > $7)
		ORDER BY n.received_at DESC, n.agent_id || '/' || n.instance_id || '/' || n.kind
		LIMIT $8`, f.ClientID, f.AgentID, f.Door, f.Kind, f.Open, at, id, f.Page.UpTo())
}
