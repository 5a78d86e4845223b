package metrics

import (
	"context"
	"time"

	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
)

// Outcomes reads how things ended, for counters. Each row appears once in the answer
// for the moment at which it ended; who follows along asks again for the last seconds,
// because a row is stamped before it is committed.
type Outcomes struct{ DB *pg.DB }

// MostOutcomes is how many rows of a kind one read answers, oldest first.
const MostOutcomes = 5000

// Failover is a termination notice that was decided.
type Failover struct {
	Key       string // of the notice
	At        time.Time
	Outcome   string // promoted or lost
	Path      string // standby, launch, ondemand, switch, reported, or none when nothing took over
	Door      string // through which the notice came first
	Decided   float64
	Left      float64  // seconds to the deadline when the primary changed; negative after it
	Launched  *float64 // seconds from the notice until the successor was launched; nil when it was there before
	Running   *float64
	Ready     *float64
	PoolID    string // of the instance that ended
	CameTrue  bool   // a rebalance recommendation came before
	Recommend bool   // this is a recommendation, not a termination
}

// Failovers lists notices that were decided after a moment: terminations, and the
// recommendations that arrived.
func (o *Outcomes) Failovers(ctx context.Context, since time.Time) ([]Failover, error) {
	return pg.QueryRows[Failover](ctx, o.DB, `
		SELECT n.agent_id || '/' || n.instance_id || '/' || n.kind || '/' || n.result AS key,
			coalesce(n.decided_at, n.delivered_at, n.received_at) AS at,
			n.result AS outcome,
			`+views.FailoverPath+` AS path,
			n.door,
			greatest(extract(epoch FROM coalesce(n.decided_at, n.deadline) - n.received_at), 0)::float8 AS decided,
			extract(epoch FROM n.deadline - coalesce(n.decided_at, n.deadline))::float8 AS left,
			CASE WHEN r.launched_at > n.received_at
				THEN extract(epoch FROM r.launched_at - n.received_at)::float8 END AS launched,
			CASE WHEN r.running_at > n.received_at
				THEN extract(epoch FROM r.running_at - n.received_at)::float8 END AS running,
			CASE WHEN r.ready_at > n.received_at
				THEN extract(epoch FROM r.ready_at - n.received_at)::float8 END AS ready,
			coalesce(i.pool_id, '') AS pool_id,
			n.kind = 'termination-notice' AND EXISTS (SELECT
				FROM notices b
				WHERE b.agent_id = n.agent_id AND b.instance_id = n.instance_id
					AND b.kind = 'rebalance-recommendation') AS came_true,
			n.kind = 'rebalance-recommendation' AS recommend
		FROM notices n
		LEFT JOIN instances i ON i.id = n.instance_id AND i.client_id = n.client_id
		LEFT JOIN LATERAL (SELECT r.*
			FROM replicas r
			WHERE r.agent_id = n.agent_id AND r.instance_id = n.new_primary
			ORDER BY r.created_at DESC
			LIMIT 1) r ON n.new_primary IS NOT NULL
		WHERE coalesce(n.decided_at, n.delivered_at, n.received_at) > $1
			AND (n.kind = 'rebalance-recommendation' OR n.result IN ('promoted', 'lost'))
		ORDER BY coalesce(n.decided_at, n.delivered_at, n.received_at)
		LIMIT $2`, since, MostOutcomes)
}

// LaunchEnd is an attempt to launch that ended. Result is launched, or the fault's code.
type LaunchEnd struct {
	Key    string
	At     time.Time
	PoolID string
	Mode   string
	Result string
}

// Launches lists attempts that ended after a moment.
func (o *Outcomes) Launches(ctx context.Context, since time.Time) ([]LaunchEnd, error) {
	return pg.QueryRows[LaunchEnd](ctx, o.DB, `
		SELECT client_token AS key,
			ended_at AS at,
			pool_id,
			mode,
			CASE WHEN state = 'launched' THEN 'launched' ELSE coalesce(nullif(error_code, ''), 'unknown') END AS result
		FROM launches
		WHERE ended_at > $1
		ORDER BY ended_at
		LIMIT $2`, since, MostOutcomes)
}

// SwitchEnd is a voluntary move that ended, or a takeover.
type SwitchEnd struct {
	Key    string
	At     time.Time
	Kind   string // switch or promotion
	Result string // succeeded, failed or cancelled
	Asked  string // engine or person
}

