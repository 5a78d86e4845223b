// Command spotkeeper is what operators and tenants type: it reads and changes a
// control plane through its API.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"spotkeeper/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
