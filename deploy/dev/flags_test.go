package main

import (
	"flag"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/stack"
	"spotkeeper/internal/ec2sim"
)

func TestWithoutArgumentsItIsTheWholeStackWithADemo(t *testing.T) {
	t.Parallel()
	c, err := parse(nil, io.Discard)
	require.NoError(t, err)
	require.Equal(t, command{name: "stack", options: stack.DefaultOptions(), demo: true}, c)
}

func TestFlagsFollowTheCommand(t *testing.T) {
	t.Parallel()
	c, err := parse([]string{"postgres", "--dir", "here", "--postgres-port=0", "--no-demo", "--json", "--ec2-delays", "none"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "postgres", c.name)
	require.Equal(t, "here", c.options.Dir)
	require.Zero(t, c.options.PostgresPort)
	require.False(t, c.demo)
	require.True(t, c.json)
	require.Equal(t, ec2sim.Delays{}, c.options.EC2Delays)
}

func TestWhatIsNotUnderstoodIsSaid(t *testing.T) {
	t.Parallel()
	for text, args := range map[string][]string{
		`no command "mysql"`: {"mysql"},
		`what is "extra"`:    {"stack", "extra"},
		`not "slow"`:         {"--ec2-delays", "slow"},
	} {
		_, err := parse(args, io.Discard)
		require.ErrorContains(t, err, text)
	}
	_, err := parse([]string{"--help"}, io.Discard)
	require.ErrorIs(t, err, flag.ErrHelp)
}
