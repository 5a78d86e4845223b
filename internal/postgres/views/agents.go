package views

import (
	"context"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres/pg"
)

// AgentView is an agent with its primary.
type AgentView struct {
	ID             string
	ClientID       string
	ClientName     string
	LogicalAgentID string
	Hostname       string
	Status         agent.Status
	AgentVersion   string
	Launcher       agent.Launcher
	Epoch          int64
	Keeping        agent.StandbyMode
	Enabled        bool
	AutoTerminate  bool
	TerminateWait  int // seconds
	LastHeartbeat  *time.Time
	CreatedAt      time.Time
	UpdatedAt      time.Time
	InstanceCount  int // not retired

	InstanceID   *string
	InstanceType *string
	Region       *string
	AZ           *string `db:"az"`
	Mode         *string
	PoolID       *string
	InstalledAt  *time.Time
	TerminatedAt *time.Time // the agent's end; null while it lives
}

// selectAgents looks each agent's primary and number of instances up by index. A
// plain join leaves it to statistics, which a young database does not have, to see
// that; without them the planner went through all primaries for each agent.
const selectAgents = `
SELECT a.id, a.client_id, c.name AS client_name, a.logical_agent_id, a.hostname, a.status, a.agent_version, a.launcher,
    a.epoch, a.keeping,
       a.enabled, a.auto_terminate_enabled AS auto_terminate, a.terminate_wait_seconds AS terminate_wait,
       a.last_heartbeat_at AS last_heartbeat, a.created_at, a.updated_at,
       (SELECT count(*) FROM instances n WHERE n.agent_id = a.id AND n.role <> 'retired') AS instance_count,
       i.id AS instance_id, i.instance_type, i.region, i.az, i.mode, i.pool_id, i.installed_at, a.terminated_at
FROM agents a
JOIN clients c ON c.id = a.client_id
LEFT JOIN LATERAL (
	SELECT * FROM instances p WHERE p.agent_id = a.id AND p.role = 'primary' LIMIT 1) i ON true
WHERE ($1 = '' OR a.client_id = $1)
`

// AgentHistory lists all agents a client ever had: online, offline, deleted,
// others, each with the newest heartbeat first, or in pages by logical id.
func (v *Views) AgentHistory(ctx context.Context, clientID string, p pg.Page) ([]AgentView, error) {
	if p.Whole() {
		return pg.QueryRows[AgentView](ctx, v.DB,
			selectAgents+
				`ORDER BY CASE a.status WHEN 'online' THEN 1 WHEN 'offline' THEN 2 WHEN 'deleted' THEN 3 ELSE 4 END,
			a.last_heartbeat_at DESC NULLS LAST, a.id`, clientID)
	}
	return pg.QueryRows[AgentView](ctx, v.DB,
		selectAgents+`AND a.logical_agent_id > $2 ORDER BY a.logical_agent_id LIMIT $3`, clientID, p.After.ID, p.UpTo())
}

// AllAgents lists agents of all tenants: the whole list up to most of them, newest
// heartbeat first, or in pages by id.
func (v *Views) AllAgents(ctx context.Context, status string, p pg.Page, most int) ([]AgentView, error) {
	const all = selectAgents + `AND ($2 = '' OR a.status = $2) AND a.id > $3 `
	if p.Whole() {
		return pg.QueryRows[AgentView](ctx, v.DB, all+`ORDER BY a.last_heartbeat_at DESC NULLS LAST, a.id LIMIT $4`,
			"", status, "", most)
	}
	return pg.QueryRows[AgentView](ctx, v.DB, all+`ORDER BY a.id LIMIT $4`, "", status, p.After.ID, p.UpTo())
}

// Agent reads one agent, deleted or not. Fails with agent.not_found.
func (v *Views) Agent(ctx context.Context, clientID, id string) (*AgentView, error) {
	a, err := pg.QueryRow[AgentView](ctx, v.DB, selectAgents+`AND a.id = $2`, clientID, id)
	if pg.IsNoRows(err) {
		return nil, agent.NotFound.New("Agent not found")
	}
	return a, err
}
