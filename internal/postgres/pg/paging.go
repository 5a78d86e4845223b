package pg

import (
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// Cursor is a place in a list. Lists are newest first, by time and then by id;
// those of agents are paged by logical id alone, because their heartbeats move.
type Cursor struct {
	At time.Time
	ID string
}

// Page selects the part of a list to read: what comes after a place, up to a number of
// elements, and one more that shows whether the list continues. The zero Page is the whole
// list.
type Page struct {
	After Cursor
	Limit int
}

// From is where the page begins in a list that is newest first. Without a cursor
// that is infinity, so that one statement and one range of the index serve every
// page.
func (p Page) From() (at pgtype.Timestamptz, id string) {
	if p.After.ID == "" {
		return pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}, ""
	}
	return pgtype.Timestamptz{Time: p.After.At, Valid: true}, p.After.ID
}

// UpTo is the limit of the statement; null is none.
func (p Page) UpTo() *int {
	if p.Limit == 0 {
		return nil
	}
	n := p.Limit + 1
	return &n
}

// Whole says that the list is not paged.
func (p Page) Whole() bool { return p == Page{} }
