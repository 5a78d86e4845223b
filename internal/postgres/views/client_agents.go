package views

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres/pg"
)

// ClientAgent is an agent as the list of its client's agents shows it.
type ClientAgent struct {
	ID             string
	LogicalAgentID string
	Status         agent.Status
	AgentVersion   string
	Keeping        agent.StandbyMode
	Enabled        bool
	AutoTerminate  bool
	TerminateWait  int       // seconds
	LastHeartbeat  time.Time // zero: never
	InstanceCount  int       // not retired
	Primary        *PrimaryPlace
}

// PrimaryPlace is an agent's primary and where it is.
type PrimaryPlace struct {
	ID           string
	InstanceType string
	Region       string
	AZ           string
	Mode         string
	PoolID       string
}

// A list of a client's agents is two statements in one round trip, joined here: the
// agents, and what runs for them. Each reads one stretch of an index. To look the
// instances of each agent up costs Postgres several times as much.
const (
	agentsOfClient = `
SELECT id, logical_agent_id, status, agent_version, keeping, enabled, auto_terminate_enabled, terminate_wait_seconds,
    last_heartbeat_at
FROM agents
WHERE client_id = $1 AND status <> 'deleted'
ORDER BY last_heartbeat_at DESC NULLS LAST, id`

	liveInstancesOfClient = `
SELECT agent_id, role = 'primary', id, instance_type, region, az, mode, pool_id
FROM instances
WHERE client_id = $1 AND role <> 'retired' AND agent_id IS NOT NULL`

	pageOfAgents = `
SELECT id, logical_agent_id, status, agent_version, keeping, enabled, auto_terminate_enabled, terminate_wait_seconds,
    last_heartbeat_at
FROM agents
WHERE client_id = $1 AND status <> 'deleted' AND logical_agent_id > $2
ORDER BY logical_agent_id
LIMIT $3`

	liveInstancesOfPage = `
SELECT i.agent_id, i.role = 'primary', i.id, i.instance_type, i.region, i.az, i.mode, i.pool_id
FROM (
	SELECT id
	FROM agents
	WHERE client_id = $1 AND status <> 'deleted' AND logical_agent_id > $2
	ORDER BY logical_agent_id
	LIMIT $3) a
JOIN instances i ON i.agent_id = a.id AND i.role <> 'retired'`
)

// ClientAgents lists a client's agents that are not deleted, newest heartbeat
// first, or in pages by logical id.
func (v *Views) ClientAgents(ctx context.Context, clientID string, p pg.Page) ([]ClientAgent, error) {
	found := &clientAgents{list: []ClientAgent{}, places: map[string]int{}}
	b := &pgx.Batch{}
	if p.Whole() {
		b.Queue(agentsOfClient, clientID).Query(found.agents)
		b.Queue(liveInstancesOfClient, clientID).Query(found.instances)
	} else {
		b.Queue(pageOfAgents, clientID, p.After.ID, p.UpTo()).Query(found.agents)
		b.Queue(liveInstancesOfPage, clientID, p.After.ID, p.UpTo()).Query(found.instances)
	}
	if err := v.DB.Pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, pg.Translate(err)
	}
	return found.list, nil
}

// clientAgents collects a list of agents.
type clientAgents struct {
	list   []ClientAgent
	places map[string]int // in the list, by id
}

// alike is a text that is the same in most rows, and then is not copied again.
type alike string

// ScanBytes implements pgtype.BytesScanner.
func (a *alike) ScanBytes(v []byte) error {
	if string(*a) != string(v) {
		*a = alike(v)
	}
	return nil
}

func (c *clientAgents) agents(r pgx.Rows) error {
	var (
		a                        ClientAgent
		status, version, keeping alike
		heartbeat                pgtype.Timestamptz
	)
	to := []any{&a.ID, &a.LogicalAgentID, &status, &version, &keeping, &a.Enabled, &a.AutoTerminate, &a.TerminateWait,
		&heartbeat}
	_, err := pgx.ForEachRow(r, to, func() error {
		a.Status, a.AgentVersion, a.Keeping, a.LastHeartbeat = agent.Status(status), string(version), agent.StandbyMode(
			keeping), heartbeat.Time
		c.places[a.ID] = len(c.list)
		c.list = append(c.list, a)
		return nil
	})
	return err
}

func (c *clientAgents) instances(r pgx.Rows) error {
	var (
		agentID, id                    string
		leads                          bool
		kind, region, zone, mode, pool alike
	)
	_, err := pgx.ForEachRow(r, []any{&agentID, &leads, &id, &kind, &region, &zone, &mode, &pool}, func() error {
		n, listed := c.places[agentID]
		if !listed { // it is deleted, or was made a moment ago
			return nil
		}
		c.list[n].InstanceCount++
		if leads {
			c.list[n].Primary = &PrimaryPlace{
				ID:           id,
				InstanceType: string(kind),
				Region:       string(region),
				AZ:           string(zone),
				Mode:         string(mode),
				PoolID:       string(pool),
			}
		}
		return nil
	})
	return err
}
