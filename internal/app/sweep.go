package app

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/sweeps"
	"spotkeeper/internal/temporalx"
)

// Sweep looks after open rows, in every api and worker: it starts what was decided and
// not begun, above all when Temporal was away or a process died in between.
type Sweep struct {
	Rows interface {
		Sweep(ctx context.Context) (activities.SweepCounts, error)
	}
	Every time.Duration // between two passes; 0: one second
	Log   *slog.Logger
}

// passWithin bounds one pass, so that a dependency which hangs does not end the loop.
const passWithin = 30 * time.Second

// startsPerSecond bounds what one process starts: after an outage thousands of rows are
// due. What agents with seconds to live want is started first, and its workflow tasks go
// before those of the rest.
const startsPerSecond = 50

func (a *App) newSweep() *Sweep {
	rows := &activities.OpenRows{
		Store:     &sweeps.OpenRows{DB: a.DB},
		Workflows: a.Workflows,
		Log:       a.Log,
		Pace:      rate.NewLimiter(startsPerSecond, startsPerSecond),
	}
	return &Sweep{Rows: &ownRows{rows: rows, tie: a.tieOf}, Log: a.Log}
}

// ownRows passes over open rows only in the Temporal namespace of this database: in that of
// another installation, its workers would be given what is not theirs.
type ownRows struct {
	rows  *activities.OpenRows
	tie   func(context.Context) (known bool, err error)
	known bool
}

// Sweep is for one goroutine. Fails with workflow.other_installation.
func (o *ownRows) Sweep(ctx context.Context) (activities.SweepCounts, error) {
	if !o.known {
		var err error
		if o.known, err = o.tie(ctx); err != nil {
			return activities.SweepCounts{}, err
		}
	}
	return o.rows.Sweep(ctx)
}

// Run passes until ctx ends: at once when it begins, and without a pause while more rows
// are due than a pass takes. A pass that fails is the next one's business: with the
// database or Temporal away there is nothing else to do than to ask again.
func (s *Sweep) Run(ctx context.Context) error {
	every := s.Every
	if every <= 0 {
		every = time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for away, more := false, true; ; {
		if !more {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
		pass, cancel := context.WithTimeout(ctx, passWithin)
		out, err := s.Rows.Sweep(pass)
		cancel()
		more = err == nil && out.More && out.Started+out.Running+out.Woken > 0
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (fault.KindOf(err) == fault.Unavailable || temporalx.IsOther(err)):
			if !away { // once per outage
				s.Log.WarnContext(ctx, "open rows wait: a dependency is unavailable", "error", err)
			}
			away = true
			continue
		case err != nil:
			s.Log.ErrorContext(ctx, "open rows could not be looked after", "error", err)
		case out.Started+out.Failed > 0:
			s.Log.InfoContext(ctx, "started what was missing", "started", out.Started, "woken", out.Woken,
				"failed", out.Failed)
		}
		away = false
	}
}
