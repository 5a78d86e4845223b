package views

import (
	"context"
	"time"

	"spotkeeper/internal/postgres/pg"
)

// PoolView is a spot pool: what it costs, how often AWS takes instances out of it, and
// what runs in it.
type PoolView struct {
	ID           string
	InstanceType string
	Region       string
	AZ           string     `db:"az"`
	Price        *float64   // USD per hour
	PriceAt      *time.Time // when that was seen
	OnDemand     *float64   // USD per hour
	Terminations int64      // notices in the last 24 hours
	Rebalances   int64      // likewise
	InstanceDays float64    // that ran in it in the last seven days
	Interrupted  int64      // termination notices in the same seven days
	Refused      int64      // launches that had no capacity in the last hour
	LastRefusal  *string    // code of the last launch that failed
	RetryAfter   *time.Time // launches go elsewhere until then
	Score        *int64     // EC2's placement score of the zone for the type, 1 to 10
	Recommended  int64      // instances that AWS recommended to move in the last 30 days
	CameTrue     int64      // those of them that a termination notice followed
	LeadSeconds  *float64   // from the recommendation to that notice, the median
	Announced    int64      // termination notices in the same 30 days
	Ours         int64      // instances that run in it now
	Primaries    int64      // of those
}

// PoolFilter chooses pools. Empty members do not filter. ClientID chooses whose
// instances, interruptions and launches are counted; without it those of proven instances.
type PoolFilter struct{ ClientID, Region, InstanceType string }

// Pools lists the active pools by type and zone.
func (v *Views) Pools(ctx context.Context, f PoolFilter) ([]PoolView, error) {
	return pg.QueryRows[PoolView](ctx, v.DB, `
		WITH shown AS (
			SELECT *
			FROM pools
			WHERE is_active
			  AND ($2 = '' OR region = $2)
			  AND ($3 = '' OR instance_type = $3)
			ORDER BY instance_type, az
			LIMIT 2000),
		told AS (
			SELECT pool_id,
				count(*) FILTER (WHERE kind = 'termination-notice'
				AND detected_at > now() - interval '1 day') AS terminations,
				count(*) FILTER (WHERE kind = 'rebalance-recommendation'
				AND detected_at > now() - interval '1 day') AS rebalances,
				count(*) FILTER (WHERE kind = 'termination-notice') AS interrupted
			FROM interruptions
			WHERE detected_at > now() - interval '7 days'
			  AND ($1 = '' AND proven OR client_id = $1)
			GROUP BY pool_id),
		foreseen AS (
			SELECT n.pool_id,
				count(*) FILTER (WHERE n.kind = 'rebalance-recommendation') AS recommended,
				count(*) FILTER (WHERE n.kind = 'termination-notice') AS announced,
				count(t.id) AS came_true,
				percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM t.detected_at - n.detected_at)::float8)
					FILTER (WHERE t.id IS NOT NULL) AS lead_seconds
			FROM interruptions n
			LEFT JOIN interruptions t ON n.kind = 'rebalance-recommendation'
				AND t.kind = 'termination-notice'
				AND t.client_id = n.client_id
				AND t.instance_id = n.instance_id
				AND t.detected_at >= n.detected_at
			WHERE n.detected_at > now() - interval '30 days'
			  AND ($1 = '' AND n.proven OR n.client_id = $1)
			GROUP BY n.pool_id),
		lived AS (
			SELECT pool_id,
				count(*) FILTER (WHERE role <> 'retired') AS ours,
				count(*) FILTER (WHERE role = 'primary') AS primaries,
				sum(extract(epoch FROM
					coalesce(terminated_at, CASE WHEN role = 'retired' THEN coalesce(retiring_since, installed_at) END,
					now())
					- greatest(installed_at, now() - interval '7 days')) / 86400)
					FILTER (WHERE mode = 'spot'
					AND coalesce(terminated_at, now()) > now() - interval '7 days')::float8 AS days
			FROM instances
			WHERE ($1 = '' AND proof <> 'unproven' OR client_id = $1)
			  AND (role <> 'retired' OR coalesce(terminated_at, retiring_since) > now() - interval '7 days')
			GROUP BY pool_id),
		refused AS (
			SELECT pool_id, count(*) AS n, (array_agg(error_code ORDER BY created_at DESC))[1] AS last
			FROM launches
			WHERE state = 'failed'
			  AND mode = 'spot'
			  AND created_at > now() - interval '1 hour'
			  AND ($1 = '' OR client_id = $1)
			GROUP BY pool_id),
		health AS (
			SELECT pool_id, max(retry_after) AS retry_after
			FROM pool_health
			WHERE mode = 'spot'
			  AND retry_after > now()
			  AND ($1 = '' OR client_id = $1)
			GROUP BY pool_id),
		scored AS (
			SELECT region, instance_type, az, min(score)::int8 AS score
			FROM placement_scores
			WHERE ($1 = '' OR client_id = $1)
			GROUP BY region, instance_type, az)
		SELECT p.id, p.instance_type, p.region, p.az, x.price::float8 AS price, x.observed_at AS price_at,
			od.price::float8 AS on_demand,
			coalesce(t.terminations, 0) AS terminations, coalesce(t.rebalances, 0) AS rebalances,
			greatest(coalesce(l.days, 0), 0) AS instance_days, coalesce(t.interrupted, 0) AS interrupted,
			coalesce(r.n, 0) AS refused, r.last AS last_refusal, h.retry_after, s.score,
			coalesce(f.recommended, 0) AS recommended, coalesce(f.came_true, 0) AS came_true, f.lead_seconds,
			coalesce(f.announced, 0) AS announced, coalesce(l.ours, 0) AS ours,
			coalesce(l.primaries, 0) AS primaries
		FROM shown p
		LEFT JOIN pool_prices x ON x.pool_id = p.id
		LEFT JOIN on_demand_prices od ON od.region = p.region AND od.instance_type = p.instance_type
		LEFT JOIN told t ON t.pool_id = p.id
		LEFT JOIN foreseen f ON f.pool_id = p.id
		LEFT JOIN lived l ON l.pool_id = p.id
		LEFT JOIN refused r ON r.pool_id = p.id
		LEFT JOIN health h ON h.pool_id = p.id
		LEFT JOIN scored s ON s.region = p.region AND s.instance_type = p.instance_type AND s.az = p.az
		ORDER BY p.instance_type, p.az`, f.ClientID, f.Region, f.InstanceType)
}

