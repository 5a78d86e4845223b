package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/fault"
)

// PoolPriceView is a pool with its newest price.
type PoolPriceView struct {
	ID           string
	InstanceType string
	Region       string
	AZ           string   `db:"az"`
	Price        *float64 // USD per hour; null when nobody told it in the last hour
}

// PoolsOf lists the active pools of a type in a region with their prices of the
// last hour, cheapest first and unknown last.
func (v *Views) PoolsOf(ctx context.Context, instanceType, region string) ([]PoolPriceView, error) {
	return rows[PoolPriceView](ctx, v.DB, poolsOf, instanceType, region)
}

const poolsOf = `SELECT p.id, p.instance_type, p.region, p.az, x.price::float8 AS price
		FROM pools p
		LEFT JOIN pool_prices x ON x.pool_id = p.id AND x.updated_at > now() - interval '1 hour'
		WHERE p.region = $2 AND p.instance_type = $1 AND p.is_active
		ORDER BY x.price NULLS LAST, p.id`

// TypesOf lists the instance types of a family that have pools in a region.
func (v *Views) TypesOf(ctx context.Context, family, region string) ([]string, error) {
	type t struct{ InstanceType string }
	list, err := rows[t](ctx, v.DB, `SELECT DISTINCT instance_type FROM pools
		WHERE region = $2 AND is_active AND split_part(instance_type, '.', 1) = $1 ORDER BY 1`, family, region)
	out := make([]string, 0, len(list))
	for _, x := range list {
		out = append(out, x.InstanceType)
	}
	return out, err
}

// OnDemandPrice reads the on-demand price of a type in a region; 0 when nobody
// knows it.
func (v *Views) OnDemandPrice(ctx context.Context, instanceType, region string) (float64, error) {
	type p struct{ Price float64 }
	x, err := row[p](ctx, v.DB, `SELECT price::float8 AS price FROM on_demand_prices WHERE region = $2 AND instance_type = $1`, instanceType, region)
	if noRows(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return x.Price, nil
}

// PricePoint is the mean price of a pool over one bucket of a chart.
type PricePoint struct {
	At       time.Time // UTC, the start of the hour or day
	PoolID   string
	AZ       string `db:"az"`
	Price    float64
	OnDemand *float64
	Measured float64 // share of the five-minute prices that somebody saw; the rest is interpolated
}

// PriceHistory means the prices of the pools of a type in a region per hour or
// day since a time, oldest first. It reads each pool's own stretch of the primary
// key, so its cost is that of the chart and not of the table.
func (v *Views) PriceHistory(ctx context.Context, instanceType, region, unit string, since time.Time) ([]PricePoint, error) {
	return rows[PricePoint](ctx, v.DB, priceHistory, instanceType, region, unit, since)
}

const priceHistory = `SELECT x.at, p.id AS pool_id, p.az, x.price, x.on_demand, x.measured
		FROM pools p
		CROSS JOIN LATERAL (
			SELECT date_trunc($3, b.bucket, 'UTC') AS at, avg(b.price)::float8 AS price, avg(b.ondemand_price)::float8 AS on_demand,
				avg((b.source_type <> 'interpolated')::int)::float8 AS measured
			FROM price_buckets b WHERE b.pool_id = p.id AND b.bucket >= $4 GROUP BY 1) x
		WHERE p.region = $2 AND p.instance_type = $1 AND p.is_active
		ORDER BY x.at, p.id`

// Chart is PoolsOf and PriceHistory in one round trip.
func (v *Views) Chart(ctx context.Context, instanceType, region, unit string, since time.Time) (pools []PoolPriceView, points []PricePoint, err error) {
	b := &pgx.Batch{}
	b.Queue(poolsOf, instanceType, region).Query(func(r pgx.Rows) (err error) {
		pools, err = pgx.CollectRows(r, pgx.RowToStructByName[PoolPriceView])
		return err
	})
	b.Queue(priceHistory, instanceType, region, unit, since).Query(func(r pgx.Rows) (err error) {
		points, err = pgx.CollectRows(r, pgx.RowToStructByName[PricePoint])
		return err
	})
	return pools, points, translate(v.DB.Pool.SendBatch(ctx, b).Close())
}

// NewestOnlineAgent reads the client's online agent that was heard last, for
// charts that are asked for without naming one.
func (v *Views) NewestOnlineAgent(ctx context.Context, clientID string) (agentID string, found bool, err error) {
	type a struct{ ID string }
	x, err := row[a](ctx, v.DB, `SELECT id FROM agents WHERE client_id = $1 AND status = 'online'
		ORDER BY last_heartbeat_at DESC NULLS LAST LIMIT 1`, clientID)
	if noRows(err) {
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
	p, err := row[PoolPriceView](ctx, v.DB, `
		SELECT p.id, p.instance_type, p.region, p.az, x.price::float8 AS price
		FROM pools p LEFT JOIN pool_prices x ON x.pool_id = p.id AND x.updated_at > now() - interval '1 hour'
		WHERE p.id = $1`, id)
	if noRows(err) {
		return nil, UnknownPool.New("Pool not found")
	}
	return p, err
}
