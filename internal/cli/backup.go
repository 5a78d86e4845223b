package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"spotkeeper/internal/cli/client"
)

// kept are the tables that cannot be made again from EC2, the agents or the clock.
var kept = []string{"clients", "agents", "instances", "replicas", "switches", "operations", "operation_steps",
	"launches", "notices", "role_changes", "commands", "client_savings", "model_sessions", "notification_sinks"}

func (p *program) backup() *cobra.Command {
	group := &cobra.Command{Use: "backup", Short: "Check backups of the database"}
	restore := "pg_restore"
	check := &cobra.Command{Use: "check FILE", Args: cobra.ExactArgs(1),
		Short: "Check that a dump of pg_dump --format=custom is whole and has every table that matters",
		RunE: func(c *cobra.Command, args []string) error {
			e := &examination{}
			e.dump(c.Context(), restore, args[0])
			return p.report(c, e)
		}}
	check.Flags().StringVar(&restore, "pg-restore", restore, "the program, of the server's version or newer")
	group.AddCommand(check)
	return group
}

// dump has pg_restore read the whole file, which finds one that was cut off.
func (e *examination) dump(ctx context.Context, restore, file string) {
	var errs bytes.Buffer
	list := exec.CommandContext(ctx, restore, "--list", file) //nolint:gosec // the user's own file
	list.Stderr = &errs
	contents, err := list.Output()
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		e.add("pg_restore", failed, restore+" is not here", "install the client programs of Postgres")
		return
	}
	if err != nil {
		e.add("dump", failed, strings.TrimSpace(errs.String()), "make it with pg_dump --format=custom")
		return
	}
	for _, name := range kept {
		if !strings.Contains(string(contents), " TABLE DATA public "+name+" ") {
			e.add("table "+name, failed, "its rows are not in the dump", "dump the whole database, with pg_dump's own user")
		}
	}
	errs.Reset()
	whole := exec.CommandContext(ctx, restore, "--file=/dev/null", file) //nolint:gosec // as above
	whole.Stderr = &errs
	if err := whole.Run(); err != nil {
		e.add("dump", failed, strings.TrimSpace(errs.String()), "the file is damaged: take another one")
		return
	}
	e.add("dump", passed, fmt.Sprintf("can be read to its end, %d tables that matter were looked for", len(kept)), "")
}

func (p *program) restore() *cobra.Command {
	group := &cobra.Command{Use: "restore", Short: "Check a control plane after its database was restored"}
	group.AddCommand(p.command("check", "Check that a restored control plane has caught up with the fleet", cobra.NoArgs,
		func(c *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			e := &examination{}
			if e.reach(c.Context(), api) {
				e.dependencies(c.Context(), api)
				e.jobs(c.Context(), api)
				e.fleet(c.Context(), api, p.target.Client)
				e.openOperations(c.Context(), api)
			}
			return p.report(c, e)
		}))
	return group
}

// quiet is how long an open operation may show no step before it is looked at: longer
// than the sweep takes to start what lacks a workflow.
const quiet = 20 * time.Minute

// openOperations finds operations that run and do nothing: their workflow was lost and
// nothing has started it again, or EC2 has moved on without the database.
func (e *examination) openOperations(ctx context.Context, api *client.ClientWithResponses) {
	running := client.ListOperationsParamsState("running")
	ops, err := pages(1000, func(limit *int, after *string) ([]client.OperationAnswer, *string, error) {
		page, err := answer(api.ListOperationsWithResponse(ctx, &client.ListOperationsParams{
			State: &running, Limit: limit, After: after}))
		if err != nil {
			return nil, nil, err
		}
		return page.Operations, page.Next, nil
	})
	if e.fail("operations", err, "") {
		return
	}
	silent := 0
	for _, o := range ops {
		if time.Since(o.UpdatedAt) > quiet {
			silent++
			e.add("operation", warning, fmt.Sprintf("%s does nothing since %s (%s)", o.Id, at(o.UpdatedAt), o.Phase),
				"spotkeeper ops show "+o.Id)
		}
	}
	e.add("operations", passed, fmt.Sprintf("%d run, %d of them without a step in %s", len(ops), silent, quiet), "")
}
