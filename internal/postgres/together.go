package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// apart says whether what failed together may succeed one by one: the server
// refused something in it. A server that is away, or out of its means, is not
// asked once more for each.
func apart(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch pg.Code[:2] {
	case "08", "53", "57":
		return false
	default:
		return true
	}
}
