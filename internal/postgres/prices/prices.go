package prices

import (
	"strconv"
	"time"

	"spotkeeper/internal/domain/pricing"
	"spotkeeper/internal/flight"
	"spotkeeper/internal/postgres/pg"
)

// Prices keeps what pools cost: the market as EC2 shows it, per five minutes and as the
// latest price of each pool, and what clients report, which counts for themselves.
type Prices struct {
	DB  *pg.DB
	Now func() time.Time // nil: time.Now

	reports flight.Batch[believed, counted]
}

func (s *Prices) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// priorities orders sources as pricing.Source.Priority does; a test compares.
const priorities = `ARRAY['interpolated','collector','replica-manual','replica-automatic','primary']`

// band is pricing.BelievedRange in SQL.
var band = strconv.Itoa(pricing.BelievedRange)

// mergeBuckets ends an INSERT INTO price_buckets AS b, and mergeClientBuckets one INTO
// client_price_buckets AS b. Both are pricing.Truth.Merge: the higher priority wins; among
// equals the earliest, then the smaller id, and the bounds widen. So they may run any
// number of times in any order. A row that would not change is not written.
const (
	mergeBuckets = `
	ON CONFLICT (pool_id, bucket) DO UPDATE SET
		(method, price, ondemand_price, source_type, confidence, submission_id, observed_at, low, high, updated_at) = (
			SELECT CASE WHEN w.theirs THEN excluded.method ELSE b.method END,` + merged
	mergeClientBuckets = `
	ON CONFLICT (client_id, pool_id, bucket) DO UPDATE SET
		(price, ondemand_price, source_type, confidence, submission_id, observed_at, low, high, updated_at) = (
			SELECT ` + merged
)

// merged are the columns that both have, and when they change.
const merged = `
				CASE WHEN w.theirs THEN excluded.price ELSE b.price END,
				CASE WHEN w.theirs THEN excluded.ondemand_price ELSE b.ondemand_price END,
				CASE WHEN w.theirs THEN excluded.source_type ELSE b.source_type END,
				CASE WHEN w.theirs THEN excluded.confidence ELSE b.confidence END,
				CASE WHEN w.theirs THEN excluded.submission_id ELSE b.submission_id END,
				CASE WHEN w.theirs THEN excluded.observed_at ELSE b.observed_at END,
				CASE WHEN excluded.source_type = b.source_type THEN least(excluded.low,
				coalesce(b.low, b.price)) ELSE excluded.low END,
				CASE WHEN excluded.source_type = b.source_type THEN greatest(excluded.high,
				coalesce(b.high, b.price)) ELSE excluded.high END,
				clock_timestamp()
			FROM (SELECT excluded.source_type <> b.source_type OR excluded.observed_at < b.observed_at
				OR excluded.observed_at = b.observed_at
				AND excluded.submission_id < coalesce(b.submission_id, '') COLLATE "C" AS theirs) w)
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
