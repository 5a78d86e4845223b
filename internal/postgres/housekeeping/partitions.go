package housekeeping

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"spotkeeper/internal/postgres/pg"
)

// partitionLock bounds how long reporters can be kept waiting by a change of
// partitions, which stands in their way while it asks for its lock: it gives up
// and asks again, until its patience ends with the run.
const (
	partitionLock  = "100ms"
	partitionPause = 400 * time.Millisecond
	patience       = 10 * time.Second
	// quietLock is for what holds no reporter up. An autovacuum makes way after the server's
	// deadlock_timeout, a second unless it was changed.
	quietLock = "5s"
)

// change makes a change of partitions in one transaction, again and again while
// others hold what it needs. Fails with postgres.unavailable when they do not let
// go.
func (s *Housekeeping) change(ctx context.Context, fn func(pgx.Tx) error) error {
	for end := time.Now().Add(cmp.Or(s.Patience, patience)); ; {
		err := s.tryChange(ctx, partitionLock, fn)
		if !isHeld(err) {
			return err
		}
		if !time.Now().Before(end) {
			return pg.Unavailable.Wrap(err, "the partitions of price submissions are in use")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(partitionPause):
		}
	}
}

// tryChange makes a change of partitions once, and waits for its locks for that long.
func (s *Housekeeping) tryChange(ctx context.Context, lock string, fn func(pgx.Tx) error) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1, true)`, lock); err != nil {
			return err
		}
		return fn(tx)
	})
}

// isHeld says whether a lock was not given in time.
func isHeld(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == lockNotAvailable
}

// lockNotAvailable is what Postgres says when a lock was not given in time.
const lockNotAvailable = "55P03"

// EnsurePartitions makes the partitions of price submissions for some days,
// ahead of the first report for them. Rows that came before their partition are
// in the default one and move over. Days that have one are left alone. The process has no
// right to change tables: a function of the schema's owner does it.
func (s *Housekeeping) EnsurePartitions(ctx context.Context, first time.Time, days int) (made int64, err error) {
	for n := range days {
		new, err := s.onPartition(ctx, "SELECT make_price_partition($1)", first.UTC().AddDate(0, 0, n))
		made += new
		if err != nil {
			return made, err
		}
	}
	return made, nil
}

// DropPartitions drops the partitions of the days before a moment, each at once
// and without reading it. Autovacuum is sent away first: it does not make way for the
// short locks of a drop.
func (s *Housekeeping) DropPartitions(ctx context.Context, before time.Time) (dropped int64, err error) {
	type partition struct{ Day time.Time }
	list, err := pg.QueryRows[partition](ctx, s.DB, `
		SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day
		FROM pg_inherits i
		JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'price_submissions'::regclass
			AND c.relname ~ '^price_submissions_\d{8}$'
			AND to_date(right(c.relname, 8), 'YYYYMMDD') < $1
		ORDER BY 1`, dateOf(before))
	if err != nil {
		return 0, err
	}
	days := make([]time.Time, len(list))
	for i, p := range list {
		days[i] = p.Day
	}
	if err := s.keepAutovacuumOff(ctx, days); err != nil {
		return 0, err
	}
	for _, day := range days {
		gone, err := s.onPartition(ctx, "SELECT drop_price_partition($1)", day)
		dropped += gone
		if err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

// keepAutovacuumOff the partitions of days. First those that it is not at work on, so that
// a worker that is sent away has none of them to go to.
func (s *Housekeeping) keepAutovacuumOff(ctx context.Context, days []time.Time) error {
	for _, lock := range []string{partitionLock, quietLock} {
		var busy []time.Time
		for _, day := range days {
			err := s.tryChange(ctx, lock, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, "SELECT quiet_price_partition($1)", dateOf(day))
				return err
			})
			switch {
			case isHeld(err):
				busy = append(busy, day)
			case err != nil:
				return err
			}
		}
		days = busy
	}
	return nil // whether what is left lets go, the drop finds out
}

// onPartition changes the partition of a day, in UTC. The result is how many changed.
func (s *Housekeeping) onPartition(ctx context.Context, sql string, day time.Time) (changed int64, err error) {
	err = s.change(ctx, func(tx pgx.Tx) error {
		var did bool
		if err := tx.QueryRow(ctx, sql, dateOf(day)).Scan(&did); err != nil || !did {
			return err
		}
		changed = 1
		return nil
	})
	return changed, err
}

// dateOf is the day of a moment in UTC, whatever the session's zone is.
func dateOf(at time.Time) string { return at.UTC().Format(time.DateOnly) }
