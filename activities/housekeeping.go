package activities

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
)

// HousekeepingStore is the part of housekeeping.Housekeeping that activities use.
type HousekeepingStore interface {
	Clock(ctx context.Context) (time.Time, error) // of the database
	EnsurePartitions(ctx context.Context, first time.Time, days int) (made int64, err error)
	DropPartitions(ctx context.Context, before time.Time) (dropped int64, err error)
	Expire(ctx context.Context, table string, before time.Time, beat func()) (deleted int64, err error)
	SnapshotClients(ctx context.Context, day time.Time) (total int64, err error)
	FirstOpenMonth(ctx context.Context) (time.Time, error)
	ClientsOf(ctx context.Context, month time.Time) ([]string, error)
	ComputeSavings(ctx context.Context, clientID string, month, now time.Time) error
}

// Housekeeping are the daily jobs: figures of the day and of the month, and the
// end of what is too old.
type Housekeeping struct {
	Store HousekeepingStore
	Log   *slog.Logger
	// Keep is how long each table is kept; a table without an entry is kept as
	// DefaultKeep says. Zero keeps it for ever.
	Keep map[string]time.Duration
}

const day = 24 * time.Hour

// DefaultKeep is how long tables are kept.
var DefaultKeep = map[string]time.Duration{
	"price_submissions":    30 * day, // reports as received; the merged prices are kept longer
	"price_buckets":        2 * 365 * day,
	"price_features":       2 * 365 * day,
	"product_spot_prices":  2 * 365 * day, // what is in force is kept
	"client_prices":        7 * day,       // pools that a client reports no more
	"client_price_buckets": 90 * day,
	"decisions":            90 * day,
	"shadow_decisions":     30 * day, // of engines that were only asked along
	"decisions_to_stay":    3 * day,  // of fleet-decisions: one per agent and five minutes
	"pauses":               30 * day, // that have ended
	"pool_blocks":          30 * day, // likewise
	"move_approvals":       180 * day,
	"events":               90 * day,
	"operations":           180 * day,
	"notifications":        30 * day, // that were read
	"commands":             30 * day, // that are done
	"cleanup_reports":      90 * day,
	"job_runs":             90 * day,
	"instance_claims":      7 * day,  // of which EC2 proved none
	"credentials":          30 * day, // that have expired or were revoked
	"orphan_sightings":     90 * day,
	"sweep_attempts":       7 * day, // what is swept at all is tried again sooner
}

// CheckKeep refuses times for tables that nothing is deleted from, which are
// spelling mistakes that would show after months.
func CheckKeep(keep map[string]time.Duration) error {
	for _, table := range slices.Sorted(maps.Keys(keep)) {
		if _, known := DefaultKeep[table]; !known {
			return fmt.Errorf("RETENTION: nothing is kept for a time under the name %q; there are %s", table,
				strings.Join(slices.Sorted(maps.Keys(DefaultKeep)), ", "))
		}
		if keep[table] < 0 {
			return fmt.Errorf("RETENTION: %s cannot be kept for %v", table, keep[table])
		}
	}
	return nil
}

// partitionsAhead is how many days have a partition before they begin.
const partitionsAhead = 7

// JobCounts is the result of a job that reports only its counts.
type JobCounts map[string]int64

// Counts returns the figures that are stored with the row of the run.
func (c *JobCounts) Counts() map[string]int64 { return *c }

// CleanUpData deletes what is older than it is kept: whole partitions where there
// are some, else in chunks that no writer waits for. It also makes the partitions
// of the coming days. A table that cannot be dealt with keeps no other from its
// turn; the run fails in the end. What is old is judged by the database's clock: a machine
// whose own clock has jumped ahead would delete everything.
func (h *Housekeeping) CleanUpData(ctx context.Context) (*JobCounts, error) {
	now, err := h.Store.Clock(ctx)
	if err != nil {
		return nil, err
	}
	out := JobCounts{}
	keep := maps.Clone(DefaultKeep)
	maps.Copy(keep, h.Keep)
	var first error
	step := func(name string, do func() (int64, error)) {
		if ctx.Err() != nil {
			return
		}
		n, err := do()
		out[name] = n
		if err != nil {
			h.Log.WarnContext(ctx, "data could not be cleaned up", "step", name, "error", err)
			first = cmp.Or(first, err)
		}
	}
	step("partitions_made", func() (int64, error) {
		return h.Store.EnsurePartitions(ctx, now.Add(-day),
			partitionsAhead+2)
	})
	if span := keep["price_submissions"]; span > 0 {
		step("partitions_dropped", func() (int64, error) { return h.Store.DropPartitions(ctx, now.Add(-span)) })
	}
	for _, table := range slices.Sorted(maps.Keys(keep)) {
		if keep[table] > 0 {
			step(table, func() (int64, error) {
				return h.Store.Expire(ctx, table, now.Add(-keep[table]), func() { recordHeartbeat(ctx) })
			})
		}
	}
	if err := cmp.Or(ctx.Err(), first); err != nil {
		return nil, err
	}
	return &out, nil
}

// MakePartitions makes the partitions of the coming days. Days that have one are
// left alone.
func (h *Housekeeping) MakePartitions(ctx context.Context) (*JobCounts, error) {
	now, err := h.Store.Clock(ctx)
	if err != nil {
		return nil, err
	}
	made, err := h.Store.EnsurePartitions(ctx, now.Add(-day), partitionsAhead+2)
	return &JobCounts{"partitions_made": made}, err
}

// SnapshotClients counts the clients at the end of the day before the period. It
// counts by when they were made, so a late or second run finds the same.
func (h *Housekeeping) SnapshotClients(ctx context.Context, period time.Time) (*JobCounts, error) {
	total, err := h.Store.SnapshotClients(ctx, period.UTC().AddDate(0, 0, -1))
	return &JobCounts{"clients": total}, err
}

// ComputeSavings computes the month before the period until it is final, and the
// period's own month provisionally; months that an outage left open are closed
// too. A client whose figures cannot be computed is counted and does not keep the
// others from theirs.
func (h *Housekeeping) ComputeSavings(ctx context.Context, period time.Time) (*JobCounts, error) {
	now, err := h.Store.Clock(ctx)
	if err != nil {
		return nil, err
	}
	period = period.UTC()
	current := time.Date(period.Year(), period.Month(), 1, 0, 0, 0, 0, time.UTC)
	out := JobCounts{"clients": 0, "closed": 0, "failed": 0}
	first, err := h.Store.FirstOpenMonth(ctx)
	if err != nil {
		return nil, err
	}
	if before := current.AddDate(0, -1, 0); first.IsZero() || first.After(before) {
		first = before
	}
	var last error
	for month := first; !month.After(current); month = month.AddDate(0, 1, 0) {
		clients, err := h.Store.ClientsOf(ctx, month)
		if err != nil {
			return nil, err
		}
		for _, id := range clients {
			if err := h.Store.ComputeSavings(ctx, id, month, now); err != nil {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				last = err
				out["failed"]++
				h.Log.WarnContext(ctx, "savings could not be computed", "client_id", id,
					"month", month.Format(time.DateOnly), "error", err)
				continue
			}
			out["clients"]++
			if now.Sub(month.AddDate(0, 1, 0)) >= time.Hour {
				out["closed"]++
			}
			recordHeartbeat(ctx)
		}
	}
	if out["clients"] == 0 && last != nil {
		return nil, last
	}
	return &out, nil
}
