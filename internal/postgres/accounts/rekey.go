package accounts

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/sealing"
)

// Uses of sealing keys. A name is part of what was sealed: it does not change.
const (
	useTokens = "client tokens"
	UseSinks  = "sink secrets"
)

// Rekeying seals with the first key what older keys sealed.
type Rekeying struct {
	DB   *pg.DB
	Keys sealing.Keys
}

// sealedColumn is a column with sealed text, and how its rows are bound to it.
type sealedColumn struct {
	table, column, use string
	bound              func(id string) string
}

var sealedColumns = []sealedColumn{
	{"clients", "token_sealed", useTokens, func(id string) string { return id }},
	{"notification_sinks", "secret_sealed", UseSinks, func(id string) string { return "sink/" + id }},
	{"notification_sinks", "secret_before_sealed", UseSinks, func(id string) string { return "sink/" + id }},
}

// Rekeyed counts what became of sealed rows.
type Rekeyed struct {
	Current    int // they were sealed with the first key already
	Resealed   int
	Changed    int // they were written by another process meanwhile, with a key of its own
	Unreadable int // no key opens them: they stay as they are
}

// rekeyChunk is how many rows are read at once.
const rekeyChunk = 200

type sealedRow struct {
	ID     string
	Sealed []byte
}

// Rekey seals all rows with the first key. It may be called again at any time, also while
// the product runs: a row is replaced only if it is still what was read.
func (r *Rekeying) Rekey(ctx context.Context, by string) (Rekeyed, error) {
	var out Rekeyed
	for _, c := range sealedColumns {
		err := r.each(ctx, c, func(box sealing.Box, row sealedRow) error {
			if box.IsCurrent(row.Sealed) {
				out.Current++
				return nil
			}
			text, err := box.Open(row.Sealed, c.bound(row.ID))
			if err != nil {
				out.Unreadable++
				return nil //nolint:nilerr // one that no key opens stops no other
			}
			sealed, err := box.Seal(text, c.bound(row.ID))
			if err != nil {
				return err
			}
			tag, err := r.DB.Pool.Exec(ctx,
				fmt.Sprintf(`UPDATE %[1]s SET %[2]s = $2 WHERE id = $1 AND %[2]s = $3`, c.table, c.column), row.ID,
				sealed, row.Sealed)
			if err != nil {
				return pg.Translate(err)
			}
			if tag.RowsAffected() == 0 {
				out.Changed++
			} else {
				out.Resealed++
			}
			return nil
		})
		if err != nil {
			return out, err
		}
	}
	return out, pg.Translate(pg.RecordEvent(ctx, r.DB.Pool, pg.EventRecord{
		Type:     "secrets_rekeyed",
		Severity: "info",
		Actor:    by,
		Message:  "Secrets were sealed with the present key",
		Metadata: map[string]any{
			"current":    out.Current,
			"resealed":   out.Resealed,
			"changed":    out.Changed,
			"unreadable": out.Unreadable,
		},
	}))
}

// Unreadable counts sealed rows, and those of them that no key opens.
func (r *Rekeying) Unreadable(ctx context.Context) (rows, unreadable int, err error) {
	for _, c := range sealedColumns {
		err := r.each(ctx, c, func(box sealing.Box, row sealedRow) error {
			rows++
			if _, err := box.Open(row.Sealed, c.bound(row.ID)); err != nil {
				unreadable++
			}
			return nil
		})
		if err != nil {
			return rows, unreadable, err
		}
	}
	return rows, unreadable, nil
}

// each calls fn for each sealed row of a column, in the order of their ids.
func (r *Rekeying) each(ctx context.Context, c sealedColumn, fn func(sealing.Box, sealedRow) error) error {
	box := r.Keys.BoxFor(c.use)
	sql := fmt.Sprintf(
		`SELECT id, %[2]s AS sealed FROM %[1]s WHERE id > $1 AND %[2]s IS NOT NULL ORDER BY id LIMIT %[3]d`, c.table,
		c.column, rekeyChunk)
	for after := ""; ; {
		found, err := r.DB.Pool.Query(ctx, sql, after)
		if err != nil {
			return pg.Translate(err)
		}
		rows, err := pgx.CollectRows(found, pgx.RowToStructByName[sealedRow])
		if err != nil {
			return pg.Translate(err)
		}
		for _, row := range rows {
			if err := fn(box, row); err != nil {
				return err
			}
			after = row.ID
		}
		if len(rows) < rekeyChunk {
			return nil
		}
	}
}
