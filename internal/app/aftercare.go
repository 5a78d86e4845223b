package app

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/tracing/span"
)

// Aftercare starts the work that follows the answer to a notice: the operation's page, the
// end of the successor's time as a standby, the review. In a storm, incoming notices go
// first. Work that finds no slot is left to the sweep.
type Aftercare struct {
	Follow func(ctx context.Context, taken *roles.TakenNotice) error
	Log    *slog.Logger

	queue  chan *roles.TakenNotice
	taking atomic.Int64
}

// Bounds of the aftercare of one process.
const (
	aftercareQueue  = 64
	aftercareAtOnce = 4
	aftercareWithin = 5 * time.Second
	stormTaking     = 4                     // notices in flight from which on it is a storm
	stormPause      = 50 * time.Millisecond // before looking again whether it is over
	stormLongest    = 10 * time.Second
)

// NewAftercare makes one; call Run to start it.
func NewAftercare(follow func(context.Context, *roles.TakenNotice) error, log *slog.Logger) *Aftercare {
	return &Aftercare{Follow: follow, Log: log, queue: make(chan *roles.TakenNotice, aftercareQueue)}
}

// BeginNotice says that a notice is being taken in. Call done when it is answered.
func (a *Aftercare) BeginNotice() (done func()) {
	a.taking.Add(1)
	return func() { a.taking.Add(-1) }
}

// Add queues what follows from a notice. When the queue is full the sweep does it.
func (a *Aftercare) Add(taken *roles.TakenNotice) {
	select {
	case a.queue <- taken:
	default:
	}
}

// Run works on the queue until ctx ends.
func (a *Aftercare) Run(ctx context.Context) error {
	var g errgroup.Group
	for range aftercareAtOnce {
		g.Go(func() error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case taken := <-a.queue:
					a.startFollowUps(ctx, taken)
				}
			}
		})
	}
	return g.Wait()
}

func (a *Aftercare) startFollowUps(ctx context.Context, taken *roles.TakenNotice) {
	for waited := time.Duration(0); a.taking.Load() >= stormTaking && waited < stormLongest; waited += stormPause {
		select {
		case <-ctx.Done():
			return
		case <-time.After(stormPause):
		}
	}
	ctx, cancel := context.WithTimeout(span.With(ctx, taken.Trace), aftercareWithin)
	defer cancel()
	if err := a.Follow(ctx, taken); err != nil {
		a.Log.WarnContext(ctx, "the aftercare of a notice is left to the sweep", "agent_id", taken.Set.AgentID,
			"instance_id", taken.Outcome.InstanceID, "error", err)
	}
}
