// The worker runs workflows and activities, and keeps the schedules.
//
//	worker            run until SIGTERM or SIGINT
//	worker migrate    bring the database schema up to date, and end
//	worker rekey      seal all secrets with the first of SECRET_KEYS, and end
//	worker versions   list the versions of workers, or change which has new workflows (docs/versions.md)
//	worker audit verify [hash...]   check that the trail of who did what is whole and has the hashes, and end
//	worker backtest   run engines over a market and print what they would have cost (-h)
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // schedules must not depend on the machine's zones

	"spotkeeper/internal/app"
	"spotkeeper/internal/config"
	"spotkeeper/internal/engine/sandbox"
	"spotkeeper/internal/postgres"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	command := "run"
	if len(args) > 0 {
		command = args[0]
	}
	if command == "help" || strings.HasPrefix(command, "-") {
		return config.PrintUsage(os.Stdout, "spotkeeper-worker [run|migrate|rekey|versions|audit verify|backtest]", args)
	}
	c, err := config.Load(nil)
	if command == "backtest" {
		return runBacktest(ctx, c, err, args[1:], os.Stdout)
	}
	if err != nil {
		return err
	}
	if err := sandbox.Hide(); err != nil { // uploaded code that got out could read our secrets
		return err
	}
	if command == "migrate" {
		c.Database.StatementTimeout = 0 // an index is built for as long as it takes
	}
	a, err := app.Open(ctx, c, app.Options{Log: app.NewLog(os.Stdout, c.Log, "worker"), Process: "worker"})
	if err != nil {
		return err
	}
	defer a.Close() //nolint:contextcheck // the last spans are sent after ctx has ended
	config.WarnOfMisspelt(ctx, a.Log)
	switch command {
	case "run":
		return a.RunWorker(ctx)
	case "migrate":
		applied, err := postgres.Migrate(ctx, a.DB)
		a.Log.Info("schema is up to date", "applied", applied)
		return err
	case "versions":
		return a.Versions(ctx, args[1:], os.Stdout)
	case "rekey":
		return a.Rekey(ctx)
	case "audit":
		if len(args) < 2 || args[1] != "verify" {
			return errors.New("the command is: worker audit verify, with hashes from the log if you have some")
		}
		return a.VerifyTrail(ctx, args[2:])
	default:
		return fmt.Errorf("there is no command %q: run, migrate, rekey, versions, audit verify or backtest", command)
	}
}
