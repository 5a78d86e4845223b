package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"spotkeeper/deploy/dev/stack"
)

// demoHold is how long a replica waits for its notice while the demo runs.
const demoHold = "20s"

// run starts the command's parts and waits for their end.
func (c command) run(ctx context.Context, stdout, stderr io.Writer) error {
	o, err := c.options.Prepare()
	if err != nil {
		return err
	}
	if c.demo {
		// Two hours are the rule; somebody who watches has a minute.
		o.Environment = map[string]string{"REBALANCE_HOLD": demoHold}
	}
	logFile, err := os.OpenFile(filepath.Join(o.Dir, c.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer func() { _ = logFile.Close() }()
	o.Background = slog.New(slog.NewJSONHandler(logFile, &slog.HandlerOptions{Level: slog.LevelInfo}))
	// Errors are shown on the terminal as well, which otherwise is the demo's.
	o.Logger = slog.New(slog.NewMultiHandler(o.Background.Handler(),
		slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	people := stdout
	if c.json {
		people = stderr
	}
	show := progress{out: people}
	addresses := &stack.Addresses{Dir: o.Dir, Log: logFile.Name()}
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
	switch c.name {
	case "postgres":
		return []stack.Part{stack.Postgres(o, a)}
	case "temporal":
		return []stack.Part{stack.Temporal(o, a)}
	case "ec2sim":
		return []stack.Part{stack.EC2(o, a)}
	}
	all := []stack.Part{
		stack.Postgres(o, a), stack.Temporal(o, a), stack.EC2(o, a),
		stack.Migrations(o, a), stack.Worker(o, a), stack.API(o, a),
	}
	if c.demo {
		all = append(all, stack.Demo(o, a, people, begin))
	}
	return all
}

func (c command) announce(a *stack.Addresses, stdout io.Writer) error {
	if c.json {
		return a.WriteJSON(stdout)
	}
	if _, err := fmt.Fprintln(stdout, "\nready, Ctrl-C stops it:"); err != nil {
		return err
	}
	return a.WriteTable(stdout)
}
