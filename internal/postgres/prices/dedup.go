package prices

import (
	"context"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres/pg"
)

var _ activities.PriceStore = (*Prices)(nil)

// Watermarks keep how far a job has come. They only go forward.

// Watermark returns how far a job has come in a scope; zero: it never ran.
func (s *Prices) Watermark(ctx context.Context, job, scope string) (time.Time, error) {
	var at time.Time
	err := s.DB.Pool.QueryRow(ctx, `SELECT at FROM job_watermarks WHERE job = $1 AND scope = $2`, job, scope).Scan(&at)
	if pg.IsNoRows(err) {
		return time.Time{}, nil
	}
	return at.UTC(), pg.Translate(err)
}

// SetWatermark records how far a job has come.
func (s *Prices) SetWatermark(ctx context.Context, job, scope string, at time.Time) error {
	_, err := s.DB.Pool.Exec(ctx, `INSERT INTO job_watermarks AS w (job, scope, at) VALUES ($1, $2, $3)
		ON CONFLICT (job, scope) DO UPDATE SET at = greatest(w.at, excluded.at), updated_at = now()`, job, scope, at)
	return pg.Translate(err)
}

const (
	dedupJob = "price-dedup"
	// dedupChunk is how many submissions one statement merges: some hundred
	// milliseconds, so that a heartbeat is never late and no lock is held long.
	dedupChunk = 100_000
	// commitLag is how much later than it began a report may have been committed:
	// the next run starts so much before the watermark. Merging a report again
	// changes nothing.
	commitLag = 5 * time.Minute
)

// merge takes the best of each bucket out of a span of arrivals that count and merges it
// into the buckets of their clients.
const merge = `
WITH told AS (
	SELECT s.client_id, s.pool_id, s.bucket, s.price, s.ondemand_price, s.source_type, s.submission_id, s.observed_at
	FROM price_submissions s
	JOIN clients c ON c.id = s.client_id -- a client that was removed has no prices
	WHERE s.received_at > $1
	  AND s.received_at <= $2
	  AND NOT s.evidence),
best AS (
	SELECT DISTINCT ON (client_id, pool_id, bucket) client_id, pool_id, bucket, price, ondemand_price,
		source_type AS source, submission_id,
		observed_at, min(price) OVER equal AS low, max(price) OVER equal AS high
	FROM told WINDOW equal AS (PARTITION BY client_id, pool_id, bucket, source_type)
	ORDER BY client_id, pool_id, bucket, array_position(` + priorities +
	`, source_type) DESC, observed_at, submission_id COLLATE "C"),
merged AS (
	INSERT INTO client_price_buckets AS b (client_id, pool_id, bucket, price, ondemand_price, source_type, confidence,
		submission_id, observed_at, low, high)
	SELECT client_id, pool_id, bucket, price, ondemand_price, source, ` + confidences +
	`, submission_id, observed_at, low, high
	FROM best t
	WHERE NOT EXISTS (
		SELECT FROM client_price_buckets b
		WHERE b.client_id = t.client_id AND b.pool_id = t.pool_id AND b.bucket = t.bucket AND ` + absorbed + `)
	ORDER BY client_id, pool_id, bucket` + mergeClientBuckets + `
	RETURNING (xmax = 0) AS fresh)
SELECT (SELECT count(*) FROM told), count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE NOT fresh) FROM merged`

// Deduplicate merges into the buckets what arrived since the last run, however
// long ago that was, chunk by chunk; beat is called after each. The watermark
// moves with the chunks, so a run that is cut off is taken up where it was.
func (s *Prices) Deduplicate(ctx context.Context, beat func()) (activities.PricesDeduplicated, error) {
	var out activities.PricesDeduplicated
	from, err := s.Watermark(ctx, dedupJob, "")
	if err != nil {
		return out, err
	}
	var until time.Time
	if err := s.DB.Pool.QueryRow(ctx, `SELECT now()`).Scan(&until); err != nil {
		return out, pg.Translate(err)
	}
	if !from.IsZero() {
		from = from.Add(-commitLag)
	}
	for from.Before(until) {
		next := until
		err := s.DB.Pool.QueryRow(ctx,
			`SELECT received_at FROM price_submissions WHERE received_at > $1 AND received_at <= $2
			ORDER BY received_at OFFSET $3 LIMIT 1`, from, until, dedupChunk-1).Scan(&next)
		if err != nil && !pg.IsNoRows(err) {
			return out, pg.Translate(err)
		}
		var told, fresh, changed int64
		if err := s.DB.Pool.QueryRow(ctx, merge, from, next).Scan(&told, &fresh, &changed); err != nil {
			return out, pg.Translate(err)
		}
		out.Processed, out.New, out.Replaced = out.Processed+told, out.New+fresh, out.Replaced+changed
		if err := s.SetWatermark(ctx, dedupJob, "", next); err != nil {
			return out, err
		}
		from = next
		beat()
	}
	out.Duplicates = out.Processed - out.New - out.Replaced
	err = s.DB.Pool.QueryRow(ctx, `SELECT count(*) FROM client_price_buckets WHERE discrepancy IS NOT NULL AND bucket > $1`,
		until.Add(-time.Hour)).Scan(&out.Discrepancies)
	return out, pg.Translate(err)
}
