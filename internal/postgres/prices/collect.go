package prices

import (
	"context"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres/pg"
)

// Limits of what a client's unproven instances have collected: a name costs a caller
// nothing, and each is a question to EC2.
const (
	unprovenTypes   = 5
	unprovenRegions = 2
)

// InUse lists the instance types that live or stand by in each region, for the
// collection of prices. A type that only unproven instances name is one that EC2 lists.
func (s *Prices) InUse(ctx context.Context) ([]activities.TypeInRegion, error) {
	return pg.QueryRows[activities.TypeInRegion](ctx, s.DB, `
SELECT DISTINCT region, instance_type
FROM (
	SELECT region, instance_type, 0 AS nth
	FROM instances
	WHERE role IN ('primary', 'replica')
	  AND proof <> 'unproven'
	UNION ALL
	SELECT i.region, i.instance_type,
		dense_rank() OVER (PARTITION BY i.client_id ORDER BY i.region, i.instance_type) AS nth
	FROM instances i
	JOIN instance_types t ON t.region = i.region AND t.name = i.instance_type
	WHERE i.role IN ('primary', 'replica')
	  AND i.proof = 'unproven') x
WHERE region <> ''
  AND instance_type LIKE '%.%'
  AND nth <= $1
ORDER BY 1, 2`, unprovenTypes)
}

// Regions lists the regions that instances live or stand by in, for the collection of
// instance types.
func (s *Prices) Regions(ctx context.Context) ([]string, error) {
	type place struct{ Region string }
	list, err := pg.QueryRows[place](ctx, s.DB, `
SELECT DISTINCT region
FROM (
	SELECT region, 0 AS nth
	FROM instances
	WHERE role IN ('primary', 'replica')
	  AND proof <> 'unproven'
	UNION ALL
	SELECT region, dense_rank() OVER (PARTITION BY client_id ORDER BY region) AS nth
	FROM instances
	WHERE role IN ('primary', 'replica')
	  AND proof = 'unproven'
	  AND region ~ '^[a-z]{2}(-[a-z]+)+-[0-9]+$') x
WHERE region NOT IN ('', 'unknown')
  AND nth <= $1
ORDER BY 1`, unprovenRegions)
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = x.Region
	}
	return out, err
}

// KeepMoves stores when the price of pools of one type changed, as the buckets in
// which each price was in force, until a moment. What was stored before stays as
// it is, so pages may overlap. Pools are made known on the way.
func (s *Prices) KeepMoves(
	ctx context.Context,
	place activities.TypeInRegion,
	moves []activities.PriceMove,
	since, until time.Time,
) (int64, error) {
	zones, times, prices := make([]string, len(moves)), make([]time.Time, len(moves)), make([]string, len(moves))
	for i, m := range moves {
		zones[i], times[i], prices[i] = m.AZ, m.At, m.Price
	}
	tag, err := s.DB.Pool.Exec(ctx, `
		WITH move AS (
			SELECT $1 || '.' || az AS pool_id, az, at, price,
				lead(at, 1, $7::timestamptz) OVER (PARTITION BY az ORDER BY at) AS until,
				row_number() OVER (PARTITION BY az ORDER BY at DESC) AS age
			FROM (SELECT DISTINCT ON (az, at) az, at, price::numeric(12, 6) AS price
				FROM unnest($3::text[], $4::timestamptz[], $5::text[]) AS t(az, at, price)
				ORDER BY az, at, price) m
			WHERE price > 0 AND price <= 10000 AND at < $7),
		pool AS (
			INSERT INTO pools (id, instance_type, region, az)
			SELECT pool_id, $1, $2, az
			FROM move
			WHERE age = 1
			ORDER BY pool_id
			ON CONFLICT (id)
			DO UPDATE SET instance_type = excluded.instance_type, region = excluded.region, az = excluded.az
			WHERE (pools.instance_type, pools.region, pools.az)
				IS DISTINCT FROM (excluded.instance_type, excluded.region, excluded.az)),
		latest AS (
			INSERT INTO pool_prices AS p (pool_id, instance_type, region, az, price, source_type, observed_at)
			SELECT pool_id, $1, $2, az, price, 'collector', $7 FROM move WHERE age = 1 ORDER BY pool_id
			ON CONFLICT (pool_id)
			DO UPDATE SET price = excluded.price, source_type = excluded.source_type,
				observed_at = excluded.observed_at, updated_at = now()
			WHERE p.observed_at < excluded.observed_at)
		INSERT INTO price_buckets AS b (pool_id, bucket, price, ondemand_price, source_type, confidence, submission_id,
			observed_at, low, high)
		SELECT pool_id, bucket, price, (SELECT price FROM on_demand_prices WHERE region = $2 AND instance_type = $1),
			'collector', 0.95,
			'ec2/' || extract(epoch FROM at)::bigint, bucket, price, price
		FROM move,
			generate_series(to_timestamp(ceil(extract(epoch FROM greatest(at, $6::timestamptz)) / 300) * 300),
			move.until - interval '1 microsecond', interval '5 minutes') AS bucket
		ORDER BY pool_id, bucket`+mergeBuckets, place.InstanceType, place.Region, zones, times, prices, since, until)
	return tag.RowsAffected(), pg.Translate(err)
}

// KeepOnDemand stores a price of the price list, which is the reference for
// savings.
func (s *Prices) KeepOnDemand(
	ctx context.Context, place activities.TypeInRegion, list activities.ListPrice, at time.Time,
) error {
	_, err := s.DB.Pool.Exec(
		ctx,
		`
		INSERT INTO on_demand_prices AS o (region, instance_type, price, source, observed_at, currency)
		VALUES ($1, $2, $3, 'pricing-api', $4, coalesce(nullif($5, ''), 'USD'))
		ON CONFLICT (region, instance_type)
		DO UPDATE SET price = excluded.price, source = excluded.source, observed_at = excluded.observed_at,
			currency = excluded.currency
		WHERE o.observed_at < excluded.observed_at`,
		place.Region,
		place.InstanceType,
		list.Amount,
		at,
		list.Currency,
	)
	return pg.Translate(err)
}
