package prices

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/pricing"
	"spotkeeper/internal/postgres/pg"
)

const gapJob = "gap-fill"

// Bounds of what one run of gap filling looks at: the last day, or since the last
// run if that is longer ago, but no more than what submissions are kept for. A gap
// that was still open when the last run came has an end now, so the window begins
// as much earlier as a gap that is filled may be long.
const (
	gapWindow = 24 * time.Hour
	gapReach  = 2 * time.Hour // the longest gap that is filled; measured prices are looked for so far outside
	// gapStep is how much of a group is in memory at a time: an ordinary run at once.
	gapStep = gapWindow + gapReach
)

// gapGroup is the pools of one type in one region: they are each other's peers.
type gapGroup struct{ Pools []string }

// FillGaps fills the gaps of the day before until, group by group; beat is called
// after each. Only measured prices count and only interpolated ones are
// written over, so a second run changes nothing, and one after a late report
// corrects what the first had guessed.
func (s *Prices) FillGaps(ctx context.Context, until time.Time, beat func()) (activities.GapsFilled, error) {
	var out activities.GapsFilled
	from, err := s.Watermark(ctx, gapJob, "")
	if err != nil {
		return out, err
	}
	if day := until.Add(-gapWindow); from.IsZero() || from.After(day) {
		from = day
	}
	from = from.Add(-gapReach)
	if oldest := until.Add(-pricing.MaxAge); from.Before(oldest) {
		from = oldest
	}
	groups, err := pg.QueryRows[gapGroup](
		ctx,
		s.DB,
		`SELECT array_agg(id ORDER BY id) AS pools FROM pools WHERE is_active GROUP BY instance_type, region ORDER BY 1`,
	)
	if err != nil {
		return out, err
	}
	for _, g := range groups {
		for start := from; start.Before(until); start = start.Add(gapStep) {
			end := start.Add(gapStep)
			if end.After(until) {
				end = until
			}
			if err := s.fillGroup(ctx, g, start, end, &out); err != nil {
				return out, err
			}
			beat()
		}
	}
	return out, s.SetWatermark(ctx, gapJob, "", until)
}

func (s *Prices) fillGroup(ctx context.Context, g gapGroup, from, until time.Time, out *activities.GapsFilled) error {
	pools, points, err := s.measured(ctx, g, from.Add(-gapReach), until.Add(gapReach))
	if err != nil {
		return err
	}
	w := newFilledRows()
	for i := range pools {
		peers := make([][]pricing.MeasuredPoint, 0, len(pools)-1)
		peers = append(append(peers, points[:i]...), points[i+1:]...)
		f := pricing.FillGaps(points[i], peers, from, until)
		out.TooLong += int64(f.TooLong)
		out.MissingBoundaries += int64(f.MissingBoundaries)
		out.Found += int64(len(f.Filled))
		for _, b := range f.Filled {
			w.add(pools[i], b, out)
		}
	}
	out.Pools += int64(len(pools))
	written, err := s.writeFilled(ctx, w)
	out.Written += written
	return err
}

// measured reads the measured points of a group, in order of time, per pool.
func (s *Prices) measured(ctx context.Context, g gapGroup, from, until time.Time) ([]string, [][]pricing.MeasuredPoint, error) {
	// By the names of the pools, so that each one's stretch of the primary key is read
	// whatever the planner thinks of the tables.
	found, err := s.DB.Pool.Query(
		ctx,
		`
		SELECT pool_id, extract(epoch FROM bucket)::bigint, (price * 1e6)::bigint,
			coalesce(ondemand_price * 1e6, 0)::bigint
		FROM price_buckets
		WHERE pool_id = ANY($1) AND bucket >= $2 AND bucket <= $3 AND source_type <> 'interpolated'
		ORDER BY pool_id, bucket`,
		g.Pools,
		from,
		until,
	)
	if err != nil {
		return nil, nil, pg.Translate(err)
	}
	var pools []string
	var points [][]pricing.MeasuredPoint
	var id string
	var at int64
	var p pricing.MeasuredPoint
	_, err = pgx.ForEachRow(found, []any{&id, &at, &p.Price, &p.OnDemand}, func() error {
		if n := len(pools); n == 0 || pools[n-1] != id {
			pools, points = append(pools, id), append(points, nil)
		}
		p.At = time.Unix(at, 0).UTC()
		points[len(points)-1] = append(points[len(points)-1], p)
		return nil
	})
	return pools, points, pg.Translate(err)
}

// filledRows are the columns of what is written.
type filledRows struct {
	pools, methods   []string
	buckets          []time.Time
	prices, onDemand []int64
	confidences      []float64
}

func newFilledRows() *filledRows { return &filledRows{} }

func (w *filledRows) add(pool string, f pricing.FilledBucket, out *activities.GapsFilled) {
	w.pools, w.buckets, w.methods = append(w.pools, pool), append(w.buckets, f.At), append(w.methods, string(f.Method))
	w.prices, w.onDemand = append(w.prices, int64(f.Price)), append(w.onDemand, int64(f.OnDemand))
	w.confidences = append(w.confidences, f.Confidence)
	switch f.Method {
	case pricing.Linear:
		out.Linear++
	case pricing.WeightedAverage:
		out.Weighted++
	case pricing.CrossPool:
		out.CrossPool++
	}
}

// writeFilled writes what was filled; a measured price that came meanwhile stays.
func (s *Prices) writeFilled(ctx context.Context, w *filledRows) (int64, error) {
	if len(w.pools) == 0 {
		return 0, nil
	}
	tag, err := s.DB.Pool.Exec(ctx, `
		INSERT INTO price_buckets AS b (pool_id, bucket, price, ondemand_price, source_type, confidence, method,
			observed_at)
		SELECT pool_id, bucket, price / 1e6, nullif(od, 0) / 1e6, 'interpolated', confidence, method, bucket
		FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::float8[], $6::text[]) AS t(pool_id,
			bucket, price, od, confidence, method)
		ON CONFLICT (pool_id, bucket)
		DO UPDATE SET price = excluded.price, ondemand_price = excluded.ondemand_price,
			confidence = excluded.confidence,
			method = excluded.method, updated_at = clock_timestamp()
		WHERE b.source_type = 'interpolated'
			AND (b.price, b.ondemand_price, b.confidence, b.method) IS DISTINCT FROM (excluded.price,
			excluded.ondemand_price, excluded.confidence, excluded.method)`,
		w.pools, w.buckets, w.prices, w.onDemand, w.confidences, w.methods)
	return tag.RowsAffected(), pg.Translate(err)
}