// PoolPrice is a price of a pool in one of its five-minute buckets.
type PoolPrice struct {
	PoolID       string
	At           time.Time
	Price        float64 // USD per hour
	Interpolated bool    // computed from its surroundings, because nothing was measured
}

// RecentPrices reads the prices of the pools of a type in a region, by pool and time.
func (v *Views) RecentPrices(ctx context.Context, instanceType, region string, since time.Time) ([]PoolPrice, error) {
	return pg.QueryRows[PoolPrice](ctx, v.DB, `
		SELECT b.pool_id, b.bucket AS at, b.price::float8 AS price, b.source_type = 'interpolated' AS interpolated
		FROM pools p
		JOIN price_buckets b ON b.pool_id = p.id AND b.bucket >= $3
		WHERE p.region = $2
		  AND p.instance_type = $1
		  AND p.is_active
		ORDER BY b.pool_id, b.bucket`, instanceType, region, since)
}

// PoolMark is a thing that happened in a pool: an interruption, or a move into or out of it.
type PoolMark struct {
	PoolID     string
	At         time.Time
	Kind       string // termination-notice, rebalance-recommendation, arrival
	AgentID    *string
	AgentName  *string
	InstanceID string
}

// PoolMarks reads what happened in the pools of a type in a region, oldest first.
func (v *Views) PoolMarks(
	ctx context.Context,
	clientID, instanceType, region string,
	since time.Time,
) ([]PoolMark, error) {
	return pg.QueryRows[PoolMark](ctx, v.DB, `
		SELECT x.pool_id, x.at, x.kind, x.agent_id, a.logical_agent_id AS agent_name, x.instance_id
		FROM (
			SELECT n.pool_id, n.detected_at AS at, n.kind, n.agent_id, n.instance_id
			FROM interruptions n
			JOIN pools p ON p.id = n.pool_id AND p.region = $3 AND p.instance_type = $2
			WHERE n.detected_at >= $4
			  AND ($1 = '' AND n.proven OR n.client_id = $1)
			UNION ALL
			SELECT i.pool_id, c.changed_at, 'arrival', c.agent_id, c.new_id
			FROM role_changes c
			JOIN instances i ON i.id = c.new_id AND i.region = $3 AND i.instance_type = $2
			WHERE c.changed_at >= $4
			  AND ($1 = '' OR c.client_id = $1)) x
		LEFT JOIN agents a ON a.id = x.agent_id
		ORDER BY x.at
		LIMIT 2000`, clientID, instanceType, region, since)
}
