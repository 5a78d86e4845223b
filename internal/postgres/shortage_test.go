package postgres_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/postgrestest"
)

// TestAShortServerIsNoticed: a server whose disk is full still answers, so it is known by
// what it refuses. A minute after the last refusal it counts as well again.
func TestAShortServerIsNoticed(t *testing.T) {
	t.Parallel()
	var minutes atomic.Int64
	db, err := pg.Open(t.Context(), pg.Options{URL: postgrestest.URL(t), Now: func() time.Time {
		return time.Unix(0, 0).Add(time.Duration(minutes.Load()) * time.Minute)
	}})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	refused := func(code, message string) error {
		_, err := db.Pool.Exec(t.Context(), `DO $$ BEGIN RAISE EXCEPTION '`+message+`' USING ERRCODE = '`+code+`'; END $$`)
		return err
	}
	require.Error(t, refused("23514", "a broken rule"))
	require.NoError(t, db.CheckShortage(t.Context()), "the server has what it needs")

	full := refused("53100", "could not extend file: No space left on device")
	require.True(t, fault.Is(pg.Translate(full), pg.Unavailable), "agents are asked to repeat")
	require.NoError(t, db.Ping(t.Context()), "it answers all the same")
	short := db.CheckShortage(t.Context())
	require.True(t, fault.Is(short, pg.Short))
	require.ErrorContains(t, short, "No space left on device (SQLSTATE 53100)")
	require.Error(t, refused("58030", "could not read a file"))
	require.Equal(t, 2, db.Shortages())

	minutes.Add(1)
	require.Error(t, db.CheckShortage(t.Context()))
	minutes.Add(1)
	require.NoError(t, db.CheckShortage(t.Context()))
	require.Equal(t, 2, db.Shortages())
}
