// The api serves agents, the web page and operators over HTTP.
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	c, err := config.Load(nil)
	if err != nil {
		return err
	}
	a, err := app.Open(ctx, c, app.Options{Log: app.NewLog(os.Stdout, c.Log, "api"), Process: "api"})
	if err != nil {
		return err
	}
	defer a.Close()
	return a.RunAPI(ctx)
}
