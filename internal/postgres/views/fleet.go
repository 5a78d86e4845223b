package views

import (
	"context"
	"time"

	"spotkeeper/internal/postgres/pg"
)

// FleetView is an agent in a list of a fleet: its names, its place and cost, and its
// standbys.
type FleetView struct {
	ID             string
	LogicalAgentID string
	ClientID       string
	ClientName     string
	Status         string
	Keeping        string
	Launcher       string
	Enabled        bool
	Epoch          int64
	AgentVersion   string
	LastHeartbeat  *time.Time
	InstanceID     *string
	InstanceType   *string
	AZ             *string `db:"az"`
	Region         *string
	Mode           *string
	PoolID         *string
	Price          *float64 // USD per hour of the primary now
	OnDemand       *float64 // USD per hour
	Risk           *float64 // of being interrupted within a day, as it was decided last
	StandbyID      *string  // the open replica that is furthest
	StandbyState   *string
	StandbyOn      *string // its instance
	PausedUntil    *time.Time
	PauseScope     *string
	OperationID    *string // the newest that runs and is no standby's
	OperationKind  *string
	Phase          *string
	Notice         *string // kind of the notice that is not decided
}

// FleetFilter chooses agents. Empty members do not filter.
type FleetFilter struct {
	ClientID, Status, Mode string
	Text                   string  // part of the logical id, or the beginning of an id
	Needs                  string  // primary, standby: agents that lack it; pause: those that are paused
	Page                   pg.Page // by Key
}

// Key is the place of an agent in the list.
func (x FleetView) Key() string { return x.LogicalAgentID + "/" + x.ID }

const fleetChosen = `
	a.status <> 'deleted'
	AND ($1 = '' OR a.client_id = $1)
	AND ($2 = '' OR a.status = $2)
	AND ($3 = '' OR EXISTS (SELECT FROM instances i WHERE i.agent_id = a.id AND i.role = 'primary' AND i.mode = $3))
	AND ($4 = '' OR strpos(lower(a.logical_agent_id), lower($4)) > 0 OR starts_with(a.id, $4)
		OR EXISTS (SELECT FROM instances i WHERE i.agent_id = a.id AND i.role <> 'retired' AND starts_with(i.id, $4)))
	AND ($5 <> 'primary'
	OR a.enabled
	AND NOT EXISTS (SELECT FROM instances i WHERE i.agent_id = a.id AND i.role = 'primary'))
	AND ($5 <> 'standby' OR a.enabled AND a.keeping = 'manual'
		AND NOT EXISTS (SELECT FROM replicas r WHERE r.agent_id = a.id AND r.kind = 'manual' AND r.state = 'ready'))
	AND ($5 <> 'pause' OR EXISTS (SELECT FROM pauses p WHERE p.until > now()
		AND (p.scope = 'global'
		OR p.scope = 'client'
		AND p.client_id = a.client_id
		OR p.scope = 'agent'
		AND p.agent_id = a.id)))`

// Fleet lists agents by logical id, one more than the limit when there are more.
func (v *Views) Fleet(ctx context.Context, f FleetFilter) ([]FleetView, error) {
	return pg.QueryRows[FleetView](ctx, v.DB, `
		WITH page AS MATERIALIZED (
			SELECT a.*
			FROM agents a
			WHERE `+fleetChosen+`
			  AND a.logical_agent_id || '/' || a.id > $6
			ORDER BY a.logical_agent_id || '/' || a.id
			LIMIT $7)
		SELECT a.id, a.logical_agent_id, a.client_id, c.name AS client_name, a.status, a.keeping, a.launcher, a.enabled,
			a.epoch, a.agent_version,
			a.last_heartbeat_at AS last_heartbeat, i.id AS instance_id, i.instance_type, i.az, i.region, i.mode,
			i.pool_id,
			(CASE
				WHEN i.mode = 'ondemand' THEN coalesce(od.price, m.on_demand)
				ELSE coalesce(pp.price, m.spot)
			END)::float8 AS price,
			coalesce(od.price, m.on_demand)::float8 AS on_demand,
			(SELECT d.risks[1] FROM agent_decisions d WHERE d.agent_id = a.id) AS risk,
			r.id AS standby_id, r.state AS standby_state, r.instance_id AS standby_on,
			p.until AS paused_until, p.scope AS pause_scope,
			o.id AS operation_id, o.kind AS operation_kind, o.phase, n.kind AS notice
		FROM page a
		JOIN clients c ON c.id = a.client_id
		LEFT JOIN LATERAL (
			SELECT * FROM instances x WHERE x.agent_id = a.id AND x.role = 'primary' LIMIT 1) i ON true
		LEFT JOIN LATERAL ( -- what the agent measured, which is the price of Linux
			SELECT i.ondemand_price AS on_demand, i.spot_price AS spot
			WHERE i.product IN ('', 'Linux/UNIX')) m ON true
		LEFT JOIN `+pg.SpotPrices+` pp ON pp.pool_id = i.pool_id AND pp.product = coalesce(nullif(i.product, ''), 'Linux/UNIX')
		LEFT JOIN `+pg.ListPrices+` od ON od.region = i.region
			AND od.instance_type = i.instance_type
			AND od.product = coalesce(nullif(i.product, ''), 'Linux/UNIX')
		LEFT JOIN LATERAL (
			SELECT * FROM replicas x
			WHERE x.agent_id = a.id AND x.kind <> 'switch' AND x.state IN ('requested', 'launching', 'running', 'ready')
			ORDER BY array_position(ARRAY['ready', 'running', 'launching', 'requested'], x.state) LIMIT 1) r ON true
		LEFT JOIN LATERAL (
			SELECT x.until, x.scope FROM pauses x
			WHERE x.until > now()
			  AND (x.scope = 'global'
			  OR x.scope = 'client'
			  AND x.client_id = a.client_id
			  OR x.scope = 'agent'
			  AND x.agent_id = a.id)
			ORDER BY x.until DESC LIMIT 1) p ON true
		LEFT JOIN LATERAL (
			SELECT * FROM operations x
			WHERE x.agent_id = a.id AND x.state = 'running' AND x.kind <> 'replica'
			ORDER BY x.started_at DESC LIMIT 1) o ON true
		LEFT JOIN LATERAL (
			SELECT x.kind FROM notices x
			WHERE x.agent_id = a.id AND x.result = '' AND x.received_at > now() - interval '1 day'
			ORDER BY x.received_at DESC LIMIT 1) n ON true
		ORDER BY a.logical_agent_id || '/' || a.id`,
		f.ClientID, f.Status, f.Mode, f.Text, f.Needs, f.Page.After.ID, f.Page.UpTo())
}

// FleetSize counts the agents that a filter chooses.
func (v *Views) FleetSize(ctx context.Context, f FleetFilter) (int, error) {
	type size struct{ N int }
	n, err := pg.QueryRow[size](ctx, v.DB, `SELECT count(*) AS n FROM agents a WHERE `+fleetChosen, f.ClientID,
		f.Status, f.Mode, f.Text, f.Needs)
	if err != nil {
		return 0, err
	}
	return n.N, nil
}
