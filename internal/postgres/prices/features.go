package prices

import (
	"context"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres/pg"
)

const datasetJob = "ml-dataset"

// datasetSpan is how far back models learn.
const datasetSpan = 2 * 365 * 24 * time.Hour

// features computes one day. What a price did before is read by time and not by
// rows, so a gap is unknown and not the hour of another row. The day before is read
// along for the look back.
const features = `
WITH clean AS (
	SELECT pool_id, bucket, price, ondemand_price, confidence FROM price_buckets
	WHERE bucket >= $1::timestamptz - interval '24 hours' AND bucket < $2 AND confidence >= 0.95),
known AS (
	SELECT *, first_value(price) OVER hour_ago AS hour_ago, first_value(price) OVER day_ago AS day_ago,
		stddev_samp(price) OVER six_hours AS stddev
	FROM clean WINDOW
		hour_ago AS (PARTITION BY pool_id ORDER BY bucket RANGE BETWEEN '1 hour' PRECEDING AND '1 hour' PRECEDING),
		day_ago AS (PARTITION BY pool_id ORDER BY bucket RANGE BETWEEN '24 hours' PRECEDING AND '24 hours' PRECEDING),
		six_hours AS (PARTITION BY pool_id
			ORDER BY bucket RANGE BETWEEN '5 hours 55 minutes' PRECEDING AND CURRENT ROW)),
ranked AS (
	SELECT k.*, rank() OVER (PARTITION BY p.instance_type, p.region, k.bucket ORDER BY k.price) AS place,
		k.bucket AT TIME ZONE 'UTC' AS utc
	FROM known k JOIN pools p ON p.id = k.pool_id WHERE k.bucket >= $1),
written AS (
	INSERT INTO price_features AS f (pool_id, bucket, price, ondemand_price, savings_percent, confidence, hour, weekday,
		day, month, year, price_change_1h, price_change_24h, price_stddev_6h, price_rank)
	SELECT pool_id, bucket, price, ondemand_price, round((ondemand_price - price) / ondemand_price * 100, 2),
		confidence,
		extract(hour FROM utc), extract(isodow FROM utc), extract(day FROM utc), extract(month FROM utc),
		extract(year FROM utc),
		price - hour_ago, price - day_ago, round(stddev, 6), place FROM ranked
	ON CONFLICT (pool_id, bucket)
	DO UPDATE SET price = excluded.price, ondemand_price = excluded.ondemand_price,
		savings_percent = excluded.savings_percent, confidence = excluded.confidence,
		price_change_1h = excluded.price_change_1h, price_change_24h = excluded.price_change_24h,
		price_stddev_6h = excluded.price_stddev_6h, price_rank = excluded.price_rank
	WHERE (f.price, f.ondemand_price, f.confidence, f.price_change_1h, f.price_change_24h, f.price_stddev_6h,
		f.price_rank)
		IS DISTINCT FROM (excluded.price, excluded.ondemand_price, excluded.confidence, excluded.price_change_1h,
		excluded.price_change_24h, excluded.price_stddev_6h, excluded.price_rank)
	RETURNING 1)
SELECT count(*) FROM written`

// RefreshFeatures computes the features of every day in which a bucket changed
// since the last run, and of the day after it, whose look back reaches there.
func (s *Prices) RefreshFeatures(ctx context.Context, beat func()) (activities.DatasetRefreshed, error) {
	var out activities.DatasetRefreshed
	since, err := s.Watermark(ctx, datasetJob, "")
	if err != nil {
		return out, err
	}
	var until time.Time
	if err := s.DB.Pool.QueryRow(ctx, `SELECT now()`).Scan(&until); err != nil {
		return out, pg.Translate(err)
	}
	type touched struct{ Day time.Time }
	days, err := pg.QueryRows[touched](ctx, s.DB, `
		WITH changed AS (SELECT DISTINCT date_trunc('day', bucket, 'UTC') AS day
			FROM price_buckets
			WHERE updated_at > $1 AND bucket > $2)
		SELECT DISTINCT day
		FROM (SELECT day FROM changed UNION SELECT day + interval '24 hours' FROM changed) d
		WHERE day <= now()
		ORDER BY day`,
		since.Add(-commitLag), until.Add(-datasetSpan))
	if err != nil {
		return out, err
	}
	for _, d := range days {
		var written int64
		if err := s.DB.Pool.QueryRow(ctx, features, d.Day, d.Day.Add(24*time.Hour)).Scan(&written); err != nil {
			return out, pg.Translate(err)
		}
		out.Days++
		out.Written += written
		beat()
	}
	return out, s.SetWatermark(ctx, datasetJob, "", until)
}
