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
}

// UntoldCommands is the part of postgres.Commands that Retelling reads.
type UntoldCommands interface {
	Untold(ctx context.Context, olderThan time.Duration, limit int) ([]postgres.Command, error)
	Told(ctx context.Context, commandID string) error
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

// Once tells what is older, oldest first. While nobody is there to be told it
// stops at once: the next will not do better. One that is refused waits, and the
// others do not wait for it.
func (r *Retelling) Once(ctx context.Context, olderThan time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	reports, err := r.Reports.Untold(ctx, olderThan, mostRetold)
	if err != nil {
		return err
	}
	for _, x := range reports {
		told := func() error { return r.Reports.Told(ctx, x.SwitchID) }
		if err := r.tell(ctx, workflows.SwitchReport{AgentID: x.AgentID, CommandID: x.CommandID, InstanceID: x.NewID, Success: true}, told); err != nil {
			return err
		}
	}
	commands, err := r.Commands.Untold(ctx, olderThan, mostRetold)
	if err != nil {
		return err
	}
	for _, x := range commands {
		told := func() error { return r.Commands.Told(ctx, x.ID) }
		if err := r.tell(ctx, workflows.SwitchReport{AgentID: x.AgentID, CommandID: x.ID, Done: true, Success: x.Status == "completed"}, told); err != nil {
			return err
		}
	}
	return nil
}

// tell tells one and records that it was told.
func (r *Retelling) tell(ctx context.Context, report workflows.SwitchReport, told func() error) error {
	err := r.Workflows.SwitchReport(ctx, report)
	switch {
	case err == nil:
		return told()
	case fault.KindOf(err).Retryable():
		return err
	}
	r.Log.ErrorContext(ctx, "a report of a switch was refused", "agent_id", report.AgentID, "operation_id", workflows.SwitchID(report.CommandID), "error", err)
	return nil
}
