package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"spotkeeper/internal/postgres/pg"
)

// partitionLock bounds how long reporters can be kept waiting by a change of
// partitions, which stands in their way while it asks for its lock: it gives up
// and asks again, until its patience ends with the run.
const (
	partitionLock  = "SET LOCAL lock_timeout = '100ms'"
	partitionPause = 400 * time.Millisecond
	patience       = 10 * time.Second
)

// change makes a change of partitions in one transaction, again and again while
// others hold what it needs. Fails with postgres.unavailable when they do not let
// go.
func (s *Housekeeping) change(ctx context.Context, fn func(pgx.Tx) error) error {
	for end := time.Now().Add(cmp.Or(s.Patience, patience)); ; {
		err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, partitionLock); err != nil {
				return err
			}
			return fn(tx)
		})
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != lockNotAvailable {
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

// lockNotAvailable is what Postgres says when a lock was not given in time.
const lockNotAvailable = "55P03"

func partitionOf(day time.Time) string { return "price_submissions_" + day.UTC().Format("20060102") }

// EnsurePartitions makes the partitions of price submissions for some days,
// ahead of the first report for them. Rows that came before their partition are
// in the default one and move over. Days that have one are left alone.
func (s *Housekeeping) EnsurePartitions(ctx context.Context, first time.Time, days int) (made int64, err error) {
	first = first.UTC().Truncate(24 * time.Hour)
	for n := range days {
		day := first.AddDate(0, 0, n)
		name, from, until := partitionOf(day), partitionBound(day), partitionBound(day.AddDate(0, 0, 1))
		err := s.change(ctx, func(tx pgx.Tx) error {
			exists, err := hasTable(ctx, tx, name)
			if err != nil || exists {
				return err
			}
			// One maker at a time; readers and writers go on. Who waited looks again.
			if _, err := tx.Exec(ctx, "LOCK TABLE price_submissions IN SHARE UPDATE EXCLUSIVE MODE"); err != nil {
				return err
			}
			if exists, err = hasTable(ctx, tx, name); err != nil || exists {
				return err
			}
			for _, sql := range []string{
				"CREATE TABLE " + name + " (LIKE price_submissions INCLUDING ALL)",
				// From here to the commit reporters wait: the move and the attachment of a few rows.
				"LOCK TABLE price_submissions_default IN ACCESS EXCLUSIVE MODE",
				fmt.Sprintf(`
WITH moved AS (
    DELETE FROM price_submissions_default
    WHERE observed_at >= %s AND observed_at < %s
    RETURNING *)
INSERT INTO %s
SELECT * FROM moved`, from, until, name),
				fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s_bounds CHECK (observed_at >= %s AND observed_at < %s)",
					name, name, from, until),
				fmt.Sprintf("ALTER TABLE price_submissions ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)", name,
					from, until),
				fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s_bounds", name, name),
			} {
				if _, err := tx.Exec(ctx, sql); err != nil {
					return err
				}
			}
			made++
			return nil
		})
		if err != nil {
			return made, err
		}
	}
	return made, nil
}

func hasTable(ctx context.Context, tx pgx.Tx, name string) (exists bool, err error) {
	err = tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, name).Scan(&exists)
	return exists, err
}

// partitionBound writes the start of a day, which is in UTC whatever the session's zone is.
func partitionBound(day time.Time) string {
	return "timestamptz '" + day.UTC().Format("2006-01-02 15:04:05") + "+00'"
}

// DropPartitions drops the partitions of the days before a moment, each at once
// and without reading it.
func (s *Housekeeping) DropPartitions(ctx context.Context, before time.Time) (dropped int64, err error) {
	type partition struct{ Name string }
	list, err := pg.QueryRows[partition](ctx, s.DB,
		`SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'price_submissions'::regclass AND c.relname ~ '^price_submissions_\d{8}$' AND c.relname < $1
		ORDER BY 1`, partitionOf(before))
	if err != nil {
		return 0, err
	}
	for _, p := range list {
		err := s.change(ctx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "DROP TABLE "+pgx.Identifier{p.Name}.Sanitize())
			return err
		})
		if err != nil {
			return dropped, err
		}
		dropped++
	}
	return dropped, nil
}
