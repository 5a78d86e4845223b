package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/postgres/metrics"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/postgrestest"
)

// TestAPooledConnectionKeepsNothing: behind a pooler of transactions no statement stays
// prepared and no setting is made, for the next transaction may be another client's.
func TestAPooledConnectionKeepsNothing(t *testing.T) {
	t.Parallel()
	db, err := pg.Open(t.Context(), pg.Options{URL: postgrestest.URL(t), MaxConns: 1, Pooled: true,
		StatementTimeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	for range 2 { // described first, then from memory
		_, err = (&housekeeping.Installation{DB: db}).ID(t.Context())
		require.NoError(t, err)
		_, err = (&metrics.Outcomes{DB: db}).Spend(t.Context())
		require.NoError(t, err)
	}
	var prepared int
	var timeout string
	require.NoError(t, db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_prepared_statements`).Scan(&prepared))
	require.NoError(t, db.Pool.QueryRow(t.Context(), `SHOW statement_timeout`).Scan(&timeout))
	require.Zero(t, prepared)
	require.Equal(t, "0", timeout)
}

// TestASessionIsBounded by the server's clock, where sessions are the program's own.
func TestASessionIsBounded(t *testing.T) {
	t.Parallel()
	db, err := pg.Open(t.Context(), pg.Options{URL: postgrestest.URL(t), StatementTimeout: 50 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	_, err = db.Pool.Exec(t.Context(), `SELECT pg_sleep(60)`)
	require.ErrorContains(t, err, "57014", "canceling statement due to statement timeout")
}
