package rest

import (
	"context"
	"log/slog"
	"time"

	"spotkeeper/internal/fault"
	"spotkeeper/internal/postgres"
	"spotkeeper/workflows"
)

// UntoldReports is the part of postgres.SwitchReports that Retelling reads.
type UntoldReports interface {
	Untold(ctx context.Context, olderThan time.Duration, limit int) ([]postgres.Untold, error)
	Told(ctx context.Context, switchID string) error
	Tried(ctx context.Context, switchID string) error
}

// UntoldCommands is the part of postgres.Commands that Retelling reads.
type UntoldCommands interface {
	Untold(ctx context.Context, olderThan time.Duration, limit int) ([]postgres.Command, error)
	Told(ctx context.Context, commandID string) error
	Tried(ctx context.Context, commandID string) error
}

// Retelling tells switches again what their agents reported while Temporal was
// away. An agent reports once; a switch recognizes what it has heard, so several
// processes may do this at once.
type Retelling struct {
	Reports   UntoldReports
	Commands  UntoldCommands
	Workflows AgentWorkflows
	Log       *slog.Logger
	Interval  time.Duration // between two looks, and the age of what is told; 0: 5 s
}

const mostRetold = 100

// retellWithin is how long one report may take to be passed on, so that a workflow
// which does not take it leaves time for the others of a pass.
const retellWithin = 5 * time.Second

// Run tells until the context ends.
func (r *Retelling) Run(ctx context.Context) {
	interval := r.Interval
	if interval <= 0 {
		interval = 5 * time.Second
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := r.Once(ctx, interval); err != nil && ctx.Err() == nil {
			r.Log.WarnContext(ctx, "reports of switches wait to be told", "error", err)
		}
	}
}

// Once passes on what is older, oldest first. While Temporal is away it stops at once:
// the next will not do better. One that fails for another reason is stamped, comes
// again after all others, and keeps none of them waiting.
func (r *Retelling) Once(ctx context.Context, olderThan time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	reports, err := r.Reports.Untold(ctx, olderThan, mostRetold)
	if err != nil {
		return err
	}
	for _, x := range reports {
		report := workflows.SwitchReport{AgentID: x.AgentID, CommandID: x.CommandID, InstanceID: x.NewID, Success: true}
		if err := r.tell(ctx, report, x.SwitchID, r.Reports.Told, r.Reports.Tried); err != nil {
			return err
		}
	}
	commands, err := r.Commands.Untold(ctx, olderThan, mostRetold)
	if err != nil {
		return err
	}
	for _, x := range commands {
		report := workflows.SwitchReport{AgentID: x.AgentID, CommandID: x.ID, Done: true, Success: x.Status == "completed"}
		if err := r.tell(ctx, report, x.ID, r.Commands.Told, r.Commands.Tried); err != nil {
			return err
		}
	}
	return nil
}

// tell passes one report on and records that it was taken, or that it was tried.
func (r *Retelling) tell(ctx context.Context, report workflows.SwitchReport, id string,
	told, tried func(context.Context, string) error) error {
	within, cancel := context.WithTimeout(ctx, retellWithin)
	defer cancel()
	err := r.Workflows.SwitchReport(within, report)
	switch {
	case err == nil:
		return told(ctx, id)
	case fault.Is(err, workflows.Unreachable), ctx.Err() != nil:
		return err
	}
	r.Log.ErrorContext(ctx, "a report of a switch was not taken", "agent_id", report.AgentID,
		"operation_id", workflows.SwitchID(report.CommandID), "error", err)
	return tried(ctx, id)
}
