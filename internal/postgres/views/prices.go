package views

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/pg"
)

// PoolPriceView is a pool with its newest price.
type PoolPriceView struct {
	ID           string
	InstanceType string
	Region       string
	AZ           string   `db:"az"`
	Price        *float64 // USD per hour; null when it was not reported in the last hour
}

// PoolsOf lists the active pools of a type in a region with their prices of the
// last hour, cheapest first and unknown last.
func (v *Views) PoolsOf(ctx context.Context, instanceType, region string) ([]PoolPriceView, error) {
	return pg.QueryRows[PoolPriceView](ctx, v.DB, poolsOf, instanceType, region)
}

const poolsOf = `SELECT p.id, p.instance_type, p.region, p.az, x.price::float8 AS price
		FROM pools p
		LEFT JOIN pool_prices x ON x.pool_id = p.id AND x.updated_at > now() - interval '1 hour'
		WHERE p.region = $2 AND p.instance_type = $1 AND p.is_active
		ORDER BY x.price NULLS LAST, p.id`

// TypesOf lists the instance types of a family that have pools in a region.
func (v *Views) TypesOf(ctx context.Context, family, region string) ([]string, error) {
	type t struct{ InstanceType string }
	list, err := pg.QueryRows[t](ctx, v.DB, `SELECT DISTINCT instance_type FROM pools
		WHERE region = $2 AND is_active AND split_part(instance_type, '.', 1) = $1 ORDER BY 1`, family, region)
	out := make([]string, 0, len(list))
	for _, x := range list {
		out = append(out, x.InstanceType)
	}
	return out, err
}

