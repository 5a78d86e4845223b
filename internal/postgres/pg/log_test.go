package pg_test

import (
	"bytes"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"spotkeeper/internal/postgres/entity"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// TestStatementLog: slow statements are warnings, whether GORM or a store sends them,
// and no parameter is logged.
func TestStatementLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	db, err := pg.Open(t.Context(), pg.Options{
		URL: postgrestest.URL(t), MaxConns: 1, ConnTimeout: 10 * time.Second,
		Log: slog.New(slog.NewTextHandler(&out, nil)), Slow: time.Nanosecond,
	})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	_, err = gorm.G[entity.EndedSession](db.Gorm).Where("id = ?", "a secret").Count(t.Context(), "id")
	require.NoError(t, err)
	_, err = db.Pool.Exec(t.Context(), "SELECT length($1::text)", "another secret")
	require.NoError(t, err)
	require.Contains(t, out.String(), "ended_sessions")
	require.Contains(t, out.String(), "SELECT length($1::text)")
	require.Contains(t, out.String(), "level=WARN")
	require.NotContains(t, out.String(), "secret")
}
