package postgres_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/accounts"
	"spotkeeper/internal/postgres/audit"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/postgrestest"
)

const (
	rolesFile   = "../../deploy/postgres/roles.sql"
	migrateRole = "spotkeeper_migrate"
	appRole     = "spotkeeper_app"
)

// TestTwoRoles goes the way that the file describes, from an empty database on: one role
// makes the schema, the other works in it and cannot change it.
func TestTwoRoles(t *testing.T) {
	t.Parallel()
	ctx, at := t.Context(), postgrestest.URL(t)
	admin, err := pgx.Connect(ctx, at)
	require.NoError(t, err)
	_, err = admin.Exec(ctx, `DROP SCHEMA public CASCADE; CREATE SCHEMA public`)
	require.NoError(t, err)
	require.NoError(t, admin.Close(ctx))

	postgrestest.Run(t, at, rolesFile)
	open := func(role string) *pg.DB {
		db, err := pg.Open(ctx, pg.Options{URL: postgrestest.As(t, at, role), MaxConns: 4, ConnTimeout: 10 * time.Second})
		require.NoError(t, err)
		t.Cleanup(db.Close)
		return db
	}
	applied, err := postgres.Migrate(ctx, open(migrateRole))
	require.NoError(t, err)
	require.Positive(t, applied)
	postgrestest.Run(t, at, rolesFile)

	app := open(appRole)
	require.NoError(t, postgres.CheckVersion(ctx, app))
	store, err := accounts.NewClients(app, []byte("0123456789abcdef0123456789abcdef"))
	require.NoError(t, err)
	made, _, err := store.Create(ctx, clients.NewClient{Name: "Acme"}, "test")
	require.NoError(t, err)
	keeper := &housekeeping.Housekeeping{DB: app}
	day := time.Now().Add(-30 * 24 * time.Hour)
	partitions, err := keeper.EnsurePartitions(ctx, day, 2)
	require.NoError(t, err)
	require.EqualValues(t, 2, partitions)
	partitions, err = keeper.DropPartitions(ctx, day.Add(24*time.Hour))
	require.NoError(t, err)
	require.EqualValues(t, 1, partitions)
	sealed, err := (&audit.Trail{DB: app}).Seal(ctx, time.Now())
	require.NoError(t, err)
	require.NotEmpty(t, sealed)

	for _, forbidden := range []string{
		`CREATE TABLE mine ()`,
		`ALTER TABLE clients ADD COLUMN more text`,
		`DROP TABLE agents`,
		`TRUNCATE clients CASCADE`,
		`CREATE INDEX ON clients (name)`,
		`CREATE OR REPLACE FUNCTION trail_only_grows() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
		`ALTER TABLE trail DISABLE TRIGGER ALL`,
		`UPDATE events SET actor = 'another'`,
		`UPDATE trail SET actor = 'another'`,
		`UPDATE trail_seals SET place = 1`,
		`DELETE FROM trail`,
		`DELETE FROM goose_db_version`,
		`SET ROLE spotkeeper_migrate`,
		`SET session_replication_role = replica`,
	} {
		_, err := app.Pool.Exec(ctx, forbidden)
		require.Error(t, err, forbidden)
		require.Regexp(t, `SQLSTATE 42501|only grows`, err.Error(), forbidden)
	}
	_, err = store.Delete(ctx, made.ID, "test")
	require.NoError(t, err, "what the product deletes, it may")
}
