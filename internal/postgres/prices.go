package postgres

import (
	"context"
	"time"

	"spotkeeper/internal/agent"
	"spotkeeper/internal/pricing"
)

// Prices keeps what pools cost: submissions as they were told, the truth per five
// minutes, and the latest price of each pool.
type Prices struct {
	DB  *DB
	Now func() time.Time // nil: time.Now
}

func (s *Prices) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// priorities orders sources as pricing.Source.Priority does; a test compares.
const priorities = `ARRAY['interpolated','collector','replica-manual','replica-automatic','primary']`

// mergeBuckets ends an INSERT INTO price_buckets AS b. It is pricing.Truth.Merge:
// the higher priority wins; among equals the earliest, then the smaller id, and
// the bounds widen. So it may run any number of times in any order. A row that
// would not change is not written.
const mergeBuckets = `
	ON CONFLICT (pool_id, bucket) DO UPDATE SET
		(price, ondemand_price, source_type, confidence, method, submission_id, observed_at, low, high, updated_at) = (
			SELECT CASE WHEN w.theirs THEN excluded.price ELSE b.price END, CASE WHEN w.theirs THEN excluded.ondemand_price ELSE b.ondemand_price END,
				CASE WHEN w.theirs THEN excluded.source_type ELSE b.source_type END, CASE WHEN w.theirs THEN excluded.confidence ELSE b.confidence END,
				CASE WHEN w.theirs THEN excluded.method ELSE b.method END, CASE WHEN w.theirs THEN excluded.submission_id ELSE b.submission_id END,
				CASE WHEN w.theirs THEN excluded.observed_at ELSE b.observed_at END,
				CASE WHEN excluded.source_type = b.source_type THEN least(excluded.low, coalesce(b.low, b.price)) ELSE excluded.low END,
				CASE WHEN excluded.source_type = b.source_type THEN greatest(excluded.high, coalesce(b.high, b.price)) ELSE excluded.high END,
				clock_timestamp()
			FROM (SELECT excluded.source_type <> b.source_type OR excluded.observed_at < b.observed_at
				OR excluded.observed_at = b.observed_at AND excluded.submission_id < coalesce(b.submission_id, '') COLLATE "C" AS theirs) w)
	WHERE array_position(` + priorities + `, excluded.source_type) > array_position(` + priorities + `, b.source_type)
		OR excluded.source_type = b.source_type AND (excluded.observed_at < b.observed_at
			OR excluded.observed_at = b.observed_at AND excluded.submission_id < coalesce(b.submission_id, '') COLLATE "C"
			OR excluded.low < coalesce(b.low, b.price) OR excluded.high > coalesce(b.high, b.price))`

// absorbed says that the bucket b holds already what t would add: t.low to t.high,
// seen at t.observed_at. To try the merge would lock the row all the same, and
// thousands of agents share a pool. A row that absorbs something always will.
const absorbed = `(array_position(` + priorities + `, b.source_type) > array_position(` + priorities + `, t.source)
	OR b.source_type = t.source AND b.low <= t.low AND b.high >= t.high
		AND (b.observed_at < t.observed_at OR b.observed_at = t.observed_at AND b.submission_id <= t.submission_id COLLATE "C"))`

// confidences is pricing.Source.Confidence for what is measured.
const confidences = `CASE source WHEN 'primary' THEN 1.00 ELSE 0.95 END`

