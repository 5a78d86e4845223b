package views

import (
	"context"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/pg"
)

// InstanceNotFound means that there is no such instance, or it is not yours.
var InstanceNotFound = fault.Define("instance.not_found", fault.NotFound)

// InstanceView is an EC2 instance in its role.
type InstanceView struct {
	ID             string
	ClientID       string
	ClientName     string
	AgentID        *string
	LogicalAgentID *string
	AgentStatus    *string
	Role           string
	InstanceType   string
	Region         string
	AZ             string `db:"az"`
	Mode           string
	PoolID         string
	SpotPrice      *float64 // USD per hour
	OnDemandPrice  *float64 `db:"on_demand_price"`
	BaselinePrice  *float64
	Active         bool
	LastSwitch     *time.Time // when a switch made it primary
	InstalledAt    time.Time
	CreatedAt      time.Time
	Proof          string  // adoption.Proof
	Unproven       *string // why, and what repairs it; null when it is proven
}

// InstanceFilter chooses instances. Empty members do not filter.
type InstanceFilter struct {
	ClientID, Status, Mode, Region, Search string
	Page                                   pg.Page
}

// selectInstances uses the price of an instance's pool when its own was not reported.
const selectInstances = `
SELECT i.id, i.client_id, c.name AS client_name, i.agent_id, a.logical_agent_id, a.status AS agent_status, i.role,
       i.instance_type, i.region, i.az, i.mode, i.pool_id,
       coalesce(CASE WHEN i.product IN ('', 'Linux/UNIX') THEN i.spot_price END,
           CASE WHEN i.mode = 'spot' THEN p.price END)::float8 AS spot_price,
       coalesce(CASE WHEN i.product IN ('', 'Linux/UNIX') THEN i.ondemand_price END, o.price)::float8 AS on_demand_price,
       CASE WHEN i.product IN ('', 'Linux/UNIX') THEN i.baseline_price ELSE o.price END::float8 AS baseline_price,
       i.role <> 'retired' AS active, i.proof,
       CASE WHEN i.proof = 'unproven' THEN i.unproven_reason || ': ' || i.unproven_repair || '.' END AS unproven,
       s.at AS last_switch, i.installed_at, i.created_at
FROM instances i
JOIN clients c ON c.id = i.client_id
LEFT JOIN agents a ON a.id = i.agent_id
LEFT JOIN ` + pg.SpotPrices + ` p ON p.pool_id = i.pool_id AND p.product = coalesce(nullif(i.product, ''), 'Linux/UNIX')
LEFT JOIN ` + pg.ListPrices + ` o ON o.region = i.region
	AND o.instance_type = i.instance_type
	AND o.product = coalesce(nullif(i.product, ''), 'Linux/UNIX')
LEFT JOIN (SELECT new_id, max(coalesce(launched_at, initiated_at)) AS at FROM switches
           WHERE new_id <> '' AND ($1 = '' OR client_id = $1) GROUP BY new_id) s ON s.new_id = i.id
WHERE ($1 = '' OR i.client_id = $1)
`

// Instances lists instances, newest first. Search looks in ids and types; its
// percent signs mean themselves.
func (v *Views) Instances(ctx context.Context, f InstanceFilter) ([]InstanceView, error) {
	at, id := f.Page.From()
	return pg.QueryRows[InstanceView](ctx, v.DB, selectInstances+`
		AND ($2 <> 'active' OR i.role <> 'retired') AND ($2 <> 'terminated' OR i.role = 'retired')
		AND ($3 = '' OR i.mode = $3) AND ($4 = '' OR i.region = $4)
		AND ($5 = '' OR strpos(lower(i.id), lower($5)) > 0 OR strpos(lower(i.instance_type), lower($5)) > 0)
		AND i.created_at <= $6 AND (i.created_at < $6 OR i.id > $7)
		ORDER BY i.created_at DESC, i.id LIMIT $8`, f.ClientID, f.Status, f.Mode, f.Region, f.Search, at, id,
		f.Page.UpTo())
}

// InstanceMetrics is how one instance fares. Switches are those that led to it.
type InstanceMetrics struct {
	ID               string
	InstanceType     string
	Mode             string
	PoolID           string
	SpotPrice        float64 // USD per hour; 0: unknown
	OnDemandPrice    float64 `db:"on_demand_price"`
	BaselinePrice    float64
	UptimeHours      int
	SinceSwitchHours int
	Switches         int
	Switches7        int     `db:"switches7"`
	Switches30       int     `db:"switches30"`
	Savings          float64 // USD, a day's worth per switch
	Savings30        float64 `db:"savings30"`
}

