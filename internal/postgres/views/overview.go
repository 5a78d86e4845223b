package views

import (
	"context"

	"spotkeeper/internal/postgres/pg"
)

// Overview is what operators look at first: the present fleet in figures.
type Overview struct {
	Agents          int64 // not deleted
	Online          int64
	Offline         int64 // enabled, and silent
	Disabled        int64
	WithoutPrimary  int64   // enabled agents that have no primary
	WithoutStandby  int64   // agents in manual mode whose standby is not ready
	Instances       int64   // that run or start for an agent
	Standbys        int64   // instances beside the primaries that are held ready
	Operations      int64   // running
	Failed          int64   // operations that failed within the last day
	Undelivered     int64   // notices that no Guardian has judged yet
	OldestUndecided float64 // seconds since the oldest of them arrived
	Hourly          float64 // USD per hour that everything costs now
	OnDemandHourly  float64 // USD per hour of the primaries at on-demand prices
	StandbyHourly   float64 // USD per hour of Hourly that is not the primaries'
	Unpriced        int64   // instances whose price is not known; they count on neither side
}

// Overview counts the fleet of a client, or with an empty clientID of all.
func (v *Views) Overview(ctx context.Context, clientID string) (*Overview, error) {
	return pg.QueryRow[Overview](ctx, v.DB, `
WITH a AS (
	SELECT a.*,
		EXISTS (SELECT FROM instances i WHERE i.agent_id = a.id AND i.role = 'primary') AS has_primary,
		EXISTS (SELECT
			FROM replicas r
			WHERE r.agent_id = a.id AND r.kind = 'manual' AND r.state = 'ready') AS has_standby
	FROM agents a
	WHERE a.status <> 'deleted'
	  AND ($1 = '' OR a.client_id = $1)),
i AS (
	SELECT i.role, i.mode, od.price AS on_demand,
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
	  AND i.terminated_at IS NULL
	  AND ($1 = '' OR i.client_id = $1)),
waiting AS (
	SELECT count(*) AS n, coalesce(max(extract(epoch FROM clock_timestamp() - received_at)), 0)::float8 AS oldest
	FROM notices
	WHERE delivered_at IS NULL
	  AND ($1 = '' OR client_id = $1))
SELECT
	(SELECT count(*) FROM a) AS agents,
	(SELECT count(*) FROM a WHERE status = 'online') AS online,
	(SELECT count(*) FROM a WHERE enabled AND status = 'offline') AS offline,
	(SELECT count(*) FROM a WHERE NOT enabled) AS disabled,
	(SELECT count(*) FROM a WHERE enabled AND NOT has_primary) AS without_primary,
	(SELECT count(*) FROM a WHERE enabled AND keeping = 'manual' AND NOT has_standby) AS without_standby,
	(SELECT count(*) FROM i) AS instances,
	(SELECT count(*) FROM i WHERE role = 'replica') AS standbys,
	(SELECT count(*) FROM operations WHERE state = 'running' AND ($1 = '' OR client_id = $1)) AS operations,
	(SELECT count(*)
		FROM operations
		WHERE state = 'failed'
			AND retry_of IS NULL
			AND started_at > now() - interval '1 day'
			AND ($1 = '' OR client_id = $1)) AS failed,
	waiting.n AS undelivered,
	waiting.oldest AS oldest_undecided,
	(SELECT coalesce(sum(price), 0)::float8 FROM i WHERE price IS NOT NULL AND on_demand IS NOT NULL) AS hourly,
	(SELECT coalesce(sum(on_demand), 0)::float8
		FROM i
		WHERE role = 'primary' AND price IS NOT NULL) AS on_demand_hourly,
	(SELECT coalesce(sum(price), 0)::float8 FROM i WHERE role <> 'primary' AND on_demand IS NOT NULL) AS standby_hourly,
	(SELECT count(*) FROM i WHERE price IS NULL OR on_demand IS NULL) AS unpriced
FROM waiting`, clientID)
}

// PoolInterruptions is how often AWS announced interruptions in a pool.
type PoolInterruptions struct {
	PoolID       string
	Terminations int64
	Rebalances   int64
}

// InterruptionsLastDay counts by pool what was announced in the last 24 hours, most first:
// to a client, or to the proven instances of all.
func (v *Views) InterruptionsLastDay(ctx context.Context, clientID string) ([]PoolInterruptions, error) {
	return pg.QueryRows[PoolInterruptions](ctx, v.DB, `
		SELECT pool_id,
			count(*) FILTER (WHERE kind = 'termination-notice') AS terminations,
			count(*) FILTER (WHERE kind = 'rebalance-recommendation') AS rebalances
		FROM interruptions
		WHERE detected_at > now() - interval '1 day'
		  AND pool_id <> ''
		  AND ($1 = '' AND proven OR client_id = $1)
		GROUP BY pool_id
		ORDER BY 2 DESC, 3 DESC, 1
		LIMIT 50`, clientID)
}
