package pg

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// QueryRows reads every row of a statement into structs, by column name. The result
// is never nil: a page that is sent null instead of a list shows nothing at all.
func QueryRows[T any](ctx context.Context, db *DB, sql string, args ...any) ([]T, error) {
	r, err := db.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, Translate(err)
	}
	out, err := pgx.CollectRows(r, pgx.RowToStructByName[T])
	if err != nil {
		return nil, Translate(err)
	}
	if out == nil {
		out = []T{}
	}
	return out, nil
}

// QueryRow reads the one row of a statement; none is pgx.ErrNoRows.
func QueryRow[T any](ctx context.Context, db *DB, sql string, args ...any) (*T, error) {
	r, err := db.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, Translate(err)
	}
	out, err := pgx.CollectExactlyOneRow(r, pgx.RowToAddrOfStructByName[T])
	if err != nil {
		return nil, Translate(err)
	}
	return out, nil
}

// NonNilList is the list, never nil: JSON columns hold [] and not null.
func NonNilList[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// CollectIDs reads a column of ids.
func CollectIDs(into *[]string) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if len(ids) > 0 {
			*into = ids
		}
		return err
	}
}
