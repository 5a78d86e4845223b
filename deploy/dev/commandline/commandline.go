// Package commandline reads what the development stack is asked for.
package commandline

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"spotkeeper/deploy/dev/stack"
	simclient "spotkeeper/internal/ec2sim/client"
)

// Command is a parsed command line.
type Command struct {
	// Name is the subcommand: the whole stack, or one of its parts alone.
	Name    string
	Options stack.Options
	Demo    bool
	JSON    bool
}

const usage = `spotkeeper-dev [command] [flags]

commands:
  stack      everything, in order, with a demo fleet (the default)
  postgres   the database server alone
  temporal   the Temporal server and its Web UI alone
  ec2sim     the EC2 simulator alone

flags:
`

// Parse reads the arguments. What a person should read about them is written to out.
func Parse(args []string, out io.Writer) (Command, error) {
	c := Command{Name: "stack", Options: stack.DefaultOptions()}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		c.Name, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("spotkeeper-dev", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		_, _ = fmt.Fprint(out, usage)
		flags.PrintDefaults()
	}
	o := &c.Options
	flags.StringVar(&o.Dir, "dir", o.Dir, "directory of the state")
	flags.IntVar(&o.APIPort, "api-port", o.APIPort, "port of the api; 0 picks a free one, as for every port")
	flags.IntVar(&o.UIPort, "ui-port", o.UIPort, "port of the Temporal Web UI")
	flags.IntVar(&o.TemporalPort, "temporal-port", o.TemporalPort, "port of the Temporal server")
	flags.IntVar(&o.PostgresPort, "postgres-port", o.PostgresPort, "port of Postgres")
	flags.IntVar(&o.EC2Port, "ec2-port", o.EC2Port, "port of the EC2 simulator")
	flags.IntVar(&o.MetricsPort, "metrics-port", o.MetricsPort, "port of the worker's metrics")
	flags.IntVar(&o.APIMetricsPort, "api-metrics-port", o.APIMetricsPort, "port of the api's metrics")
	flags.Int64Var(&o.EC2Seed, "ec2-seed", o.EC2Seed, "seed of the simulated spot market")
	launcher := flags.String("launcher", "",
		"who launches for clients that do not say: control-plane, or agent as with the legacy backend")
	python := flags.Bool("python", false, "run uploaded Python engines and models: operators may then run code here")
	delays := flags.String("ec2-delays", "quick", "how slow the simulated EC2 is: none, quick or real")
	flags.BoolVar(&c.Demo, "demo", true, "run a demo fleet")
	noDemo := flags.Bool("no-demo", false, "do not run a demo fleet")
	flags.BoolVar(&c.JSON, "json", false, "print the addresses as one line of JSON on stdout, progress on stderr")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("spotkeeper-dev: what is %q? Flags follow the command, see --help", flags.Arg(0))
	}
	if !slices.Contains([]string{"stack", "postgres", "temporal", "ec2sim"}, c.Name) {
		return c, fmt.Errorf("spotkeeper-dev: there is no command %q, see --help", c.Name)
	}
	c.Demo = c.Demo && !*noDemo
	if *launcher != "" {
		if !slices.Contains([]string{"control-plane", "agent"}, *launcher) {
			return c, fmt.Errorf("spotkeeper-dev: --launcher is control-plane or agent, not %q", *launcher)
		}
		o.Set("DEFAULT_LAUNCHER", *launcher)
	}
	if *python {
		o.Set("ENGINE_PYTHON", "on")
	}
	var known bool
	if o.EC2Delays, known = delaysNamed(*delays); !known {
		return c, fmt.Errorf("spotkeeper-dev: --ec2-delays is none, quick or real, not %q", *delays)
	}
	return c, nil
}

func delaysNamed(name string) (simclient.Delays, bool) {
	switch name {
	case "none":
		return simclient.Delays{}, true
	case "quick":
		return stack.QuickDelays(), true
	case "real":
		return simclient.AWSDelays(), true
	default:
		return simclient.Delays{}, false
	}
}
