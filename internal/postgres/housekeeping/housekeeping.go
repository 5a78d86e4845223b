package housekeeping

import (
	"context"
	"fmt"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres/pg"
)

// Housekeeping keeps the tables in shape: what is too old goes, the partitions of
// coming days are there, and the daily figures are written.
type Housekeeping struct {
	DB *pg.DB
	// Patience is how long a change of partitions keeps asking for its locks.
	// Zero: ten seconds.
	Patience time.Duration
}

var _ activities.HousekeepingStore = (*Housekeeping)(nil)

// Clock is the database's own time, in UTC: the one clock that all processes share.
func (s *Housekeeping) Clock(ctx context.Context) (time.Time, error) { return Clock(ctx, s.DB) }

// Clock is the time at the database, in UTC.
func Clock(ctx context.Context, db *pg.DB) (time.Time, error) {
	var now time.Time
	err := db.Pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now)
	return now.UTC(), pg.Translate(err)
}

// deleteChunk is how many rows one statement deletes: it holds few locks for a
// short time, and writers of other rows never wait for it.
const deleteChunk = 10_000

// expiries say what of each table has expired before a moment, $1.
var expiries = map[string]struct{ table, where string }{
	"price_submissions": {"price_submissions_default",
		`observed_at < $1`}, // reports older than their partitions
	"price_buckets":        {"price_buckets", `bucket < $1`},
	"price_features":       {"price_features", `bucket < $1`},
	"product_spot_prices":  {"product_spot_prices", supersededBefore},
	"client_prices":        {"client_prices", `observed_at < $1`},
	"client_price_buckets": {"client_price_buckets", `bucket < $1`},
	"decisions":            {"decisions", saidBefore},
	"shadow_decisions":     {"decisions", saidBefore + ` AND shadow`},
	"decisions_to_stay": {"decisions",
		saidBefore +
			` AND source = 'schedule' AND NOT shadow AND outcome = ''`}, // most agents have no other decisions all day
	"pauses":           {"pauses", `until < $1`},
	"pool_blocks":      {"pool_blocks", `until < $1`},
	"move_approvals":   {"move_approvals", `asked_at < $1 AND expires_at < now()`},
	"events":           {"events", `created_at < $1`},
	"notifications":    {"notifications", `created_at < $1 AND is_read`},
	"commands":         {"commands", `created_at < $1 AND status <> 'pending'`},
	"cleanup_reports":  {"cleanup_reports", `created_at < $1`},
	"job_runs":         {"job_runs", `started_at < $1 AND state <> 'running'`},
	"operations":       {"operations", `started_at < $1 AND state <> 'running'`},
	"sweep_attempts":   {"sweep_attempts", `tried_at < $1`}, // of what is no subject any more
	"instance_claims":  {"instance_claims", `claimed_at < $1`},
	"credentials":      {"credentials", `least(expires_at, revoked_at) < $1`}, // which open nothing any more
	"orphan_sightings": {"orphan_sightings", `last_seen_at < $1`},
}

// saidBefore is a decision that was said for the last time before $1. The first
// condition lets the block range index leave the new ones out.
const saidBefore = `created_at < $1 AND coalesce(last_at, created_at) < $1`

// supersededBefore is a price of a pool that another one followed before $1, so it was not
// in force any more.
const supersededBefore = `at < $1 AND EXISTS (
	SELECT
	FROM product_spot_prices n
	WHERE n.pool_id = product_spot_prices.pool_id
	  AND n.product = product_spot_prices.product
	  AND n.at > product_spot_prices.at
	  AND n.at <= $1)`

// Expire deletes what of a table is older than a moment, chunk by chunk; beat is
// called after each. Rows that are being written are left for the next run, so
// that neither waits for the other. A table without a rule is left
// alone.
func (s *Housekeeping) Expire(
	ctx context.Context,
	table string,
	before time.Time,
	beat func(),
) (deleted int64, err error) {
	rule, known := expiries[table]
	sql := fmt.Sprintf(
		`DELETE FROM %[1]s WHERE ctid = ANY(ARRAY(SELECT ctid FROM %[1]s WHERE %[2]s LIMIT $2 FOR UPDATE SKIP LOCKED))`,
		rule.table,
		rule.where,
	)
	for known {
		tag, err := s.DB.Pool.Exec(ctx, sql, before, deleteChunk)
		if err != nil {
			return deleted, pg.Translate(err)
		}
		deleted += tag.RowsAffected()
		beat()
		if tag.RowsAffected() < deleteChunk {
			break
		}
	}
	return deleted, nil
}

// SnapshotClients counts the clients at the end of a day. It counts by when they
// were made, so it may run late and again; a day without a run has no row.
func (s *Housekeeping) SnapshotClients(ctx context.Context, day time.Time) (total int64, err error) {
	start := day.UTC().Truncate(24 * time.Hour)
	err = s.DB.Pool.QueryRow(ctx, `
		INSERT INTO client_snapshots AS s (day, total, new_clients, active)
		SELECT $1::date, count(*), count(*) FILTER (WHERE created_at >= $2), count(*) FILTER (WHERE status = 'active')
		FROM clients
		WHERE created_at < $3
		ON CONFLICT (day)
		DO UPDATE SET total = excluded.total, new_clients = excluded.new_clients, active = excluded.active,
			taken_at = now()
		RETURNING total`, start.Format(time.DateOnly), start, start.AddDate(0, 0, 1)).Scan(&total)
	return total, pg.Translate(err)
}
