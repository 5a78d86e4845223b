package prices

import (
	"cmp"
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/pricing"
	"spotkeeper/internal/postgres/pg"
)

// believed is the accepted part of a report, and its source.
type believed struct {
	clientID, agentID string
	pricing.Accepted
}

// counted is what became of a report in a batch.
type counted struct {
	known          bool
	done           bool // false: it was left out
	orphaned       bool
	prices, stored int
}

// Report takes in one pricing report of an agent. Concurrent reports share one statement,
// whatever the number of pools. The same report again changes
// nothing and is counted as duplicates. Fails with agent.not_found and as
// pricing.Report.Judge does.
func (s *Prices) Report(ctx context.Context, clientID, agentID string, r pricing.Report) (pricing.Ingested, error) {
	a, err := r.Judge(agentID, s.now())
	if err != nil {
		return pricing.Ingested{}, err
	}
	in := believed{clientID, agentID, a}
	out, err := s.reports.Do(ctx, in, s.writeReports)
	if pg.MayConcernOneRow(err) || err == nil && !out.done {
		var alone []counted
		if alone, err = s.writeReports(ctx, []believed{in}); err == nil {
			out = alone[0]
		}
	}
	switch {
	case err != nil:
		return pricing.Ingested{}, err
	case !out.known:
		return pricing.Ingested{}, agent.NotFound.New("Agent not found")
	}
	return pricing.Ingested{
		Orphaned:   out.orphaned,
		Accepted:   out.prices,
		Duplicates: out.prices - out.stored,
		Rejected:   a.Rejected,
	}, nil
}

// writeReports writes reports of different agents. A second one of an agent is left out.
func (s *Prices) writeReports(ctx context.Context, all []believed) ([]counted, error) {
	out := make([]counted, len(all))
	args, seen := &reportArgs{}, map[string]bool{}
	for n, r := range all {
		if !seen[r.agentID] {
			seen[r.agentID], out[n].done = true, true
			args.add(n, r)
		}
	}
	found, err := s.DB.Pool.Query(ctx, reports, args.all()...)
	if err != nil {
		return nil, pg.Translate(err)
	}
	var n, prices, stored int
	var orphaned bool
	_, err = pgx.ForEachRow(found, []any{&n, &orphaned, &prices, &stored}, func() error {
		out[n] = counted{known: true, done: true, orphaned: orphaned, prices: prices, stored: stored}
		return nil
	})
	return out, pg.Translate(err)
}

// reportArgs are the columns of reports and, from the fifteenth on, of their prices.
type reportArgs struct {
	numbers, numbersOf                []int
	texts                             [9][]string // tenant, agent, instance, type, region, and what is believed of the instance
	times                             [2][]time.Time
	dollars                           [2][]int64 // millionths of on-demand and spot
	ids, pools, types, regions, zones []string
	prices, references                []int64
}

func (a *reportArgs) add(n int, r believed) {
	onDemand := int64(r.OnDemand)
	if _, _, err := agent.SplitPool(agent.PoolID(r.InstanceType, r.Region+"a")); err != nil {
		onDemand = 0 // a price of nothing in particular
	}
	a.numbers = append(a.numbers, n)
	for i, text := range []string{r.clientID, r.agentID, r.InstanceID, r.InstanceType, r.Region,
		r.Own.InstanceType, r.Own.AZ, r.Own.Region, string(cmp.Or(r.Mode, agent.ModeUnknown))} {
		a.texts[i] = append(a.texts[i], text)
	}
	a.times[0], a.times[1] = append(a.times[0], r.At), append(a.times[1], pricing.BucketOf(r.At))
	a.dollars[0], a.dollars[1] = append(a.dollars[0], onDemand), append(a.dollars[1], int64(r.CurrentSpot))
	for _, p := range r.Submissions {
		a.numbersOf = append(a.numbersOf, n)
		a.ids, a.pools, a.types = append(a.ids, p.ID), append(a.pools, p.PoolID), append(a.types, p.InstanceType)
		a.regions, a.zones = append(a.regions, p.Region), append(a.zones, p.AZ)
		a.prices, a.references = append(a.prices, int64(p.Price)), append(a.references, int64(p.OnDemand))
	}
}

func (a *reportArgs) all() []any {
	return []any{
		a.numbers, a.texts[0], a.texts[1], a.texts[2], a.texts[3], a.texts[4], a.texts[5], a.texts[6], a.texts[7],
		a.texts[8],
		a.times[0], a.times[1], a.dollars[0], a.dollars[1],
		a.numbersOf, a.ids, a.pools, a.types, a.regions, a.zones, a.prices, a.references,
	}
}

