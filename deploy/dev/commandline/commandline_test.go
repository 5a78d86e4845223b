package commandline_test

import (
	"flag"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/commandline"
	"spotkeeper/deploy/dev/stack"
	simclient "spotkeeper/internal/ec2sim/client"
)

func TestWithoutArgumentsItIsTheWholeStackWithADemo(t *testing.T) {
	t.Parallel()
	c, err := commandline.Parse(nil, io.Discard)
	require.NoError(t, err)
	require.Equal(t, commandline.Command{Name: "stack", Options: stack.DefaultOptions(), Demo: true}, c)
}

func TestFlagsFollowTheCommand(t *testing.T) {
	t.Parallel()
	c, err := commandline.Parse([]string{"postgres", "--dir", "here", "--postgres-port=0", "--no-demo", "--json",
		"--ec2-delays", "none"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "postgres", c.Name)
	require.Equal(t, "here", c.Options.Dir)
	require.Zero(t, c.Options.PostgresPort)
	require.False(t, c.Demo)
	require.True(t, c.JSON)
	require.Equal(t, simclient.Delays{}, c.Options.EC2Delays)
}

func TestWhatIsNotUnderstoodIsSaid(t *testing.T) {
	t.Parallel()
	for text, args := range map[string][]string{
		`no command "mysql"`: {"mysql"},
		`what is "extra"`:    {"stack", "extra"},
		`not "slow"`:         {"--ec2-delays", "slow"},

		`--launcher is control-plane or agent, not "nobody"`: {"--launcher", "nobody"},
	} {
		_, err := commandline.Parse(args, io.Discard)
		require.ErrorContains(t, err, text)
	}
	_, err := commandline.Parse([]string{"--help"}, io.Discard)
	require.ErrorIs(t, err, flag.ErrHelp)
}

func TestLauncherIsOneOfTwo(t *testing.T) {
	t.Parallel()
	for _, launcher := range []string{"control-plane", "agent"} {
		c, err := commandline.Parse([]string{"--launcher", launcher}, io.Discard)
		require.NoError(t, err)
		require.Equal(t, launcher, c.Options.Environment["DEFAULT_LAUNCHER"])
	}
}
