package housekeeping

import (
	"context"

	"github.com/google/uuid"

	"spotkeeper/internal/postgres/pg"
)

// Installation says which installation the database is of.
type Installation struct{ DB *pg.DB }

// ID is the installation's id, made at the first call. Two processes that come at once
// get the same one.
func (i *Installation) ID(ctx context.Context) (string, error) {
	type row struct{ ID string }
	// The update locks the row, so that the loser of a race reads the winner's.
	r, err := pg.QueryRow[row](ctx, i.DB, `
		INSERT INTO installation AS i (id)
		VALUES ($1)
		ON CONFLICT (only_one) DO UPDATE
		SET id = i.id
		RETURNING id`, uuid.NewString())
	if err != nil {
		return "", err
	}
	return r.ID, nil
}