// report is one pricing report as one statement: who reports, then everything
// that follows from it. Rows are written in the order of their pools, so that two
// reports wait for each other and never in a circle. The latest price is the
// last that was observed, not the last that arrived. What is known already is
// looked up and not written, because thousands of agents share a pool.
const report = `
WITH who AS (
	SELECT a.id AS agent_id, a.client_id, i.id AS instance_id, CASE WHEN i.role = 'primary' THEN 'primary'
		WHEN EXISTS (SELECT 1 FROM replicas r WHERE r.instance_id = $3 AND r.agent_id = a.id AND r.kind IN ('rebalance', 'termination')) THEN 'replica-automatic'
		ELSE 'replica-manual' END AS source
	FROM agents a LEFT JOIN instances i ON i.id = $3 AND i.agent_id = a.id
	WHERE a.id = $2 AND a.client_id = $1 AND a.status <> 'deleted'),
told AS MATERIALIZED (
	SELECT t.id, t.pool_id, t.instance_type, t.region, t.az, (t.price / 1e6)::numeric(12, 6) AS price, (nullif(t.od, 0) / 1e6)::numeric(12, 6) AS od, who.*
	FROM who, unnest($10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[], $16::bigint[])
		AS t(id, pool_id, instance_type, region, az, price, od) ORDER BY t.pool_id),
pool AS (
	INSERT INTO pools (id, instance_type, region, az)
	SELECT pool_id, instance_type, region, az FROM told WHERE NOT EXISTS (SELECT 1 FROM pools p WHERE p.id = told.pool_id) ON CONFLICT DO NOTHING),
stored AS (
	INSERT INTO price_submissions (submission_id, bucket, pool_id, instance_type, region, az, price, ondemand_price, source_type, client_id, agent_id, instance_id, observed_at, received_at)
	SELECT id, $5, pool_id, instance_type, region, az, price, od, source, client_id, agent_id, nullif($3, ''), $4, now() FROM told ON CONFLICT DO NOTHING RETURNING 1),
latest AS (
	INSERT INTO pool_prices AS p (pool_id, instance_type, region, az, price, source_type, observed_at)
	SELECT pool_id, instance_type, region, az, price, source, $4 FROM told
	WHERE NOT EXISTS (SELECT 1 FROM pool_prices p WHERE p.pool_id = told.pool_id
		AND (p.observed_at > $4 OR p.price = told.price AND p.observed_at > $4::timestamptz - interval '30 seconds'))
	ON CONFLICT (pool_id) DO UPDATE SET price = excluded.price, source_type = excluded.source_type, observed_at = excluded.observed_at, updated_at = now()
	WHERE excluded.observed_at >= p.observed_at),
bucket AS (
	INSERT INTO price_buckets AS b (pool_id, bucket, price, ondemand_price, source_type, confidence, submission_id, observed_at, low, high)
	SELECT pool_id, $5, price, od, source, ` + confidences + `, submission_id, observed_at, low, high
	FROM (SELECT *, id AS submission_id, $4::timestamptz AS observed_at, price AS low, price AS high FROM told) t
	WHERE NOT EXISTS (SELECT 1 FROM price_buckets b WHERE b.pool_id = t.pool_id AND b.bucket = $5 AND ` + absorbed + `)` + mergeBuckets + `),
reference AS (
	INSERT INTO on_demand_prices AS o (region, instance_type, price, source, observed_at)
	SELECT $8, $7, $6::bigint / 1e6, 'agent', $4 FROM who
	WHERE $6::bigint > 0 AND NOT EXISTS (SELECT 1 FROM on_demand_prices o WHERE o.region = $8 AND o.instance_type = $7
		AND (o.source <> 'agent' AND o.observed_at >= now() - interval '7 days' OR o.observed_at > $4
			OR o.price = $6::bigint / 1e6 AND o.observed_at > $4::timestamptz - interval '5 minutes'))
	ON CONFLICT (region, instance_type) DO UPDATE SET price = excluded.price, source = excluded.source, observed_at = excluded.observed_at
	WHERE (o.source = 'agent' OR o.observed_at < now() - interval '7 days') AND excluded.observed_at >= o.observed_at),
mine AS (
	UPDATE instances i SET spot_price = coalesce(nullif($9::bigint, 0) / 1e6, i.spot_price), ondemand_price = coalesce(nullif($6::bigint, 0) / 1e6, i.ondemand_price),
		baseline_price = coalesce(i.baseline_price, nullif($6::bigint, 0) / 1e6)
	FROM who WHERE i.id = who.instance_id AND ($9::bigint > 0 AND i.spot_price IS DISTINCT FROM $9::bigint / 1e6 OR $6::bigint > 0 AND i.ondemand_price IS DISTINCT FROM $6::bigint / 1e6))
SELECT (SELECT count(*) FROM who), (SELECT count(*) FROM told), (SELECT count(*) FROM stored)`

// Report takes in one pricing report of an agent: one statement, whatever the
// number of pools. The same report again changes nothing and is counted as
// duplicates. Fails with agent.not_found and as pricing.Report.Judge does.
func (s *Prices) Report(ctx context.Context, clientID, agentID string, r pricing.Report) (pricing.Ingested, error) {
	a, err := r.Judge(agentID, s.now())
	if err != nil {
		return pricing.Ingested{}, err
	}
	onDemand := int64(a.OnDemand)
	if _, _, err := agent.SplitPool(agent.PoolID(a.InstanceType, a.Region+"a")); err != nil {
		onDemand = 0 // a price of nothing in particular
	}
	n := len(a.Submissions)
	ids, pools, types, regions, zones := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	prices, references := make([]int64, n), make([]int64, n)
	for i, p := range a.Submissions {
		ids[i], pools[i], types[i], regions[i], zones[i] = p.ID, p.PoolID, p.InstanceType, p.Region, p.AZ
		prices[i], references[i] = int64(p.Price), int64(p.OnDemand)
	}
	var known, told, stored int
	err = s.DB.Pool.QueryRow(ctx, report, clientID, agentID, a.InstanceID, a.At, pricing.Bucket(a.At), onDemand, a.InstanceType, a.Region, int64(a.CurrentSpot),
		ids, pools, types, regions, zones, prices, references).Scan(&known, &told, &stored)
	switch {
	case err != nil:
		return pricing.Ingested{}, translate(err)
	case known == 0:
		return pricing.Ingested{}, agent.NotFound.New("Agent not found")
	}
	return pricing.Ingested{Accepted: told, Duplicates: told - stored, Rejected: a.Rejected}, nil
}
