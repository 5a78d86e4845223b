package app

import (
	"context"
	"log/slog"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/fault"
)

// Redelivery acts again, from every api process, on what is durable and was not
// taken: above all on notices that arrived while Temporal was away. A schedule
// does the same; this one is there within seconds of Temporal's return, and
// needs no schedule to be there.
type Redelivery struct {
	Notices interface {
		RedeliverNotices(ctx context.Context, in activities.RedeliverInput) (*activities.RedeliverResult, error)
	}
	Every time.Duration // between two passes; 0: two seconds
	Log   *slog.Logger
}

// passWithin bounds one pass, so that a neighbour which hangs does not end the loop.
const passWithin = 30 * time.Second

// rolesEvery is how many passes look at notices alone for one that also looks for
// roles which want judging: nothing there is as urgent.
const rolesEvery = 10

// Run passes until ctx ends. A pass that fails is the next one's business: with
// the database or Temporal away there is nothing else to do than to ask again.
func (r *Redelivery) Run(ctx context.Context) error {
	every := r.Every
	if every <= 0 {
		every = 2 * time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		pass, cancel := context.WithTimeout(ctx, passWithin)
		out, err := r.Notices.RedeliverNotices(pass, activities.RedeliverInput{NoticesOnly: n%rolesEvery != 0})
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && fault.KindOf(err) == fault.Unavailable:
			r.Log.WarnContext(ctx, "notices cannot be looked through", "error", err)
		case err != nil:
			r.Log.ErrorContext(ctx, "notices cannot be looked through", "error", err)
		case out.Delivered+out.Woken+out.Failed > 0:
			r.Log.InfoContext(ctx, "acted on what was waiting", "delivered", out.Delivered, "woken", out.Woken, "failed", out.Failed)
		}
	}
}
