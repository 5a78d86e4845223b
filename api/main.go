// The api serves agents, the web page and operators over HTTP. It takes no arguments;
// docs/config.md lists its settings.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"spotkeeper/internal/app"
	"spotkeeper/internal/config"
	"spotkeeper/internal/engine/sandbox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return config.PrintUsage(os.Stdout, "spotkeeper-api", args)
	}
	c, err := config.Load(nil)
	if err != nil {
		return err
	}
	if err := sandbox.Hide(); err != nil { // uploaded code that got out could read our secrets
		return err
	}
	a, err := app.Open(ctx, c, app.Options{Log: app.NewLog(os.Stdout, c.Log, "api"), Process: "api"})
	if err != nil {
		return err
	}
	defer a.Close() //nolint:contextcheck // the last spans are sent after ctx has ended
	config.WarnOfMisspelt(ctx, a.Log)
	return a.RunAPI(ctx)
}