// EndedSwitches lists moves that ended after a moment.
func (o *Outcomes) EndedSwitches(ctx context.Context, since time.Time) ([]SwitchEnd, error) {
	return pg.QueryRows[SwitchEnd](ctx, o.DB, `
		SELECT o.id AS key,
			o.ended_at AS at,
			o.kind,
			o.state AS result,
			CASE WHEN c.created_by = 'fleet-decisions' THEN 'engine' ELSE 'person' END AS asked
		FROM operations o
		LEFT JOIN commands c ON o.kind = 'switch' AND c.id = substr(o.id, length('switch/') + 1)
		WHERE o.updated_at > $1
			AND o.ended_at > $1
			AND o.kind IN ('switch', 'promotion')
			AND o.state <> 'running'
		ORDER BY o.ended_at
		LIMIT $2`, since, MostOutcomes)
}

// Now reads the database's clock, by which rows are stamped.
func (o *Outcomes) Now(ctx context.Context) (time.Time, error) { return o.DB.Now(ctx) }

// Spend is what runs now, in USD per hour.
type Spend struct {
	Spot      float64
	OnDemand  float64
	Instead   float64 // the primaries at on-demand prices
	Standbys  float64
	Unpriced  int64
	Instances []InstanceCount
	Agents    []AgentCount
}

// InstanceCount is how many instances run in a region, by their part and purchase.
type InstanceCount struct {
	Region, Role, Mode string
	N                  int64
}

// AgentCount is how many agents say that they are of a version, and joined in a way:
// enrolment, with a credential of its own, or token, with the client's.
type AgentCount struct {
	Version, Join string
	N             int64
}

// mostVersions is how many versions of agents get a label of their own: agents say
// their version themselves.
const mostVersions = 20

// Spend reads what runs now.
func (o *Outcomes) Spend(ctx context.Context) (*Spend, error) {
	type sums struct {
		Spot, OnDemand, Instead, Standbys float64
		Unpriced                          int64
	}
	s, err := pg.QueryRow[sums](ctx, o.DB, `
		WITH i AS (
			SELECT i.role, i.mode, od.price AS instead,
				CASE
					WHEN i.mode = 'ondemand' THEN coalesce(od.price, CASE WHEN i.product IN ('', 'Linux/UNIX') THEN i.ondemand_price END)
					ELSE coalesce(pp.price, CASE WHEN i.product IN ('', 'Linux/UNIX') THEN i.spot_price END)
				END AS price
			FROM instances i
			LEFT JOIN `+pg.SpotPrices+` pp ON pp.pool_id = i.pool_id AND pp.product = coalesce(nullif(i.product, ''), 'Linux/UNIX')
			LEFT JOIN `+pg.ListPrices+` od ON od.region = i.region
				AND od.instance_type = i.instance_type
				AND od.product = coalesce(nullif(i.product, ''), 'Linux/UNIX')
			WHERE i.role <> 'retired'
				AND i.terminated_at IS NULL)
		SELECT coalesce(sum(price) FILTER (WHERE mode <> 'ondemand'), 0)::float8 AS spot,
			coalesce(sum(price) FILTER (WHERE mode = 'ondemand'), 0)::float8 AS on_demand,
			coalesce(sum(instead) FILTER (WHERE role = 'primary' AND price IS NOT NULL), 0)::float8 AS instead,
			coalesce(sum(price) FILTER (WHERE role <> 'primary'), 0)::float8 AS standbys,
			count(*) FILTER (WHERE price IS NULL) AS unpriced
		FROM i`)
	if err != nil {
		return nil, err
	}
	out := &Spend{Spot: s.Spot, OnDemand: s.OnDemand, Instead: s.Instead, Standbys: s.Standbys, Unpriced: s.Unpriced}
	if out.Instances, err = pg.QueryRows[InstanceCount](ctx, o.DB, `
		SELECT region, role, mode, count(*) AS n
		FROM instances
		WHERE role <> 'retired'
			AND terminated_at IS NULL
		GROUP BY region, role, mode`); err != nil {
		return nil, err
	}
	out.Agents, err = pg.QueryRows[AgentCount](ctx, o.DB, `
		WITH a AS (
			SELECT a.agent_version AS version,
				CASE WHEN EXISTS (SELECT
					FROM credentials c
					WHERE c.agent_id = a.id AND c.kind = 'agent') THEN 'enrolment' ELSE 'token' END AS joined
			FROM agents a
			WHERE a.status <> 'deleted'),
		ranked AS (
			SELECT version, row_number() OVER (ORDER BY count(*) DESC, version) AS rank
			FROM a
			GROUP BY version)
		SELECT CASE WHEN r.rank <= $1 THEN a.version ELSE 'other' END AS version,
			a.joined AS join,
			count(*) AS n
		FROM a
		JOIN ranked r USING (version)
		GROUP BY 1, 2`, mostVersions)
	return out, err
}