// reports is pricing reports as one statement: who reports, then everything that
// follows from it. The market is not written: it is EC2's. Rows are written in the order
// of their keys and locked in the order of their instances, so that two statements wait
// for each other and never in a circle. A report goes to the front of the agent's last 24,
// which pages that list agents read. The latest price is the last that was observed, not
// the last that arrived. What is known already is looked up and not written, because many
// agents of a client share a pool. Of the reporting instance only the unknown is filled
// in, and only if it is the agent's own. That it is alive is written when no heartbeat has
// said so for a while. Each price is weighed as pricing.WorthOf does; a test compares. What
// counts is merged into the client's own buckets, the rest is kept as evidence. Which
// prices are new is looked up in one hash: the planner does not know how many there are
// and would compare each with each.
var reports = `
WITH r AS (
	SELECT *
	FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
		$9::text[],
			$10::text[], $11::timestamptz[], $12::timestamptz[], $13::bigint[], $14::bigint[])
		AS r(n, tenant, agent, instance, type, region, kind, zone, place, mode, at, bucket, od, spot)),
who AS MATERIALIZED (
	SELECT r.n, r.type, r.region, r.kind, r.zone, r.place, r.mode, r.at, r.bucket, r.od / 1e6 AS od,
		r.spot / 1e6 AS spot,
		a.id AS agent_id, a.client_id, nullif(r.instance, '') AS named, i.id AS instance_id,
		coalesce(i.proof <> 'unproven', false) AS proven,
		CASE WHEN i.mode = 'spot' THEN i.pool_id ELSE '' END AS own,
		coalesce((
			SELECT b.price
			FROM price_buckets b
			WHERE b.pool_id = i.pool_id AND b.bucket <= r.at AND b.bucket > r.at - interval '1 day'
			ORDER BY b.bucket DESC
			LIMIT 1), (SELECT p.price FROM pool_prices p WHERE p.pool_id = i.pool_id)) AS market,
		CASE WHEN r.instance <> '' AND i.id IS NULL
			THEN (SELECT ` + pg.PrimaryLost +
	` FROM (VALUES (1)) one LEFT JOIN instances p ON p.agent_id = a.id AND p.role = 'primary')
			ELSE false END AS orphaned,
		CASE WHEN i.role = 'primary' THEN 'primary'
		WHEN EXISTS (SELECT 1
			FROM replicas x
			WHERE x.instance_id = r.instance
				AND x.agent_id = a.id
				AND x.kind IN ('rebalance', 'termination')) THEN 'replica-automatic'
		ELSE 'replica-manual' END AS source
	FROM r JOIN agents a ON a.id = r.agent AND a.client_id = r.tenant
	LEFT JOIN instances i ON i.id = r.instance AND i.agent_id = a.id
	WHERE a.status <> 'deleted'),
told AS MATERIALIZED (
	SELECT x.*,
		CASE
			WHEN NOT x.proven THEN 'unproven'
			WHEN x.own <> x.pool_id THEN 'other_pool'
			WHEN x.price > x.market * ` + band + ` OR x.price * ` + band + ` < x.market THEN 'out_of_band'
			ELSE 'counts'
		END AS worth
	FROM (
		SELECT who.n, t.id, t.pool_id, t.instance_type, t.region, t.az, (t.price / 1e6)::numeric(12, 6) AS price,
			(nullif(t.od, 0) / 1e6)::numeric(12, 6) AS od,
			who.agent_id, who.client_id, who.named, who.source, who.at, who.bucket, who.proven, who.own, who.market
		FROM who
		JOIN unnest($15::int[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::bigint[],
			$22::bigint[])
			AS t(n, id, pool_id, instance_type, region, az, price, od) USING (n)) x
	ORDER BY x.pool_id, x.n),
stored AS (
	INSERT INTO price_submissions (submission_id, bucket, pool_id, instance_type, region, az, price, ondemand_price,
		source_type, client_id, agent_id, instance_id, observed_at, received_at, evidence)
	SELECT id, bucket, pool_id, instance_type, region, az, price, od, source, client_id, agent_id, named, at, now(),
		worth <> 'counts'
	FROM told
	ON CONFLICT DO NOTHING
	RETURNING submission_id),
counted AS MATERIALIZED (
	SELECT n, id, agent_id, pool_id, price, od, id IN (SELECT submission_id FROM stored) AS fresh
	FROM told),
latest AS (
	INSERT INTO client_prices AS p (client_id, pool_id, instance_type, region, az, price, worth, agent_id, instance_id,
		observed_at)
	SELECT client_id, pool_id, instance_type, region, az, price, worth, agent_id, named, at
	FROM (
		SELECT DISTINCT ON (client_id, pool_id) *
		FROM told
		ORDER BY client_id, pool_id, worth = 'counts' DESC, at DESC, n DESC) t
	WHERE NOT EXISTS (
		SELECT FROM client_prices p
		WHERE p.client_id = t.client_id
		  AND p.pool_id = t.pool_id
		  AND (p.worth = 'counts' AND t.worth <> 'counts' AND p.observed_at > t.at - interval '15 minutes'
			OR p.worth = t.worth AND (p.observed_at > t.at
				OR p.price = t.price AND p.observed_at > t.at - interval '30 seconds')))
	ORDER BY client_id, pool_id
	ON CONFLICT (client_id, pool_id)
	DO UPDATE SET instance_type = excluded.instance_type, region = excluded.region, az = excluded.az,
		price = excluded.price, worth = excluded.worth, agent_id = excluded.agent_id,
		instance_id = excluded.instance_id, observed_at = excluded.observed_at
	WHERE CASE
		WHEN p.worth = 'counts' AND excluded.worth <> 'counts'
			THEN p.observed_at <= excluded.observed_at - interval '15 minutes'
		WHEN p.worth <> 'counts' AND excluded.worth = 'counts'
			THEN p.observed_at < excluded.observed_at + interval '15 minutes'
		ELSE p.observed_at <= excluded.observed_at
	END),
best AS (
	SELECT DISTINCT ON (client_id, pool_id, bucket) client_id, pool_id, bucket, price, od, source,
		id AS submission_id, at AS observed_at,
		min(price) OVER equal AS low, max(price) OVER equal AS high
	FROM told
	WHERE worth = 'counts'
	WINDOW equal AS (PARTITION BY client_id, pool_id, bucket, source)
	ORDER BY client_id, pool_id, bucket, array_position(` + priorities + `, source) DESC, at, id COLLATE "C"),
bucket AS (
	INSERT INTO client_price_buckets AS b (client_id, pool_id, bucket, price, ondemand_price, source_type, confidence,
		submission_id, observed_at, low, high)
	SELECT client_id, pool_id, bucket, price, od, source, ` + confidences + `, submission_id, observed_at, low, high
	FROM best t
	WHERE NOT EXISTS (
		SELECT FROM client_price_buckets b
		WHERE b.client_id = t.client_id AND b.pool_id = t.pool_id AND b.bucket = t.bucket AND ` + absorbed + `)
	ORDER BY client_id, pool_id, bucket` + mergeClientBuckets + `),
changed AS MATERIALIZED (
	SELECT i.id, w.spot, who.od,
		CASE WHEN i.mode = 'unknown' THEN who.mode ELSE i.mode END AS mode,
		CASE WHEN i.instance_type IN ('', 'unknown') AND who.kind <> '' THEN who.kind ELSE i.instance_type END AS kind,
		CASE WHEN i.az IN ('', 'unknown') AND who.zone <> '' THEN who.zone ELSE i.az END AS zone,
		CASE WHEN i.region IN ('', 'unknown') AND who.place <> '' THEN who.place ELSE i.region END AS place
	FROM who
	JOIN instances i ON i.id = who.instance_id
	CROSS JOIN LATERAL (
		SELECT CASE
			WHEN who.proven AND who.own <> '' AND (who.spot > who.market * ` + band + `
				OR who.spot * ` + band + ` < who.market) THEN 0
			ELSE who.spot
		END AS spot) w
	WHERE w.spot > 0
		AND i.spot_price IS DISTINCT FROM w.spot
		OR who.od > 0
		AND i.ondemand_price IS DISTINCT FROM who.od
		OR i.mode = 'unknown' AND who.mode <> 'unknown'
		OR i.instance_type IN ('', 'unknown') AND who.kind <> ''
		OR i.az IN ('', 'unknown') AND who.zone <> ''
		OR i.region IN ('', 'unknown') AND who.place <> ''
		OR coalesce(i.last_seen_at < clock_timestamp() - interval '1 minute', true)
	ORDER BY i.id FOR NO KEY UPDATE OF i),
mine AS (
	UPDATE instances i
	SET spot_price = coalesce(nullif(c.spot, 0), i.spot_price),
		ondemand_price = coalesce(nullif(c.od, 0), i.ondemand_price),
		baseline_price = coalesce(i.baseline_price, nullif(c.od, 0)), mode = c.mode, instance_type = c.kind,
		az = c.zone, region = c.place,
		pool_id = CASE WHEN (c.kind, c.zone) IS DISTINCT FROM (i.instance_type,
		i.az) THEN c.kind || '.' || c.zone ELSE i.pool_id END,
		last_seen_at = clock_timestamp()
	FROM changed c WHERE i.id = c.id),
noted AS (
	INSERT INTO agent_reports AS r (agent_id, at, on_demand, spot)
	SELECT c.agent_id, ARRAY[now()], ARRAY[(coalesce(max(c.od), 0) * 1e6)::bigint],
		ARRAY[(coalesce(min(c.price) FILTER (WHERE c.pool_id = lives.pool_id), min(c.price)) * 1e6)::bigint]
	FROM counted c
	LEFT JOIN instances lives ON lives.agent_id = c.agent_id AND lives.role = 'primary'
	WHERE c.fresh
	GROUP BY c.agent_id
	ORDER BY c.agent_id
	ON CONFLICT (agent_id) DO UPDATE
	SET at = (excluded.at || r.at)[1:24], on_demand = (excluded.on_demand || r.on_demand)[1:24],
		spot = (excluded.spot || r.spot)[1:24])
SELECT who.n, who.orphaned, count(c.id), count(*) FILTER (WHERE c.fresh)
FROM who
LEFT JOIN counted c USING (n)
GROUP BY who.n, who.orphaned`
