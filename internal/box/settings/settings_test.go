package settings_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/box/settings"
)

func load(t *testing.T, content string, environment map[string]string) (settings.Settings, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.yaml")
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	return settings.Load(file, environment)
}

func TestFileAndEnvironment(t *testing.T) {
	t.Parallel()
	got, err := load(t, `
api: https://spotkeeper.example.com
agent_id: web
join: {method: legacy-client-token, token_file: /etc/t}
imds: {poll: 2s}
ready: {http: "http://127.0.0.1:8080/health", successes: 5}
`, map[string]string{
		"SPOTKEEPER_AGENT_IMDS_POLL":    "3s",
		"SPOTKEEPER_AGENT_JOIN_TOKEN":   "secret",
		"SPOTKEEPER_AGENT_HOOKS_BUDGET": "10s",
	})
	require.NoError(t, err)
	want := settings.Default()
	want.API, want.AgentID, want.IMDS.Poll = "https://spotkeeper.example.com", "web", 3*time.Second
	want.Join.Method = settings.ClientToken
	want.Join.TokenFile, want.Join.Token, want.Hooks.Budget = "/etc/t", "secret", 10*time.Second
	want.Ready.HTTP, want.Ready.Successes = "http://127.0.0.1:8080/health", 5
	require.Equal(t, want, got)
	token, err := got.Credential()
	require.NoError(t, err)
	require.Equal(t, "secret", token)
	require.Equal(t, "***", got.Join.Token.String())
}

// TestEnvironmentAlone: a container needs no file.
func TestEnvironmentAlone(t *testing.T) {
	t.Parallel()
	got, err := settings.Load(filepath.Join(t.TempDir(), "none"), map[string]string{
		"SPOTKEEPER_AGENT_API":      "http://a:5000",
		"SPOTKEEPER_AGENT_AGENT_ID": "tag:app",
	})
	require.NoError(t, err)
	require.Equal(t, "tag:app", got.AgentID)
	require.Equal(t, settings.ByRole, got.Join.Method, "without a token it is the instance's role")
}

func TestTheTokenSaysHowToJoin(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]settings.Method{
		"": settings.ByRole, "spk-enrol-1": settings.OneTime, "token-1": settings.ClientToken,
	} {
		file := filepath.Join(t.TempDir(), "token")
		if token != "" {
			require.NoError(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
		}
		got, err := load(t, "api: http://a\nagent_id: web\njoin: {token_file: "+file+"}\n", map[string]string{})
		require.NoError(t, err)
		require.Equal(t, want, got.Join.Method)
	}
}

func TestMistakesAreReportedTogether(t *testing.T) {
	t.Parallel()
	_, err := load(
		t,
		"api: example.com\njoin: {method: psychic}\nimds: {poll: 5m}\nhooks: {budget: 3m}\nsocket: agent.sock\nheartbeat: 0s\n",
		map[string]string{},
	)
	for _, part := range []string{"https://example.com", "agent_id is missing", "join.method", "imds.poll", "hooks.budget",
		"heartbeat", "absolute"} {
		require.ErrorContains(t, err, part)
	}
	_, err = load(t, "api: http://a\nagent_id: web\nhoks: {}\n", map[string]string{})
	require.ErrorContains(t, err, "hoks", "a key that is not known is a mistake")
}
