package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"spotkeeper/internal/temporalx"
)

// Deployment is the worker deployment that the configuration names.
func (a *App) Deployment() *temporalx.Deployment {
	return &temporalx.Deployment{Client: a.Temporal, Namespace: a.Namespace, Name: a.Config.Temporal.Deployment}
}

// claimDeployment makes the first version of a deployment its current one.
func (a *App) claimDeployment(ctx context.Context) error {
	claimed, err := a.Deployment().Claim(ctx, a.Config.Temporal.BuildID)
	if claimed {
		a.Log.InfoContext(ctx, "this version of workers is the first, and the current one", "build", a.Config.Temporal.BuildID)
	}
	return err
}

// errVersions says how the command is used.
var errVersions = errors.New("the command is: worker versions [current BUILD | ramp BUILD PERCENT | rollback | leave BUILD]")

// Versions lists the versions of workers, or changes which of them has new workflows, as
// the words say.
func (a *App) Versions(ctx context.Context, words []string, out io.Writer) error {
	d, word := a.Deployment(), "list"
	if len(words) > 0 {
		word = words[0]
	}
	var err error
	switch {
	case word == "list" && len(words) < 2:
	case word == "current" && len(words) == 2:
		err = d.SetCurrent(ctx, words[1])
	case word == "ramp" && len(words) == 3:
		percent, wrong := strconv.ParseFloat(words[2], 32)
		if wrong != nil {
			return errVersions
		}
		err = d.Ramp(ctx, words[1], float32(percent))
	case word == "rollback" && len(words) == 1:
		err = d.Rollback(ctx)
	case word == "leave" && len(words) == 2:
		var moved int
		moved, err = d.Leave(ctx, words[1])
		_, _ = fmt.Fprintf(out, "%d open workflows go on at the current version\n", moved)
	default:
		return errVersions
	}
	if err != nil {
		return err
	}
	versions, err := d.Versions(ctx)
	if err != nil {
		return err
	}
	return writeVersions(versions, out)
}

func writeVersions(versions []temporalx.Version, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "BUILD\tNEW WORKFLOWS\tPINNED ONES\tSINCE") // Flush reports
	for _, v := range versions {
		takes, pinned := "none", "open"
		switch {
		case v.Current:
			takes = "current"
		case v.Ramp > 0:
			takes = strconv.FormatFloat(float64(v.Ramp), 'f', -1, 32) + " %"
		}
		if v.Drained {
			pinned = "all ended"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", v.BuildID, takes, pinned, v.Created.UTC().Format(time.RFC3339))
	}
	return table.Flush()
}
