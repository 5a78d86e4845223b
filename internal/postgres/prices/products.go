package prices

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres/pg"
)

// productOf is what the instance i runs: as it was noted, else as its agent's description l
// says.
const productOf = `coalesce(nullif(i.product, ''), l.template->>'product', 'Linux/UNIX')`

// ProductsInUse lists the types that run something else than Linux, with their product, and
// the nearest types that could replace them.
func (s *Prices) ProductsInUse(ctx context.Context) ([]activities.ProductInRegion, error) {
	type row struct{ Region, InstanceType, Product string }
	list, err := pg.QueryRows[row](ctx, s.DB, `
WITH used AS (
	SELECT DISTINCT i.region, i.instance_type, `+productOf+` AS product
	FROM instances i
	LEFT JOIN launch_templates l ON l.agent_id = i.agent_id
	WHERE i.role IN ('primary', 'replica', 'retiring')
	  AND i.proof <> 'unproven'
	  AND i.region <> ''
	  AND `+productOf+` <> 'Linux/UNIX')
SELECT region, instance_type, product
FROM used
UNION
SELECT u.region, x.name, u.product
FROM used u
JOIN (`+selectFitting+`) x ON x.region = u.region AND x.base = u.instance_type
WHERE x.nearness <= $1
ORDER BY 1, 2, 3`, fittingPerType)
	out := make([]activities.ProductInRegion, len(list))
	for n, x := range list {
		out[n] = activities.ProductInRegion{
			TypeInRegion: activities.TypeInRegion{Region: x.Region, InstanceType: x.InstanceType},
			Product:      x.Product,
		}
	}
	return out, err
}

// VolumesInUse lists the kinds of volumes of agents' instances by region.
func (s *Prices) VolumesInUse(ctx context.Context) ([]activities.VolumeInRegion, error) {
	return pg.QueryRows[activities.VolumeInRegion](ctx, s.DB, `
SELECT DISTINCT i.region, v->>'type' AS kind
FROM instances i
JOIN launch_templates l ON l.agent_id = i.agent_id
CROSS JOIN jsonb_array_elements(coalesce(l.template->'volumes', '[]')) AS v
WHERE i.role IN ('primary', 'replica')
  AND i.proof <> 'unproven'
  AND i.region <> ''
  AND coalesce(v->>'type', '') <> ''
ORDER BY 1, 2`)
}

// KeepProductPrice stores the list price of a type with a product. It sets a level, so twice
// is once.
func (s *Prices) KeepProductPrice(
	ctx context.Context, p activities.ProductInRegion, price activities.ListPrice, at time.Time,
) error {
	_, err := s.DB.Pool.Exec(ctx, `
INSERT INTO product_prices AS o (region, instance_type, product, price, currency, observed_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT ON CONSTRAINT product_prices_once DO UPDATE
SET price = excluded.price,
    currency = excluded.currency,
    observed_at = excluded.observed_at
WHERE o.observed_at < excluded.observed_at`, p.Region, p.InstanceType, p.Product, price.Amount, price.Currency, at)
	return pg.Translate(err)
}

// KeepProductPriceChanges stores when the spot price of a type with a product changed, and
// the price in force of each of its pools. What was stored before stays as it is, so pages
// may overlap.
func (s *Prices) KeepProductPriceChanges(
	ctx context.Context, p activities.ProductInRegion, moves []activities.PriceChange,
) (int64, error) {
	zones, times, prices := make([]string, len(moves)), make([]time.Time, len(moves)), make([]string, len(moves))
	for i, m := range moves {
		zones[i], times[i], prices[i] = m.AZ, m.At, m.Price
	}
	stored := int64(0)
	b := &pgx.Batch{}
	b.Queue(`
INSERT INTO product_spot_prices (pool_id, product, at, price)
SELECT DISTINCT ON (az, at) $1 || '.' || az, $2, at, price::numeric(12, 6)
FROM unnest($3::text[], $4::timestamptz[], $5::text[]) AS t (az, at, price)
WHERE price::numeric > 0
  AND price::numeric <= 10000
ORDER BY az, at, price
ON CONFLICT ON CONSTRAINT product_spot_prices_once DO NOTHING`, p.InstanceType, p.Product, zones, times, prices,
	).Exec(func(t pgconn.CommandTag) error {
		stored = t.RowsAffected()
		return nil
	})
	b.Queue(`
INSERT INTO product_pool_prices AS o (pool_id, product, price, at)
SELECT z.pool_id, $2, n.price, n.at
FROM (SELECT DISTINCT $1 || '.' || az AS pool_id FROM unnest($3::text[]) AS t (az)) z
CROSS JOIN LATERAL (
	SELECT h.price, h.at
	FROM product_spot_prices h
	WHERE h.pool_id = z.pool_id
	  AND h.product = $2
	ORDER BY h.at DESC
	LIMIT 1) n
ON CONFLICT ON CONSTRAINT product_pool_prices_once DO UPDATE
SET price = excluded.price,
    at = excluded.at
WHERE o.at < excluded.at`, p.InstanceType, p.Product, zones)
	return stored, pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
}

// KeepVolumePrice stores the list price of a kind of volume. A second
// call stores the same price.
func (s *Prices) KeepVolumePrice(
	ctx context.Context, v activities.VolumeInRegion, price activities.ListPrice, at time.Time,
) error {
	_, err := s.DB.Pool.Exec(ctx, `
INSERT INTO volume_prices AS o (region, kind, gb_month, currency, observed_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT ON CONSTRAINT volume_prices_once DO UPDATE
SET gb_month = excluded.gb_month,
    currency = excluded.currency,
    observed_at = excluded.observed_at
WHERE o.observed_at < excluded.observed_at`, v.Region, v.Kind, price.Amount, price.Currency, at)
	return pg.Translate(err)
}
