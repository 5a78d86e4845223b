package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"spotkeeper/deploy/dev/commandline"
	"spotkeeper/deploy/dev/stack"
	"spotkeeper/deploy/dev/stack/parts"
)

// demoHold is how long a replica waits for its notice while the demo runs.
const demoHold = "20s"

// command is what main was asked to do.
type command struct{ commandline.Command }

// run starts the command's parts and waits for their end.
func (c command) run(ctx context.Context, stdout, stderr io.Writer) error {
	o, err := c.Options.Prepare()
	if err != nil {
		return err
	}
	ignored := o.TakeEnvironment(os.Environ())
	if c.Demo {
		// Two hours are the rule; a person who watches has a minute.
		o.Set("REBALANCE_HOLD", demoHold)
	}
	logFile, err := os.OpenFile(filepath.Join(o.Dir, c.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer func() { _ = logFile.Close() }()
	o.Background = slog.New(slog.NewJSONHandler(logFile, &slog.HandlerOptions{Level: slog.LevelInfo}))
	// Errors are shown on the terminal as well, which otherwise is the demo's.
	o.Logger = slog.New(slog.NewMultiHandler(o.Background.Handler(),
		slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	people := stdout
	if c.JSON {
		people = stderr
	}
	show := progress{out: people}
	addresses := &stack.Addresses{Dir: o.Dir, Log: logFile.Name()}
	if c.Name == "stack" {
		if addresses.OperatorToken, err = o.ReadOperatorToken(); err != nil {
			return err
		}
		if len(ignored) > 0 {
			show.say("ignored from the environment, because the stack sets them itself: %s",
				strings.Join(ignored, ", "))
		}
	}
	show.say("starting in %s", o.Dir)
	begin := make(chan struct{})
	err = stack.Run(ctx, c.parts(o, addresses, people, begin), show, func() {
		if err := c.announce(addresses, stdout); err != nil {
			o.Logger.ErrorContext(ctx, "the addresses could not be printed", "error", err)
		}
		close(begin)
	})
	if err != nil {
		return err
	}
	show.say("stopped")
	return nil
}

// parts lists what the command runs, in the order of its start. The demo
// writes to people once begin is closed.
func (c command) parts(o stack.Options, a *stack.Addresses, people io.Writer, begin <-chan struct{}) []stack.Part {
	switch c.Name {
	case "postgres":
		return []stack.Part{parts.Postgres(o, a)}
	case "temporal":
		return []stack.Part{parts.Temporal(o, a)}
	case "ec2sim":
		return []stack.Part{parts.EC2(o, a)}
	}
	all := []stack.Part{
		parts.Postgres(o, a), parts.Temporal(o, a), parts.EC2(o, a),
		parts.Migrations(o, a), parts.Worker(o, a), parts.API(o, a),
	}
	if c.Demo {
		all = append(all, parts.Demo(o, a, people, begin))
	}
	return all
}

func (c command) announce(a *stack.Addresses, stdout io.Writer) error {
	if c.JSON {
		return a.WriteJSON(stdout)
	}
	if _, err := fmt.Fprintln(stdout, "\nready, Ctrl-C stops it:"); err != nil {
		return err
	}
	return a.WriteTable(stdout)
}
