package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"spotkeeper/internal/postgres/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

func newMigrator(db *pg.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, err
	}
	// Branches are merged as they are ready, so what a release adds may have lower numbers
	// than what an earlier one has applied. No file relies on another with a higher number.
	return goose.NewProvider(goose.DialectPostgres, db.SQL, dir, goose.WithSessionLocker(locker),
		goose.WithAllowOutofOrder(true))
}

// Migrate brings the schema up to this program's version, under an advisory
// lock: of two processes that migrate at once one waits and finds nothing to do.
func Migrate(ctx context.Context, db *pg.DB) (applied int, err error) {
	p, err := newMigrator(db)
	if err != nil {
		return 0, err
	}
	results, err := p.Up(ctx)
	if err != nil {
		return len(results), fmt.Errorf("migrate: %w", err)
	}
	return len(results), nil
}

// ErrSchemaOld means that migrations of this program have not been applied.
var ErrSchemaOld = errors.New("the database schema is older than this program: run `worker migrate` first")

// SchemaAhead counts the applied migrations that this program does not have. Their numbers
// need not be higher than those that it has.
func SchemaAhead(ctx context.Context, db *pg.DB) (int, error) {
	p, err := newMigrator(db)
	if err != nil {
		return 0, err
	}
	own := []int64{0} // goose's own first row
	for _, s := range p.ListSources() {
		own = append(own, s.Version)
	}
	var ahead int
	err = db.Pool.QueryRow(ctx, `
		SELECT count(DISTINCT version_id)
		FROM goose_db_version
		WHERE is_applied
			AND NOT version_id = ANY($1)`, own).Scan(&ahead)
	return ahead, pg.Translate(err)
}

// CheckVersion fails when the schema is not the one this program was built for.
// The mains call it; only `worker migrate` changes the schema.
func CheckVersion(ctx context.Context, db *pg.DB) error {
	p, err := newMigrator(db)
	if err != nil {
		return err
	}
	pending, err := p.HasPending(ctx)
	if err != nil {
		return pg.Translate(err)
	}
	if pending {
		return ErrSchemaOld
	}
	return nil
}
