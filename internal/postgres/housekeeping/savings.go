package housekeeping

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/postgres/pg"
)

// ledger computes a client's month. Each agent's time with a primary costs its
// on-demand reference; everything that ran for the client, primaries, replicas
// and both sides of a switch, cost the price in force in its zone, second by
// second. The difference was saved. A spot instance that EC2 took back within its
// first hour was free. A price is in force until another is known; time for which
// no price or no reference is known counts on neither side, and is listed.
//
// Prices are those of what the instance runs. The volumes of what runs beside cost by the
// second too. A month is in one currency: what is priced in another counts on neither side.
//
// The month is the sum of its lines, one per instance, each rounded to a millionth: what is
// exported line by line adds up to what pages show.
//
// Hours of twelve known buckets are taken as one; an hour that something ran for in
// part, or that is known in part, is taken in its five minutes.
const ledger = `
WITH span AS (SELECT $2::timestamptz AS first, least($3::timestamptz, $4::timestamptz) AS last),
inst AS (
	SELECT i.id, i.agent_id, i.mode, i.pool_id, i.instance_type, i.region, i.installed_at AS since, i.spot_price,
		coalesce(i.terminated_at, CASE WHEN i.role = 'retired' THEN coalesce(i.retiring_since, i.installed_at) END,
		$4) AS until,
		CASE WHEN i.role <> 'primary' THEN i.retiring_since END AS left_at,
		i.mode = 'spot' AND i.terminate_by = 'aws' AND i.terminated_at < i.installed_at + interval '1 hour' AS free,
		x.product, x.product <> 'Linux/UNIX' AS other,
		CASE WHEN x.product <> 'Linux/UNIX' THEN pp.price
			ELSE coalesce(od.price, i.baseline_price, i.ondemand_price) END AS reference,
		CASE WHEN pp.price IS NOT NULL THEN 'pricing-api' ELSE od.source END AS source,
		coalesce(CASE WHEN x.product <> 'Linux/UNIX' THEN pp.currency ELSE od.currency END, 'USD') AS currency,
		coalesce((
			SELECT sum(g.gib::numeric * v.gb_month)
			FROM jsonb_each_text(i.volumes) AS g (kind, gib)
			JOIN volume_prices v ON v.region = i.region AND v.kind = g.kind), 0) AS volumes_a_month
	FROM instances i
	LEFT JOIN launch_templates l ON l.agent_id = i.agent_id
	CROSS JOIN LATERAL (
		SELECT coalesce(nullif(i.product, ''), l.template->>'product', 'Linux/UNIX') AS product) x
	LEFT JOIN on_demand_prices od ON od.region = i.region AND od.instance_type = i.instance_type
	LEFT JOIN product_prices pp ON x.product <> 'Linux/UNIX'
		AND pp.region = i.region AND pp.instance_type = i.instance_type AND pp.product = x.product
	WHERE i.client_id = $1),
money AS ( -- an account is in one partition of AWS, which has one currency
	SELECT coalesce((
		SELECT currency FROM inst WHERE reference IS NOT NULL GROUP BY currency ORDER BY count(*) DESC, currency LIMIT 1),
		'USD') AS currency),
led AS ( -- who was primary from when to when; without an end, until it left
	SELECT agent_id, new_id AS id, changed_at AS since,
		lead(changed_at) OVER (PARTITION BY agent_id ORDER BY epoch) AS until
	FROM role_changes
	WHERE client_id = $1
	UNION ALL
	(SELECT DISTINCT ON (agent_id) agent_id, old_id, '-infinity'::timestamptz, changed_at
		FROM role_changes
		WHERE client_id = $1
		ORDER BY agent_id, epoch)
	UNION ALL -- an agent that never moved: all that it had and that was no replica
	SELECT i.agent_id, i.id, '-infinity'::timestamptz, NULL FROM instances i
	WHERE i.client_id = $1
		AND i.role <> 'replica'
		AND NOT EXISTS (SELECT 1 FROM role_changes c WHERE c.agent_id = i.agent_id)
		AND (i.role = 'primary'
		OR NOT EXISTS (SELECT 1 FROM replicas r WHERE r.agent_id = i.agent_id AND r.instance_id = i.id))),
parts AS ( -- pieces of time per instance, as primary and beside
	SELECT i.*, true AS leads, greatest(i.since, l.since, s.first) AS a,
		least(i.until, coalesce(l.until, i.left_at), s.last) AS b
	FROM led l JOIN inst i ON i.id = l.id, span s
	UNION ALL
	SELECT i.*, false, greatest(i.since, s.first), least(i.until, s.last) FROM inst i, span s),
bought AS MATERIALIZED (SELECT DISTINCT pool_id FROM inst WHERE mode = 'spot'),
market AS ( -- what the client has measured in its own pools, else EC2's history
	SELECT c.pool_id, c.bucket, c.price
	FROM client_price_buckets c, span s
	WHERE c.client_id = $1
	  AND c.pool_id IN (SELECT pool_id FROM bought)
	  AND c.bucket >= s.first
	  AND c.bucket < s.last
	UNION ALL
	SELECT b.pool_id, b.bucket, b.price
	FROM price_buckets b, span s
	WHERE b.pool_id IN (SELECT pool_id FROM bought)
	  AND b.bucket >= s.first
	  AND b.bucket < s.last
	  AND NOT EXISTS (
		SELECT FROM client_price_buckets c
		WHERE c.client_id = $1 AND c.pool_id = b.pool_id AND c.bucket = b.bucket)),
spot AS (
	SELECT pool_id, date_trunc('hour', bucket, 'UTC') AS hour, avg(price) AS price, count(*) AS known
	FROM market
	GROUP BY 1, 2),
hours AS (
	SELECT p.*, x.price, greatest(p.a, h.hour) AS at, least(p.b, h.hour + interval '1 hour') AS till,
		p.mode = 'spot'
		AND (p.other OR x.known IS NOT NULL)
		AND (p.other OR x.known < 12 OR p.a > h.hour OR p.b < h.hour + interval '1 hour') AS split
	FROM parts p CROSS JOIN LATERAL generate_series(date_trunc('hour', p.a, 'UTC'), p.b, interval '1 hour') AS h(hour)
	LEFT JOIN spot x ON x.pool_id = p.pool_id AND x.hour = h.hour WHERE p.a < p.b AND h.hour < p.b),
pieces AS (
	SELECT id, leads, mode, free, reference, source, currency, pool_id, other, spot_price, at,
		extract(epoch FROM till - at) AS seconds, price
	FROM hours
	WHERE NOT split
	UNION ALL
	SELECT h.id, h.leads, h.mode, h.free, h.reference, h.source, h.currency, h.pool_id, h.other, h.spot_price, f.at,
		extract(epoch FROM least(h.till, f.at + interval '5 minutes') - greatest(h.at, f.at)), b.price
	FROM hours h
	CROSS JOIN LATERAL generate_series(date_bin('5 minutes', h.at, timestamptz 'epoch'), h.till - interval '1 microsecond',
		interval '5 minutes') AS f(at)
	LEFT JOIN LATERAL (
		SELECT c.price FROM client_price_buckets c
		WHERE NOT h.other AND c.client_id = $1 AND c.pool_id = h.pool_id AND c.bucket = f.at
		UNION ALL
		SELECT m.price FROM price_buckets m WHERE NOT h.other AND m.pool_id = h.pool_id AND m.bucket = f.at
		UNION ALL
		(SELECT s.price
			FROM product_spot_prices s
			WHERE h.other AND s.pool_id = h.pool_id AND s.product = h.product AND s.at <= greatest(f.at, h.at)
			ORDER BY s.at DESC
			LIMIT 1)
		LIMIT 1) b ON true
	WHERE h.split),
priced AS (
	SELECT id, leads, seconds, reference, source, currency,
		CASE WHEN free THEN 0 WHEN mode <> 'spot' THEN reference WHEN other THEN price ELSE coalesce(price,
		(SELECT b.price
			FROM price_buckets b
			WHERE b.pool_id = p.pool_id AND b.bucket <= p.at
			ORDER BY b.bucket DESC
			LIMIT 1),
		spot_price, (SELECT pp.price FROM pool_prices pp WHERE pp.pool_id = p.pool_id)) END AS price
	FROM pieces p),
lines AS (
	SELECT id,
		coalesce(sum(seconds) FILTER (WHERE NOT leads), 0) AS seconds,
		coalesce(sum(seconds) FILTER (WHERE leads), 0) AS primary_seconds,
		coalesce(sum(seconds) FILTER (WHERE NOT leads AND NOT known), 0) AS unpriced_seconds,
		round(coalesce(sum(seconds / 3600 * reference) FILTER (WHERE leads AND known), 0), 6) AS baseline,
		round(coalesce(sum(seconds / 3600 * price) FILTER (WHERE NOT leads AND known), 0), 6) AS everything,
		round(coalesce(sum(seconds / 3600 * price) FILTER (WHERE leads AND known), 0), 6) AS primaries,
		string_agg(DISTINCT coalesce(source, 'instance'), ', ') AS list
	FROM (
		SELECT *, reference IS NOT NULL
			AND price IS NOT NULL
			AND currency = (SELECT currency FROM money) AS known
		FROM priced) p
	GROUP BY id),
volumes AS ( -- a standby, and each side of a move, has volumes of its own: the primary's cost the same without us
	SELECT l.id, round((l.seconds - l.primary_seconds) * i.volumes_a_month
		/ extract(epoch FROM $3::timestamptz - $2::timestamptz), 6) AS cost
	FROM lines l
	JOIN inst i ON i.id = l.id
	WHERE i.currency = (SELECT currency FROM money)),
sums AS (
	SELECT coalesce(sum(baseline), 0) AS baseline, coalesce(sum(everything), 0) AS everything,
		coalesce(sum(primaries), 0) AS primaries, coalesce(sum(primary_seconds), 0) / 3600 AS hours,
		coalesce(sum(unpriced_seconds), 0) / 3600 AS unknown, coalesce(string_agg(DISTINCT list, ', '), 'none') AS list
	FROM lines),
kept AS (
	INSERT INTO client_savings AS c (client_id, month, currency, baseline, actual, savings, provisional, details)
	SELECT $1, ($2::timestamptz AT TIME ZONE 'UTC')::date, (SELECT currency FROM money), baseline,
		everything + v.cost, baseline - everything - v.cost,
		$3::timestamptz + interval '1 hour' > $4::timestamptz,
		jsonb_build_object('primary_cost', round(primaries, 6), 'replica_cost', round(everything - primaries, 6),
			'volume_cost', v.cost, 'products', (SELECT coalesce(jsonb_agg(DISTINCT product), '[]') FROM inst),
			'unlimited_hours', round((
				SELECT coalesce(sum(x.seconds), 0) / 3600
				FROM lines x
				JOIN inst i ON i.id = x.id
				JOIN launch_templates t ON t.agent_id = i.agent_id AND t.template->>'credits' = 'unlimited'), 4),
			'primary_hours', round(hours, 4), 'unpriced_hours', round(unknown, 4),
			'price_list', 'on-demand list price per region, type and product (' || list || '), as known on '
				|| to_char($4::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD'))
	FROM sums, (SELECT coalesce(sum(cost), 0) AS cost FROM volumes) v
	ON CONFLICT (client_id, month)
	DO UPDATE SET currency = excluded.currency, baseline = excluded.baseline, actual = excluded.actual, savings = excluded.savings,
		provisional = excluded.provisional,
		details = excluded.details, computed_at = now()
	WHERE c.provisional
	RETURNING client_id, month)
INSERT INTO savings_lines (client_id, month, instance_id, agent_id, agent, instance_type, region, az, mode, seconds,
	primary_seconds, unpriced_seconds, baseline, primary_cost, beside_cost, product, currency, volume_cost)
SELECT k.client_id, k.month, l.id, coalesce(i.agent_id, ''), coalesce(a.logical_agent_id, ''), i.instance_type,
	i.region, i.az, i.mode, l.seconds, l.primary_seconds, l.unpriced_seconds, l.baseline, l.primaries,
	l.everything - l.primaries, x.product, x.currency, coalesce(v.cost, 0)
FROM kept k
CROSS JOIN lines l
JOIN instances i ON i.id = l.id
JOIN inst x ON x.id = l.id
LEFT JOIN volumes v ON v.id = l.id
LEFT JOIN agents a ON a.id = i.agent_id`

