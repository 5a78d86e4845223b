// Command spotkeeper-agent runs on an instance and reports to the control plane what AWS
// announces there.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"spotkeeper/internal/box"
	"spotkeeper/internal/box/settings"
)

// version is set by the Makefile. Control planes recognise agents of this kind by the 5.
var version = "5.0.0-dev"

type commandLine struct {
	Config string `short:"c" help:"Configuration file." default:"${config}"`

	Run     runCommand     `cmd:"" help:"Watch and report, until stopped."`
	Enrol   enrolCommand   `cmd:"" aliases:"enroll" help:"Write the configuration and check it against the control plane."`
	Status  statusCommand  `cmd:"" help:"Show how the running agent is."`
	Doctor  doctorCommand  `cmd:"" help:"Look for what keeps the agent from working, and say how to mend it."`
	Drain   drainCommand   `cmd:"" help:"Run the drain hooks now."`
	Ready   readyCommand   `cmd:"" help:"Say that the workload is ready."`
	Drained drainedCommand `cmd:"" help:"Say that the workload is drained: drain hooks that still run are ended."`
	Notice  noticeCommand  `cmd:"" help:"Rehearse an interruption notice."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

func main() {
	var line commandLine
	parsed := kong.Parse(&line, kong.Name("spotkeeper-agent"), kong.UsageOnError(),
		kong.Vars{"config": settings.DefaultFile},
		kong.Description("Reports what AWS announces to this instance, and drains the workload in time."))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := parsed.Run(&program{ctx: ctx, config: line.Config})
	stop()
	parsed.FatalIfErrorf(err)
}

// program is what every command is given.
type program struct {
	ctx    context.Context //nolint:containedctx // of the process
	config string
}

func (p *program) settings() (settings.Settings, error) { return settings.Load(p.config, nil) }

type versionCommand struct{}

// Run implements the command.
func (versionCommand) Run() error {
	_, err := fmt.Println(version)
	return err
}

type runCommand struct{}

// Run implements the command.
func (runCommand) Run(p *program) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return fmt.Errorf("log_level: %w", err)
	}
	// The journal adds the time.
	log := slog.New(slog.NewTextHandler(os.Stderr,
		&slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 &&
				os.Getenv("JOURNAL_STREAM") != "" { //nolint:forbidigo // set by systemd
				return slog.Attr{}
			}
			return a
		}}))
	agent, err := box.New(s, version, log)
	if err != nil {
		return err
	}
	log.Info("the agent starts", "version", version, "api", s.API, "agent_id", s.AgentID)
	return agent.Run(p.ctx)
}
