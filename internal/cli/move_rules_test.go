package cli_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMoveRulesChangeWhatAFlagNames: the rest stays as it is.
func TestMoveRulesChangeWhatAFlagNames(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	const rules = `{"policies":{"to_spot":"ask","to_ondemand":"auto","requested":"never","maintenance":"auto"},"answer_minutes":60,
		"windows":[{"cron":"0 2 * * *","zone":"","minutes":60}],"opens_at":"2026-01-02T03:04:05Z"}`
	a := serve(t, map[string]string{"GET /api/client/c-1/move-rules": rules, "PUT /api/client/c-1/move-rules": rules})
	of := func(args ...string) result {
		return run(t, "", append([]string{"move-rules", "--client", "c-1", "--server", a.URL, "--contexts", none}, args...)...)
	}

	shown := of()
	require.Equal(t, 0, shown.code, shown.err)
	require.Equal(t, `to spot        ask
to on-demand   auto
requested      never
maintenance    auto
answer within  60 minutes
window         0 2 * * *, 60 minutes, UTC
opens at       2026-01-02 03:04:05Z
`, shown.out)
	require.Equal(t, []string{"GET /api/client/c-1/move-rules"}, a.asked)

	changed := of("--to-ondemand", "never", "--answer-within", "4h")
	require.Equal(t, 0, changed.code, changed.err)
	require.JSONEq(t, `{"policies":{"to_spot":"ask","to_ondemand":"never","requested":"never","maintenance":"auto"},
		"answer_minutes":240,"windows":[{"cron":"0 2 * * *","zone":"","minutes":60}]}`, a.body)
	require.Equal(t, 0, of("--window", "0 22 * * 5 48h Europe/Berlin", "--window", "0 3 * * * 90m").code)
	require.JSONEq(t, `{"policies":{"to_spot":"ask","to_ondemand":"auto","requested":"never","maintenance":"auto"},
		"answer_minutes":60,"windows":[{"cron":"0 22 * * 5","zone":"Europe/Berlin","minutes":2880},
		{"cron":"0 3 * * *","zone":"","minutes":90}]}`, a.body)
	require.Equal(t, 0, of("--any-time").code)
	require.Contains(t, a.body, `"windows":[]`)

	before := len(a.asked)
	for problem, args := range map[string][]string{
		"--window takes five fields of cron":     {"--window", "0 2 * * *"},
		"the length of a window is as 90m or 2h": {"--window", "0 2 * * * long"},
		"exclude each other":                     {"--window", "0 3 * * * 90m", "--any-time"},
	} {
		r := of(args...)
		require.Equal(t, 1, r.code)
		require.Contains(t, r.err, problem)
	}
	for _, asked := range a.asked[before:] {
		require.NotContains(t, asked, "PUT")
	}
	unsaid := run(t, "", "move-rules", "--server", a.URL, "--contexts", none)
	require.Contains(t, unsaid.err, "say whose rules: --client")
}