// ClientsOf lists the clients that existed in a month whose figures are not final.
func (s *Housekeeping) ClientsOf(ctx context.Context, month time.Time) ([]string, error) {
	type c struct{ ID string }
	list, err := pg.QueryRows[c](ctx, s.DB, `SELECT id FROM clients WHERE created_at < $1 AND NOT EXISTS (
		SELECT 1 FROM client_savings s WHERE s.client_id = clients.id AND s.month = $2::date AND NOT s.provisional)
		ORDER BY id`, month.AddDate(0, 1, 0), month.Format(time.DateOnly))
	out := make([]string, 0, len(list))
	for _, x := range list {
		out = append(out, x.ID)
	}
	return out, err
}

// FirstOpenMonth is the oldest month for which any figures are provisional;
// zero: there is none.
func (s *Housekeeping) FirstOpenMonth(ctx context.Context) (time.Time, error) {
	var month *time.Time
	err := s.DB.Pool.QueryRow(ctx, `SELECT min(month) FROM client_savings WHERE provisional`).Scan(&month)
	if err != nil || month == nil {
		return time.Time{}, pg.Translate(err)
	}
	return *month, nil
}

// ComputeSavings writes a client's month as it looks at a moment; one that is over for an
// hour, in which its last prices arrive, becomes final and is not computed again. The total
// is the sum of the months and nothing else.
func (s *Housekeeping) ComputeSavings(ctx context.Context, clientID string, month, now time.Time) error {
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `
DELETE FROM savings_lines l
USING client_savings c
WHERE l.client_id = $1
  AND l.month = $2::date
  AND c.client_id = l.client_id
  AND c.month = l.month
  AND c.provisional`, clientID, month.Format(time.DateOnly)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, ledger, clientID, month, month.AddDate(0, 1, 0), now)
		return err
	})
	if err != nil {
		return err
	}
	_, err = s.DB.Pool.Exec(ctx, `UPDATE clients SET total_savings = x.total, updated_at = now()
		FROM (SELECT coalesce(sum(savings), 0) AS total FROM client_savings WHERE client_id = $1) x
		WHERE id = $1 AND total_savings <> x.total`, clientID)
	return pg.Translate(err)
}
