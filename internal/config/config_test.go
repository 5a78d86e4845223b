package config_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/config"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestDefaultsAreUsable(t *testing.T) {
	t.Parallel()

	c, err := config.Load(map[string]string{"DATABASE_URL": "postgres://u:secret@h/d"})
	require.NoError(t, err)
	require.NoError(t, c.Safe())
	require.True(t, c.API.Loopback())
	require.NotContains(t, fmt.Sprintf("%v %+v", c, c), "secret")
	require.Equal(t, "control", c.Temporal.Queue)
}

func TestEveryProblemIsReportedTogether(t *testing.T) {
	t.Parallel()

	_, err := config.Load(map[string]string{
		"API_LISTEN":   "nowhere",
		"SECRET_KEY":   "short",
		"LOG_FORMAT":   "xml",
		"ADMIN_TOKEN":  "tiny",
		"CORS_ORIGINS": "*",
	})
	for _, name := range []string{"DATABASE_URL", "API_LISTEN", "SECRET_KEY", "LOG_FORMAT", "ADMIN_TOKEN",
		"CORS_ORIGINS"} {
		require.ErrorContains(t, err, name)
	}
}

func TestAnOpenDeploymentIsRefused(t *testing.T) {
	t.Parallel()

	c, err := config.Load(map[string]string{"DATABASE_URL": "postgres://h/d", "API_LISTEN": "0.0.0.0:5000"})
	require.NoError(t, err)
	require.ErrorContains(t, c.Safe(), "ADMIN_TOKEN")
	require.ErrorContains(t, c.Safe(), "SECRET_KEY")
	c.API.Listen = "127.0.0.1:5000"
	require.NoError(t, c.Safe(), "this machine alone")
}

// TestHostsOfThisMachine: on loopback a request is for this machine by name.
func TestHostsOfThisMachine(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"localhost", "127.0.0.1", "::1"}, config.API{Listen: "127.0.0.1:5000"}.KnownHosts())
	require.Nil(t, config.API{Listen: "0.0.0.0:5000"}.KnownHosts(),
		"behind a balancer it is for whatever that is called")
	require.Contains(t, config.API{
		Listen: "0.0.0.0:5000",
		Hosts:  []string{"api.example.com"},
	}.KnownHosts(), "api.example.com")
}

func TestOperatorsHaveNames(t *testing.T) {
	t.Parallel()

	ops, err := config.API{AdminTokens: "ann=0123456789abcdef, bob=fedcba9876543210"}.Operators()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"ann": "0123456789abcdef", "bob": "fedcba9876543210"}, ops)

	_, err = config.API{AdminTokens: "ann=0123456789abcdef,ann=fedcba9876543210"}.Operators()
	require.ErrorContains(t, err, "twice")
}

func TestDocumentIsCurrent(t *testing.T) {
	t.Parallel()

	golden := filepath.Join("..", "..", "docs", "config.md")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(config.Document()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), config.Document(), "run `make generate`")
}

func TestProblemsNameTheVariable(t *testing.T) {
	t.Parallel()

	_, err := config.Load(map[string]string{
		"DATABASE_URL":  "postgres://h/d",
		"LOG_LEVEL":     "loud",
		"NOTICE_WAIT":   "soon",
		"ENGINE_PYTHON": "yes",
	})
	require.ErrorContains(t, err, `LOG_LEVEL cannot be read: slog: level string "loud": unknown name`)
	require.ErrorContains(t, err, `NOTICE_WAIT cannot be read: unable to parse duration: time: invalid duration "soon"`)
	require.ErrorContains(t, err, `ENGINE_PYTHON must be on or off, not "yes"`)
	require.NotContains(t, err.Error(), "slog.Level")
}

func TestMisspeltVariablesAreNamed(t *testing.T) {
	t.Parallel()

	require.Equal(t, []string{"TEMPORAL_ADRESS is not a setting: is TEMPORAL_ADDRESS meant?"}, config.Misspelt([]string{
		"TEMPORAL_ADRESS=temporal:7233", "TEMPORAL_ADDRESS=temporal:7233", "PATH=/bin", "DATABASE_URL=x", "HOME=/",
	}))
}
