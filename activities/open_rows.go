package activities

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

// OpenRow is a row whose workflow has not written its end.
type OpenRow struct {
	ID       string `json:"id"` // the workflow's
	ClientID string `json:"client_id"`
	AgentID  string `json:"agent_id"`
	Launcher string `json:"launcher,omitempty"` // of a switch
	Urgent   bool   `json:"urgent,omitempty"`   // a replica for an emergency
	Begun    bool   `json:"begun,omitempty"`    // its workflow has written of itself before
}

// OpenRowStore is the part of sweeps.OpenRows that the sweep uses.
type OpenRowStore interface {
	ClaimOperations(ctx context.Context, limit int) ([]OpenRow, error)
	ClaimRollouts(ctx context.Context, limit int) ([]string, error)
	ClaimReviews(ctx context.Context, limit int, noticed bool) ([]string, error)
	ClaimAgain(ctx context.Context, operations, agents []string, in time.Duration) error
	TendSoon(ctx context.Context, within time.Duration) error
}

// Starter is the part of workflows.Client that starts the workflow of a row.
type Starter interface {
	Ping(ctx context.Context) error
	Wake(ctx context.Context, agentID, why string) error
	StartOperation(ctx context.Context, row OpenRow) (started bool, err error)
	StartRolloutOf(ctx context.Context, sessionID string) (started bool, err error)
}

// OpenRows is the one rule of recovery: every open row has a workflow, and the sweep
// that finds one without starts it. A workflow that runs already makes a start
// harmless, so any number of processes may sweep at once.
type OpenRows struct {
	Store     OpenRowStore
	Workflows Starter
	Log       *slog.Logger
	Pace      *rate.Limiter // of starts; nil: no limit

	healed time.Time // when all rows were made due last
}

// Bounds of one pass.
const (
	healPause   = 5 * time.Minute  // between two times that all rows are made due
	sweepLimit  = 100              // rows of each sort
	sweepAtOnce = 8                // starts in flight
	tendWithin  = 5 * time.Second  // one start, with its turn
	againIn     = 10 * time.Second // a row whose workflow could not be started
	healWithin  = 2 * time.Minute  // how soon all rows are looked at when workflows are missing
)

// SweepCounts counts the rows that one pass claimed and served.
type SweepCounts struct {
	Started int // workflows that were missing
	Running int // workflows that were there
	Woken   int // Guardians
	Failed  int
	Lost    int // of those started, the ones that had been there before

	// More says that more rows may be due than the pass took.
	More bool
}

// Sweep looks after the rows that are due. While Temporal is away it claims nothing.
// A row that cannot be tended costs its own deadline and waits behind the others.
// When workflows are missing that had been there, every open row becomes due soon:
// Temporal may have lost its state. Fails with workflow.unreachable.
func (o *OpenRows) Sweep(ctx context.Context) (SweepCounts, error) {
	if err := o.Workflows.Ping(ctx); err != nil {
		return SweepCounts{}, err
	}
	p := &pass{OpenRows: o}
	p.group.SetLimit(sweepAtOnce)
	claimed := p.start(ctx)
	_ = p.group.Wait() // each failure is counted
	return p.counts, errors.Join(claimed, p.finish(ctx))
}

// start starts what the due rows want, in this order: the agents that AWS takes the
// primary of, the operations, and the other reviews, which have at least a quarter of
// the pass.
func (p *pass) start(ctx context.Context) error {
	if err := p.startReviews(ctx, sweepLimit, true); err != nil {
		return err
	}
	rows, err := p.Store.ClaimOperations(ctx, sweepLimit)
	if err != nil {
		return err
	}
	p.more(len(rows) == sweepLimit)
	for _, row := range rows {
		p.startRow(ctx, row.ID, &p.operations, func(ctx context.Context) (func(*SweepCounts), error) {
			started, err := p.Workflows.StartOperation(ctx, row)
			return func(s *SweepCounts) { s.count(started, row.Begun) }, err
		})
	}
	if err := p.startReviews(ctx, max(sweepLimit-len(rows), sweepLimit/4), false); err != nil {
		return err
	}
	rollouts, err := p.Store.ClaimRollouts(ctx, sweepLimit)
	if err != nil {
		return err
	}
	for _, id := range rollouts {
		p.startRow(ctx, id, nil, func(ctx context.Context) (func(*SweepCounts), error) {
			started, err := p.Workflows.StartRolloutOf(ctx, id)
			return func(s *SweepCounts) { s.count(started, false) }, err
		})
	}
	return nil
}

func (p *pass) startReviews(ctx context.Context, limit int, noticed bool) error {
	agents, err := p.Store.ClaimReviews(ctx, limit, noticed)
	if err != nil {
		return err
	}
	for _, id := range agents {
		p.startRow(ctx, id, &p.agents, func(ctx context.Context) (func(*SweepCounts), error) {
			return func(s *SweepCounts) { s.Woken++ }, p.Workflows.Wake(ctx, id, "its roles are due for a review")
		})
	}
	p.more(len(agents) == limit)
	return nil
}

func (p *pass) more(full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.More = p.counts.More || full
}

func (s *SweepCounts) count(started, begun bool) {
	switch {
	case !started:
		s.Running++
	case begun:
		s.Started, s.Lost = s.Started+1, s.Lost+1
	default:
		s.Started++
	}
}

// pass is one pass of the sweep.
type pass struct {
	*OpenRows

	group      errgroup.Group
	mu         sync.Mutex
	counts     SweepCounts
	operations []string // that could not be started
	agents     []string // that could not be woken
}

// startRow starts the workflow of one row, with a deadline of its own. A row that fails is
// noted in failed and logged.
func (p *pass) startRow(
	ctx context.Context,
	id string,
	failed *[]string,
	start func(context.Context) (func(*SweepCounts), error),
) {
	p.group.Go(func() error {
		ctx, cancel := context.WithTimeout(ctx, tendWithin)
		defer cancel()
		var done func(*SweepCounts)
		err := p.pace(ctx)
		if err == nil {
			done, err = start(ctx)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if err == nil {
			done(&p.counts)
			return nil
		}
		p.counts.Failed++
		if failed != nil {
			*failed = append(*failed, id)
		}
		p.Log.WarnContext(ctx, "an open row could not be tended", "row", id, "error", err)
		return nil
	})
}

func (p *pass) pace(ctx context.Context) error {
	if p.Pace == nil {
		return nil
	}
	return p.Pace.Wait(ctx)
}

// finish puts the rows that failed on again, and makes all rows due soon when
// workflows were missing that had been there.
func (p *pass) finish(ctx context.Context) error {
	var errs error
	if len(p.operations)+len(p.agents) > 0 {
		errs = p.Store.ClaimAgain(ctx, p.operations, p.agents, againIn)
	}
	if p.counts.Lost > 0 && time.Since(p.healed) > healPause {
		p.healed = time.Now()
		p.Log.WarnContext(ctx, "workflows were missing: every open row is looked at soon", "missing", p.counts.Lost)
		errs = errors.Join(errs, p.Store.TendSoon(ctx, healWithin))
	}
	return errs
}
