package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"

	"spotkeeper/internal/cli/client"
	"spotkeeper/internal/domain/plaintext"
)

// errFailed ends a command with code 1 whose output has said already what is wrong.
var errFailed = errors.New("a check failed")

// Run carries out one command line and returns the exit code: 0, 1 when the command
// or a check failed, 130 when ctx ended first.
func Run(ctx context.Context, args []string, in io.Reader, out, problems io.Writer) int {
	root := New() //nolint:contextcheck // commands have it from ExecuteContext
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(problems)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		return 130
	case !errors.Is(err, errFailed):
		_, _ = fmt.Fprintln(problems, "spotkeeper:", plaintext.CleanLines(err.Error()))
	}
	return 1
}

// program is what all commands share: the flags that come before them.
type program struct {
	target target
	format string
	file   string // of the contexts
	name   string // of the context
}

// New makes the command with everything below it.
func New() *cobra.Command {
	p := &program{}
	root := &cobra.Command{
		Use:           "spotkeeper",
		Short:         "Look at a fleet of spot instances and steer it",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&p.format, "output", "o", "table", "table, json or yaml")
	flags.StringVar(&p.name, "context", "", "the control plane to use, of those in the contexts file")
	flags.StringVar(&p.file, "contexts", "", "the contexts file (default: spotkeeper/contexts.yaml in the user's configuration)")
	flags.StringVar(&p.target.Server, "server", "", "address of the API, instead of the context's (SPOTKEEPER_SERVER)")
	flags.StringVar(&p.target.TokenFile, "token-file", "", "file with the token (SPOTKEEPER_TOKEN_FILE; SPOTKEEPER_TOKEN is the token itself)")
	flags.StringVar(&p.target.Client, "client", "", "only what belongs to this client, an id")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	_ = root.RegisterFlagCompletionFunc("context", p.completeContexts)
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return checkFormat(p.format) }
	root.AddCommand(p.agents(), p.explain(), p.operations(), p.notices(), p.pools(), p.savings(), p.schedules(),
		p.pauses(), p.pause(), p.resume(), p.move(), p.standby(), p.drill(), p.approve(), p.moveRules(), p.clients(), p.doctor(), p.tail(),
		p.backup(), p.restore(),
		p.contexts())
	return root
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}

// command makes a command that talks to the API: connect is done before do.
func (p *program) command(use, short string, args cobra.PositionalArgs,
	do func(c *cobra.Command, api *client.ClientWithResponses, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args, RunE: func(c *cobra.Command, args []string) error {
		api, err := p.connect()
		if err != nil {
			return err
		}
		return do(c, api, args)
	}}
}

// given is a pointer to a flag's value, nil when the flag was not given.
func given[T ~string, F ~string](flag F) *T {
	if flag == "" {
		return nil
	}
	v := T(flag)
	return &v
}

// text is what a pointer points to, or "".
func text[T ~string](s *T) string {
	if s == nil {
		return ""
	}
	return string(*s)
}
