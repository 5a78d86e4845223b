package app

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/postgrestest"
)

// TestLogsNameAgents: a line about an agent carries its logical name once that is known,
// and the log itself never reads the database.
func TestLogsNameAgents(t *testing.T) {
	t.Parallel()
	db, err := pg.Open(t.Context(), pg.Options{URL: postgrestest.URL(t)})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	for _, sql := range []string{
		`INSERT INTO clients (id, name, email, token_hash, token_sealed) VALUES ('k1', 'Acme', 'k@x', '\x01', '\x01')`,
		`INSERT INTO agents (id, client_id, logical_agent_id) VALUES ('a1', 'k1', 'web')`,
	} {
		_, err := db.Pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	names, err := newAgentNames(&agents.AgentNames{DB: db})
	require.NoError(t, err)
	var out bytes.Buffer
	log := slog.New(naming{slog.NewTextHandler(&out, nil), names})

	log.Info("before", "agent_id", "a1")
	require.NotContains(t, out.String(), "agent=web")
	require.Equal(t, "web", names.find(t.Context(), "a1"))
	require.Empty(t, names.find(t.Context(), "a-unknown"))
	log.Info("after", "agent_id", "a1")
	require.Contains(t, out.String(), `msg=after agent_id=a1 agent=web`)
	out.Reset()
	log.With("agent_id", "a1").Info("inherited")
	require.Contains(t, out.String(), `msg=inherited agent_id=a1 agent=web`)
	out.Reset()
	log.Info("a stranger", "agent_id", "a-unknown")
	require.NotContains(t, out.String(), "agent=")
}