// OnDemandPrice reads the on-demand price of a type in a region; 0 when it is
// unknown.
func (v *Views) OnDemandPrice(ctx context.Context, instanceType, region string) (float64, error) {
	type p struct{ Price float64 }
	x, err := pg.QueryRow[p](ctx, v.DB,
		`SELECT price::float8 AS price FROM on_demand_prices WHERE region = $2 AND instance_type = $1`, instanceType,
		region)
	if pg.IsNoRows(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return x.Price, nil
}

// PriceSeries is the prices of a pool over time, oldest first. The lists are of one
// length: one entry for each hour or day in which a price is known.
type PriceSeries struct {
	PoolID   string
	AZ       string      `db:"az"`
	At       []time.Time // the starts of the hours or days
	Price    []float64   // mean, USD per hour
	OnDemand []float64   // likewise; 0: not known
	Measured []float64   // share of the five-minute prices that were measured; the rest is interpolated
}

// PriceHistory means the prices of the active pools of a type in a region per hour or
// day since a whole hour, in the order of the pools. It reads the rows of the hours,
// each pool's own stretch of the primary key, so its cost is that of the chart and not
// of the table.
func (v *Views) PriceHistory(
	ctx context.Context,
	instanceType, region, unit string,
	since time.Time,
) ([]PriceSeries, error) {
	return pg.QueryRows[PriceSeries](ctx, v.DB, priceHistory(unit), instanceType, region, since)
}

// priceHistory is the statement for hours or for days.
func priceHistory(unit string) string {
	if unit == "hour" {
		return hourHistory
	}
	return dayHistory
}

const (
	hourHistory = `
SELECT p.id AS pool_id, p.az, x.at, x.price, x.on_demand, x.measured
FROM pools p
CROSS JOIN LATERAL (
	SELECT array_agg(hour) AS at, array_agg(price_sum / (known * 1e6::float8)) AS price,
		array_agg(CASE WHEN ondemand_known > 0 THEN ondemand_sum / (ondemand_known * 1e6::float8) ELSE 0 END) AS on_demand,
		array_agg(measured / known::float8) AS measured
	FROM (SELECT * FROM price_hours WHERE pool_id = p.id AND hour >= $3 ORDER BY hour) h) x
WHERE p.region = $2 AND p.instance_type = $1 AND p.is_active AND x.at IS NOT NULL
ORDER BY p.id`

	dayHistory = `
SELECT p.id AS pool_id, p.az, x.at, x.price, x.on_demand, x.measured
FROM pools p
CROSS JOIN LATERAL (
	SELECT array_agg(day) AS at, array_agg(price_sum / (known * 1e6::float8)) AS price,
		array_agg(CASE WHEN ondemand_known > 0 THEN ondemand_sum / (ondemand_known * 1e6::float8) ELSE 0 END) AS on_demand,
		array_agg(measured / known::float8) AS measured
	FROM (
		SELECT date_trunc('day', hour, 'UTC') AS day, sum(known) AS known, sum(measured) AS measured,
			sum(price_sum)::float8 AS price_sum,
			sum(ondemand_known) AS ondemand_known, sum(ondemand_sum)::float8 AS ondemand_sum
		FROM price_hours
		WHERE pool_id = p.id AND hour >= $3
		GROUP BY 1
		ORDER BY 1) d) x
WHERE p.region = $2 AND p.instance_type = $1 AND p.is_active AND x.at IS NOT NULL
ORDER BY p.id`
)

// Chart is PoolsOf and PriceHistory in one round trip.
func (v *Views) Chart(
	ctx context.Context,
	instanceType, region, unit string,
	since time.Time,
) (pools []PoolPriceView, series []PriceSeries, err error) {
	b := &pgx.Batch{}
	b.Queue(poolsOf, instanceType, region).Query(func(r pgx.Rows) (err error) {
		pools, err = pgx.CollectRows(r, pgx.RowToStructByName[PoolPriceView])
		return err
	})
	b.Queue(priceHistory(unit), instanceType, region, since).Query(func(r pgx.Rows) (err error) {
		series, err = pgx.CollectRows(r, pgx.RowToStructByName[PriceSeries])
		return err
	})
	err = pg.Translate(v.DB.Pool.SendBatch(ctx, b).Close())
	return pools, series, err
}

// NewestOnlineAgent reads the client's online agent with the newest heartbeat, for
// charts that are asked for without naming one.
func (v *Views) NewestOnlineAgent(ctx context.Context, clientID string) (agentID string, found bool, err error) {
	type a struct{ ID string }
	x, err := pg.QueryRow[a](ctx, v.DB, `SELECT id FROM agents WHERE client_id = $1 AND status = 'online'
		ORDER BY last_heartbeat_at DESC NULLS LAST LIMIT 1`, clientID)
	if pg.IsNoRows(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	return x.ID, true, nil
}

// UnknownPool means that no such pool is known.
var UnknownPool = fault.Define("pool.not_found", fault.NotFound)

// Pool reads one pool with its price of the last hour. Fails with pool.not_found.
func (v *Views) Pool(ctx context.Context, id string) (*PoolPriceView, error) {
	p, err := pg.QueryRow[PoolPriceView](ctx, v.DB, `
		SELECT p.id, p.instance_type, p.region, p.az, x.price::float8 AS price
		FROM pools p LEFT JOIN pool_prices x ON x.pool_id = p.id AND x.updated_at > now() - interval '1 hour'
		WHERE p.id = $1`, id)
	if pg.IsNoRows(err) {
		return nil, UnknownPool.New("Pool not found")
	}
	return p, err
}

// ReportedPrice is what a client reported last of a pool, beside what EC2 shows.
type ReportedPrice struct {
	PoolID       string
	InstanceType string
	Region       string
	AZ           string  `db:"az"`
	Price        float64 // USD per hour
	ObservedAt   time.Time
	AgentID      string
	InstanceID   *string
	Worth        string     // pricing.Worth
	Market       *float64   // USD per hour; null: EC2 has not answered for the pool
	MarketAt     *time.Time // when that was read
	Difference   *float64   // of the price from the market's, in percent
}

// ReportedPrices lists what a client's agents reported last, by pool.
func (v *Views) ReportedPrices(ctx context.Context, clientID string) ([]ReportedPrice, error) {
	return pg.QueryRows[ReportedPrice](ctx, v.DB, `
		SELECT r.pool_id, r.instance_type, r.region, r.az, r.price::float8 AS price, r.observed_at, r.agent_id,
			r.instance_id, r.worth, m.price::float8 AS market, m.observed_at AS market_at,
			round((r.price - m.price) / m.price * 100, 2)::float8 AS difference
		FROM client_prices r
		LEFT JOIN pool_prices m ON m.pool_id = r.pool_id
		WHERE r.client_id = $1
		ORDER BY r.pool_id
		LIMIT 2000`, clientID)
}
