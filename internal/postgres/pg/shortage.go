package pg

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"spotkeeper/internal/domain/fault"
)

// Short means that Postgres answers and has refused statements a moment ago because it has
// no room on its disk, no memory or no connection left.
var Short = fault.Define("postgres.short", fault.Unavailable)

// The classes of SQLSTATEs by which a server says that it is short of something.
const (
	insufficientResources = "53" // disk full, out of memory, too many connections
	systemError           = "58" // its files cannot be read or written
)

// shortLasts is how long a refused statement counts. What works now may be refused in the
// next moment: a full disk takes rows where there is room in a page, and refuses new pages.
const shortLasts = time.Minute

// shortages records the statements that a server has refused for want of resources.
type shortages struct {
	mu    sync.Mutex
	count int
	last  time.Time
	what  string // the server's sentence
	now   func() time.Time
}

func (s *shortages) note(e *pgconn.PgError) {
	if !strings.HasPrefix(e.Code, insufficientResources) && !strings.HasPrefix(e.Code, systemError) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	s.last, s.what = s.now(), fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.Code)
}

// Shortages says how many statements the server has refused this process for want of room,
// memory or connections.
func (db *DB) Shortages() int {
	db.short.mu.Lock()
	defer db.short.mu.Unlock()
	return db.short.count
}

// CheckShortage fails with postgres.short for a minute after the server has refused a
// statement for want of room, memory or connections. It asks the server nothing: one whose
// disk is full still answers questions.
func (db *DB) CheckShortage(context.Context) error {
	db.short.mu.Lock()
	defer db.short.mu.Unlock()
	if db.short.count == 0 || db.short.now().Sub(db.short.last) > shortLasts {
		return nil
	}
	return Short.New("Postgres refuses statements: %s. Give it room or resources; nothing has to be restarted.", db.short.what)
}
