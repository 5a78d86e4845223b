package views

import (
	"context"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres/pg"
)

// ReplicaView is a replica as pages and agents see it, with its agent's primary.
type ReplicaView struct {
	ID           string
	AgentID      string
	ClientID     string
	Kind         replica.Kind
	State        replica.State
	Launcher     agent.Launcher
	PoolID       *string // where it lives, or was asked to live; null: not chosen yet
	InstanceType *string
	Region       *string
	AZ           *string `db:"az"`
	InstanceID   *string
	SyncStatus   string
	SyncLatency  *int // milliseconds
	SyncProgress float64
	HourlyCost   *float64 // USD
	TotalCost    float64  // USD, from launch to end or promotion
	CreatedBy    string
	Tags         map[string]string
	CreatedAt    time.Time
	ReadyAt      *time.Time
	EndedAt      *time.Time
	AgeSeconds   int
	Active       bool // it can take over, or it has and still is the primary

	PrimaryID     string
	PrimaryType   string
	PrimaryRegion string
	PrimaryAZ     string
	PrimaryMode   string
}

// selectReplicas computes costs in the statement, because the row only has the
// price: the cost so far depends on the time.
const selectReplicas = `
SELECT r.id, r.agent_id, r.client_id, r.kind, r.state, r.launcher, w.pool_id,
       p.instance_type, p.region, p.az, r.instance_id, r.sync_status, r.sync_latency_ms AS sync_latency,
       r.sync_progress::float8 AS sync_progress, r.hourly_cost::float8 AS hourly_cost,
       round(coalesce(nullif(r.total_cost, 0), r.hourly_cost * extract(epoch FROM
           coalesce(r.ended_at, r.promoted_at, now()) - r.launched_at) / 3600, 0), 4)::float8 AS total_cost,
       r.created_by, r.tags, r.created_at, r.ready_at, r.ended_at,
       greatest(0, extract(epoch FROM now() - r.created_at))::int AS age_seconds,
       r.state IN ('requested', 'launching', 'running', 'ready')
           OR (r.state = 'promoted' AND coalesce(i.id = r.instance_id, false)) AS active,
       coalesce(i.id, '') AS primary_id, coalesce(i.instance_type, '') AS primary_type,
       coalesce(i.region, '') AS primary_region, coalesce(i.az, '') AS primary_az,
       coalesce(i.mode, 'unknown') AS primary_mode
FROM replicas r
CROSS JOIN LATERAL (SELECT coalesce(r.pool_id, nullif(r.plan->>'pool', '')) AS pool_id) w
LEFT JOIN pools p ON p.id = w.pool_id
LEFT JOIN instances i ON i.agent_id = r.agent_id AND i.role = 'primary'
`

// AgentReplicas lists an agent's replicas, newest first: the active ones, or all
// with ended. A promoted one is active while its instance is the primary.
func (v *Views) AgentReplicas(
	ctx context.Context,
	clientID, agentID string,
	ended bool,
	p pg.Page,
) ([]ReplicaView, error) {
	at, id := p.From()
	return pg.QueryRows[ReplicaView](ctx, v.DB,
		`SELECT * FROM (`+selectReplicas+`WHERE r.agent_id = $1 AND ($2 = '' OR r.client_id = $2)
			AND r.created_at <= $4 AND (r.created_at < $4 OR r.id > $5)) x
		WHERE active OR $3 ORDER BY created_at DESC, id LIMIT $6`, agentID, clientID, ended, at, id, p.UpTo())
}

// ClientReplicas lists the standbys of a client's agents, newest first.
func (v *Views) ClientReplicas(ctx context.Context, clientID string, p pg.Page) ([]ReplicaView, error) {
	at, id := p.From()
	return pg.QueryRows[ReplicaView](ctx, v.DB, selectReplicas+`WHERE r.client_id = $1
		AND r.state IN ('requested', 'launching', 'running', 'ready')
		AND r.created_at <= $2
		AND (r.created_at < $2 OR r.id > $3)
		ORDER BY r.created_at DESC, r.id LIMIT $4`, clientID, at, id, p.UpTo())
}

// Replica reads one replica of an agent. Fails with replica.not_found.
func (v *Views) Replica(ctx context.Context, clientID, agentID, id string) (*ReplicaView, error) {
	r, err := pg.QueryRow[ReplicaView](ctx, v.DB,
		selectReplicas+`WHERE r.id = $1 AND r.agent_id = $2 AND ($3 = '' OR r.client_id = $3)`, id, agentID, clientID)
	if pg.IsNoRows(err) {
		return nil, replica.NotFound.New("Replica not found")
	}
	return r, err
}

// ToLaunch is a replica that an agent is to launch.
type ToLaunch struct {
	ID         string
	PoolID     string
	AZ         string `db:"az"`
	Kind       replica.Kind
	CreatedAt  time.Time
	AgeSeconds int
}

// ReplicasToLaunch lists the replicas that the agent itself must launch: decided, not begun,
// due, and with a pool. It leaves out everything that the control plane launches, because a
// deployed agent launches each element of the list. For a minute it also leaves out requests
// that no workflow has taken up, because no workflow would learn of the launch. After that
// minute the page of the operation is taken to be unwritten, and the workflow to run.
func (v *Views) ReplicasToLaunch(ctx context.Context, clientID, agentID string) ([]ToLaunch, error) {
	return pg.QueryRows[ToLaunch](ctx, v.DB, `
		SELECT r.id, w.pool_id, coalesce(p.az, regexp_replace(w.pool_id, '^.*\.', '')) AS az, r.kind, r.created_at,
		       greatest(0, extract(epoch FROM now() - r.created_at))::int AS age_seconds
		FROM replicas r
		CROSS JOIN LATERAL (SELECT coalesce(r.pool_id, nullif(r.plan->>'pool', '')) AS pool_id) w
		LEFT JOIN pools p ON p.id = w.pool_id
		WHERE r.agent_id = $1 AND ($2 = '' OR r.client_id = $2) AND r.launcher = 'agent' AND r.kind <> 'switch'
		  AND r.state IN ('requested', 'launching') AND r.instance_id IS NULL AND w.pool_id IS NOT NULL
		  AND coalesce(r.not_before, now()) <= now()
		  AND (EXISTS (SELECT FROM operations o WHERE o.id = 'replica/' || r.id AND o.phase <> 'requested')
		  OR r.created_at < now() - interval '1 minute')
		ORDER BY r.created_at, r.id`, agentID, clientID)
}
