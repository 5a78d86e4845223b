package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/flight"
)

// Views answer what pages, lists and legacy routes read. Each method is one
// indexed statement, whatever the number of rows; nothing here is written. A
// clientID that is not empty limits a view to that tenant.
type Views struct {
	DB *DB

	places flight.Batch[placeAsked, *InstancePlace]
}

// queryRows reads every row of a statement into structs, by column name. The result
// is never nil: a page that is sent null instead of a list shows nothing at all.
func queryRows[T any](ctx context.Context, db *DB, sql string, args ...any) ([]T, error) {
	r, err := db.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, translate(err)
	}
	out, err := pgx.CollectRows(r, pgx.RowToStructByName[T])
	if err != nil {
		return nil, translate(err)
	}
	if out == nil {
		out = []T{}
	}
	return out, nil
}

// queryRow reads the one row of a statement; none is pgx.ErrNoRows.
func queryRow[T any](ctx context.Context, db *DB, sql string, args ...any) (*T, error) {
	r, err := db.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, translate(err)
	}
	out, err := pgx.CollectExactlyOneRow(r, pgx.RowToAddrOfStructByName[T])
	if err != nil {
		return nil, translate(err)
	}
	return out, nil
}
