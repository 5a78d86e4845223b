package views

import (
	"context"
	"time"

	"spotkeeper/internal/postgres/pg"
)

// FailoverPath is where the successor of a notice n came from, as SQL over its replica r:
// standby, launch, ondemand, switch, reported, or none when nothing took over.
const FailoverPath = `CASE
				WHEN n.result <> 'promoted' THEN 'none'
				WHEN r.id IS NULL THEN 'reported'
				WHEN r.kind = 'switch' THEN 'switch'
				WHEN r.kind IN ('manual', 'rebalance') AND coalesce(r.ready_at <= n.received_at, false) THEN 'standby'
				WHEN r.mode = 'ondemand' THEN 'ondemand'
				ELSE 'launch'
			END`

// FailoverView is a termination notice that was decided, with its times in milliseconds.
type FailoverView struct {
	OperationID string
	ClientID    string
	ClientName  string
	AgentID     string
	AgentName   string
	InstanceID  string
	NewPrimary  *string
	PoolID      string // of the instance that ended; empty when it is not known
	Door        string
	Outcome     string // promoted or lost
	Path        string
	ArrivedAt   time.Time
	TookMs      *float64 // from the first report of the notice until another instance was the primary; null: none was
	LeftMs      *float64 // to the deadline then; negative after it
	LaunchedMs  *float64 // from the first report; null when it ran already
	ReadyMs     *float64
}

// MostFailovers is how many failovers a distribution is made from.
const MostFailovers = 10_000

// Failovers lists the termination notices of a client, or of all, that arrived since a
// moment and were decided, newest first.
func (v *Views) Failovers(ctx context.Context, clientID string, since time.Time) ([]FailoverView, error) {
	return pg.QueryRows[FailoverView](ctx, v.DB, `
		WITH n AS (
			SELECT *, coalesce(arrived_at, received_at) AS began
			FROM notices
			WHERE kind = 'termination-notice'
			  AND result IN ('promoted', 'lost')
			  AND received_at >= $2
			  AND ($1 = '' OR client_id = $1)
			ORDER BY received_at DESC
			LIMIT $3)
		SELECT 'termination/' || n.agent_id || '/' || n.instance_id AS operation_id, n.client_id,
			c.name AS client_name, n.agent_id, a.logical_agent_id AS agent_name, n.instance_id, n.new_primary,
			coalesce(i.pool_id, '') AS pool_id, n.door, n.result AS outcome,
			`+FailoverPath+` AS path,
			n.began AS arrived_at,
			CASE WHEN n.result = 'promoted'
				THEN greatest(extract(epoch FROM n.decided_at - n.began) * 1000, 0)::float8 END AS took_ms,
			CASE WHEN n.result = 'promoted'
				THEN (extract(epoch FROM n.deadline - n.decided_at) * 1000)::float8 END AS left_ms,
			CASE WHEN r.launched_at > n.began
				THEN (extract(epoch FROM r.launched_at - n.began) * 1000)::float8 END AS launched_ms,
			CASE WHEN r.ready_at > n.began
				THEN (extract(epoch FROM r.ready_at - n.began) * 1000)::float8 END AS ready_ms
		FROM n
		JOIN clients c ON c.id = n.client_id
		JOIN agents a ON a.id = n.agent_id
		LEFT JOIN instances i ON i.id = n.instance_id AND i.client_id = n.client_id
		LEFT JOIN LATERAL (SELECT r.*
			FROM replicas r
			WHERE r.agent_id = n.agent_id AND r.instance_id = n.new_primary
			ORDER BY r.created_at DESC
			LIMIT 1) r ON n.new_primary IS NOT NULL
		ORDER BY n.began DESC, n.agent_id`, clientID, since, MostFailovers)
}