// InstanceMetrics reads one instance's figures. Fails with instance.not_found.
func (v *Views) InstanceMetrics(ctx context.Context, clientID, id string) (*InstanceMetrics, error) {
	m, err := pg.QueryRow[InstanceMetrics](ctx, v.DB, `
		SELECT i.id, i.instance_type, i.mode, i.pool_id,
			coalesce(CASE WHEN i.product IN ('', 'Linux/UNIX') THEN i.spot_price END,
				CASE WHEN i.mode = 'spot' THEN p.price END, 0)::float8 AS spot_price,
			coalesce(CASE WHEN i.product IN ('', 'Linux/UNIX') THEN i.ondemand_price END, o.price, 0)::float8 AS on_demand_price,
			coalesce(CASE WHEN i.product IN ('', 'Linux/UNIX') THEN coalesce(i.baseline_price, i.ondemand_price) END,
				o.price, 0)::float8 AS baseline_price,
		       greatest(0,
		       floor(extract(epoch FROM coalesce(i.terminated_at,
		       now()) - i.installed_at) / 3600))::int AS uptime_hours,
		       greatest(0,
		       floor(extract(epoch FROM now() - coalesce(s.last, i.installed_at)) / 3600))::int AS since_switch_hours,
		       s.n AS switches, s.n7 AS switches7, s.n30 AS switches30, s.savings::float8 AS savings,
		       s.savings30::float8 AS savings30
		FROM instances i
		LEFT JOIN `+pg.SpotPrices+` p ON p.pool_id = i.pool_id AND p.product = coalesce(nullif(i.product, ''), 'Linux/UNIX')
		LEFT JOIN `+pg.ListPrices+` o ON o.region = i.region
			AND o.instance_type = i.instance_type
			AND o.product = coalesce(nullif(i.product, ''), 'Linux/UNIX')
		CROSS JOIN LATERAL (
			SELECT count(*) AS n, count(*) FILTER (WHERE initiated_at > now() - interval '7 days') AS n7,
			       count(*) FILTER (WHERE initiated_at > now() - interval '30 days') AS n30,
			       max(coalesce(launched_at, initiated_at)) AS last, coalesce(sum(savings_impact), 0) * 24 AS savings,
			       coalesce(sum(savings_impact) FILTER (WHERE initiated_at > now() - interval '30 days'),
			       0) * 24 AS savings30
			FROM switches WHERE client_id = i.client_id AND new_id = i.id) s
		WHERE i.id = $1 AND ($2 = '' OR i.client_id = $2)`, id, clientID)
	if pg.IsNoRows(err) {
		return nil, InstanceNotFound.New("Instance not found")
	}
	return m, err
}

// InstancePlace is where an instance is, and for whom.
type InstancePlace struct {
	ID            string
	ClientID      string
	AgentID       *string
	AgentStatus   *string
	Role          string
	InstanceType  string
	Region        string
	AZ            string `db:"az"`
	Mode          string
	PoolID        string
	OnDemandPrice float64 `db:"on_demand_price"` // USD per hour; 0: unknown
}

// placeAsked is who asks where an instance is; without a client an operator.
type placeAsked struct{ clientID, id string }

// InstancePlace reads where an instance is. Callers who ask at the same time share a
// reading. Fails with instance.not_found.
func (v *Views) InstancePlace(ctx context.Context, clientID, id string) (*InstancePlace, error) {
	p, err := pg.Together(ctx, &v.places, placeAsked{clientID, id}, v.instancePlaces)
	if err == nil && p == nil {
		return nil, InstanceNotFound.New("Instance not found")
	}
	return p, err
}

// instancePlaces reads where instances live; nil for one that is not there, or not
// the asker's.
func (v *Views) instancePlaces(ctx context.Context, all []placeAsked) ([]*InstancePlace, error) {
	ids, tenants := make([]string, len(all)), make([]string, len(all))
	for n, q := range all {
		ids[n], tenants[n] = q.id, q.clientID
	}
	type place struct {
		N int
		InstancePlace
	}
	found, err := pg.QueryRows[place](ctx, v.DB, `
		SELECT q.n, i.id, i.client_id, i.agent_id, a.status AS agent_status, i.role, i.instance_type, i.region, i.az,
			i.mode, i.pool_id,
		       coalesce(CASE WHEN i.product IN ('', 'Linux/UNIX') THEN i.ondemand_price END, o.price,
		           0)::float8 AS on_demand_price
		FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q(id, tenant, n)
		JOIN instances i ON i.id = q.id AND (q.tenant = '' OR i.client_id = q.tenant)
		LEFT JOIN agents a ON a.id = i.agent_id
		LEFT JOIN `+pg.ListPrices+` o ON o.region = i.region
			AND o.instance_type = i.instance_type
			AND o.product = coalesce(nullif(i.product, ''), 'Linux/UNIX')`, ids, tenants)
	if err != nil {
		return nil, err
	}
	out := make([]*InstancePlace, len(all))
	for n := range found {
		out[found[n].N-1] = &found[n].InstancePlace
	}
	return out, nil
}

// RoleOf reads which part an instance plays for an agent; empty for one that
// is not the agent's.
func (v *Views) RoleOf(ctx context.Context, agentID, instanceID string) (agent.Role, error) {
	type r struct{ Role agent.Role }
	x, err := pg.QueryRow[r](ctx, v.DB, `SELECT role FROM instances WHERE id = $1 AND agent_id = $2`, instanceID,
		agentID)
	if pg.IsNoRows(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return x.Role, nil
}

// OursAlive counts what the control plane launched for a client and has not
// ended: instances, and launches whose outcome is not known yet and which may
// still become one.
func (v *Views) OursAlive(ctx context.Context, clientID string) (int, error) {
	type n struct{ N int }
	x, err := pg.QueryRow[n](ctx, v.DB, `SELECT (SELECT count(*) FROM instances
			WHERE client_id = $1 AND launched_by = 'control-plane' AND role <> 'retired' AND terminated_at IS NULL)
		+ (SELECT count(*) FROM launches l JOIN replicas r ON r.id = l.replica_id
			WHERE l.client_id = $1 AND l.state = 'requested' AND r.ended_at IS NULL) AS n`, clientID)
	if err != nil {
		return 0, err
	}
	return x.N, nil
}
