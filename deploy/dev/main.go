// Command dev runs Spotkeeper with everything it needs on one machine: Postgres,
// a Temporal server with its Web UI, a simulated EC2, the worker, the api and a
// demo fleet. Nothing leaves the loopback interface, and the state survives a
// restart in the directory .spotkeeper.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "time/tzdata" // Schedules name zones that a small machine may not have.

	"spotkeeper/deploy/dev/commandline"
)

func main() {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the process at once. It counts after a moment only:
	// some programs that run others pass one Ctrl-C on twice.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, restore) })
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process around it. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr *os.File) int {
	asked, err := commandline.Parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintln(stderr, err)
		return 2
	}
	if err := (command{asked}).run(ctx, stdout, stderr); err != nil {
		_, _ = fmt.Fprintf(stderr, "spotkeeper-dev: %v\n", err)
		return 1
	}
	return 0
}
