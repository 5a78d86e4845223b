package e2e

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/internal/cli"
)

// theCommandLineWorks against a real api: what it reads and changes, as people type it.
func theCommandLineWorks(t *testing.T, s *devtest.Stack) {
	t.Helper()
	ctx := deadline(t, time.Minute)
	contexts := filepath.Join(t.TempDir(), "contexts.yaml")
	spotkeeper := func(args ...string) (string, int) {
		t.Helper()
		var out, problems bytes.Buffer
		code := cli.Run(ctx, append(args, "--contexts", contexts), nil, &out, &problems)
		require.Empty(t, problems.String())
		return out.String(), code
	}
	well := func(args ...string) string {
		t.Helper()
		out, code := spotkeeper(args...)
		require.Zero(t, code, out)
		return out
	}
	who := newTenant(t, s)
	agent := register(t, s, who, "typed", "i-0123456789abcdef4")
	well("context", "set", "dev", "--server", s.API)

	require.Contains(t, well("clients"), who.ID)
	require.Contains(t, well("agents", "--client", who.ID), agent)
	require.Contains(t, well("agents", "show", "typed", "--client", who.ID), "i-0123456789abcdef4")
	require.NotEmpty(t, well("explain", agent))
	require.Contains(t, well("schedules"), "orphan-sweep")
	for _, list := range []string{"ops", "notices", "pools", "savings", "pauses"} {
		var rows any
		require.NoError(t, json.Unmarshal([]byte(well(list, "-o", "json")), &rows), list)
	}

	well("pause", "--agent", agent, "--for", "30m", "--reason", "by hand")
	require.Contains(t, well("pauses"), "by hand")
	require.Contains(t, well("resume", "--agent", agent), "yes")
	require.NotContains(t, well("pauses"), "by hand")

	// The agent's instance does not exist at EC2, and doctor finds that out.
	ill, code := spotkeeper("doctor", "--client", who.ID)
	require.Equal(t, 1, code, ill)
	for _, sign := range []string{`(?m)^ok +postgres`, `(?m)^ok +temporal`, `(?m)^ok +search_attributes`, `(?m)^failed +agent typed`} {
		require.Regexp(t, sign, ill)
	}
	t.Logf("doctor:\n%s", ill)
}
