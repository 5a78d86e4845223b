package stack_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/stack"
)

func TestTheOperatorsTokenIsMadeOnce(t *testing.T) {
	t.Parallel()
	o := stack.Options{Dir: t.TempDir()}
	first, err := o.ReadOperatorToken()
	require.NoError(t, err)
	require.Greater(t, len(first), 26)
	again, err := o.ReadOperatorToken()
	require.NoError(t, err)
	require.Equal(t, first, again)
	info, err := os.Stat(o.File("operator-token"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	o.Set("ADMIN_TOKEN", "ann=0123456789abcdef, bob=fedcba9876543210")
	given, err := o.ReadOperatorToken()
	require.NoError(t, err)
	require.Equal(t, "0123456789abcdef", (&stack.Addresses{OperatorToken: given}).FirstOperator())
}

func TestWhatTheEnvironmentMaySay(t *testing.T) {
	t.Parallel()
	var o stack.Options
	ignored := o.TakeEnvironment([]string{"ADMIN_TOKEN=0123456789abcdef", "DATABASE_URL=postgres://prod/x",
		"TEMPORAL_ADDRESS=prod:7233", "HOME=/root", "CORS_ORIGINS="})
	require.Equal(t, []string{"DATABASE_URL", "TEMPORAL_ADDRESS"}, ignored)
	require.Equal(t, map[string]string{"ADMIN_TOKEN": "0123456789abcdef"}, o.Environment)
}
