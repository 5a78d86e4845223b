package app

import (
	"log/slog"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"spotkeeper/internal/config"
	"spotkeeper/internal/temporalx"
	"spotkeeper/internal/testkit/postgrestest"
)

// TestAStartThatWaitingDoesNotHelp: a database that is not there ends the process with
// what to do; a Temporal that is away does not.
func TestAStartThatWaitingDoesNotHelp(t *testing.T) {
	t.Parallel()
	open := func(database string) *App {
		settings, err := config.Load(map[string]string{"DATABASE_URL": database, "ARTIFACTS_URL": t.TempDir()})
		require.NoError(t, err)
		a, err := Open(t.Context(), settings, Options{
			Log:      slog.New(slog.DiscardHandler),
			Temporal: temporalx.Options{Address: "127.0.0.1:1", Namespace: "default"},
		})
		require.NoError(t, err)
		t.Cleanup(a.Close)
		return a
	}
	there := open(postgrestest.URL(t))
	require.NoError(t, there.refuseHopeless(t.Context()), "Temporal is away and may come")
	require.ErrorContains(t, there.judgeStart(serviceerror.NewNamespaceNotFound("default")), "TEMPORAL_NAMESPACE")

	missing, err := url.Parse(postgrestest.URL(t))
	require.NoError(t, err)
	missing.Path = "/there_is_no_such_database"
	absent := open(missing.String())
	require.ErrorContains(t, absent.refuseHopeless(t.Context()), "no such database")
	require.ErrorContains(t, absent.awaitSchema(t.Context()), "no such database")
}
