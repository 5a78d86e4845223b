package decisions

import (
	"context"
	"encoding/json"
	"time"

	"spotkeeper/internal/engine/market"
	"spotkeeper/internal/postgres/pg"
)

// recordedOutage is how long a pool is taken to be without capacity after it
// interrupted an instance; the median of what is published.
const recordedOutage = 30 * time.Minute

// selectMarket reads a recorded market as one document. Prices are the changes
// of the five-minute buckets, with the month before for history. A loss is the
// share of the instances then alive in a pool that got a notice in the same
// five minutes, over all tenants. Pools whose price at the start is not known are
// left out: a back-test would have to invent it.
const selectMarket = `
WITH point AS (
	SELECT b.pool_id, b.bucket, b.price, lag(b.price) OVER (PARTITION BY b.pool_id ORDER BY b.bucket) AS before
	FROM price_buckets b WHERE b.bucket >= $1::timestamptz - interval '30 days' AND b.bucket < $2),
priced AS (
	SELECT pool_id, jsonb_agg(jsonb_build_object('usd', price, 'at', bucket) ORDER BY bucket) AS prices
	FROM point WHERE before IS DISTINCT FROM price GROUP BY pool_id HAVING min(bucket) <= $1),
hit AS (
	SELECT pool_id, date_bin('5 minutes', detected_at, $1) AS at, count(DISTINCT instance_id) AS n
	FROM interruptions
	WHERE proven
		AND kind = 'termination-notice'
		AND detected_at >= $1::timestamptz - interval '30 days'
		AND detected_at < $2
	GROUP BY 1, 2),
loss AS (
	SELECT h.pool_id,
		jsonb_agg(jsonb_build_object('at', h.at, 'until', h.at + $3::interval, 'share',
		least(1.0, h.n::numeric / greatest(h.n, alive.n)))
			ORDER BY h.at) AS losses
	FROM hit h CROSS JOIN LATERAL (
		SELECT count(*) AS n
		FROM instances i
		WHERE i.pool_id = h.pool_id AND i.mode = 'spot' AND i.proof <> 'unproven'
			AND i.installed_at <= h.at + interval '5 minutes'
			AND coalesce(i.terminated_at, 'infinity') >= h.at) alive
	GROUP BY h.pool_id),
pool AS (
	SELECT p.* FROM pools p JOIN on_demand_prices o USING (instance_type, region) JOIN priced ON priced.pool_id = p.id)
SELECT jsonb_build_object(
	'name', 'recorded', 'start', $1::timestamptz, 'end', $2::timestamptz, 'seed', 1,
	'pools',
	(SELECT coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'type', p.instance_type, 'region', p.region, 'az', p.az,
	'prices', priced.prices, 'losses', coalesce(loss.losses, '[]'))
		ORDER BY p.id),
	'[]')
		FROM pool p JOIN priced ON priced.pool_id = p.id LEFT JOIN loss ON loss.pool_id = p.id),
	'on_demand',
	(SELECT coalesce(jsonb_agg(jsonb_build_object('type', o.instance_type, 'region', o.region, 'usd', o.price)
		ORDER BY o.region, o.instance_type),
	'[]')
		FROM on_demand_prices o))`

// Market reads what was recorded between two times as a market that engines can
// be run over. Fails with market.invalid when there is too little.
func (s *Decisions) Market(ctx context.Context, from, to time.Time) (*market.Market, error) {
	var raw []byte
	if err := s.DB.Pool.QueryRow(ctx, selectMarket, from, to, recordedOutage).Scan(&raw); err != nil {
		return nil, pg.Translate(err)
	}
	m := &market.Market{}
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, err
	}
	return m, m.Validate()
}
