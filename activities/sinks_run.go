package activities

import (
	"context"
	"slices"
	"sync"
	"time"
)

// deliveryRun is one run of the delivery: a loop that claims, and a goroutine for
// each sink that is being delivered to.
type deliveryRun struct {
	*Sinks
	all   sync.WaitGroup
	freed chan struct{} // a sink is done with

	mu   sync.Mutex
	busy map[string]bool // sinks
	out  DeliverResult
	err  error // of the database, the first
}

// claimUntilDeadline claims what is due until the time for it is over.
func (r *deliveryRun) claimUntilDeadline(ctx context.Context) error {
	end, last := time.Now().Add(r.Watch), time.Now().Add(r.Watch+mostPeriods*r.Period)
	for {
		more, err := r.claimBatch(ctx)
		if err != nil {
			return err
		}
		if !time.Now().Add(r.Every).Before(end) {
			if r.Period <= 0 || !end.Before(last) || r.isIdle() {
				return nil
			}
			end = end.Add(r.Period) // the schedule has skipped, or will skip, a run for this one
		}
		if done, err := r.pause(ctx, more); done || err != nil {
			return err
		}
	}
}

// pause waits for the next look: until it is time, or until there is room for more
// of what is due already.
func (r *deliveryRun) pause(ctx context.Context, more bool) (done bool, err error) {
	var room <-chan struct{}
	if more {
		room = r.freed
	}
	wait := time.NewTimer(r.Every)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return true, ctx.Err()
	case <-stopping(ctx): // deliveries in flight are ended; the next run goes on
		return true, nil
	case <-room:
	case <-wait.C:
	}
	return false, nil
}

// claimBatch claims what there is room for, and begins to deliver it. It says whether
// there may be more.
func (r *deliveryRun) claimBatch(ctx context.Context) (more bool, err error) {
	made, err := r.Store.Enqueue(ctx)
	if err != nil {
		return false, err
	}
	r.mu.Lock()
	r.out.Enqueued += made
	busy, failed := make([]string, 0, len(r.busy)), r.err
	for id := range r.busy {
		busy = append(busy, id)
	}
	r.mu.Unlock()
	room := sinksAtOnce - len(busy)
	if failed != nil || room == 0 {
		return failed == nil, failed
	}
	slices.Sort(busy)
	claimed, err := r.Store.Claim(ctx, DueDeliveries{
		Sinks:   room,
		PerSink: deliveriesPerSink,
		Lease:   deliveryLease,
		Busy:    busy,
	})
	if err != nil {
		return false, err
	}
	bySink := map[string][]Delivery{}
	for _, d := range claimed {
		bySink[d.SinkID] = append(bySink[d.SinkID], d)
	}
	for id, of := range bySink {
		r.mu.Lock()
		r.busy[id] = true
		r.mu.Unlock()
		r.all.Go(func() { r.deliver(ctx, id, of) })
	}
	return len(bySink) == room, nil
}

func (r *deliveryRun) isIdle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.busy) == 0
}

// deliver sends what one sink is to get, in order, and gives back what it did not
// come to: after the first sign that the sink itself is down, and when its time is
// over.
func (r *deliveryRun) deliver(ctx context.Context, sinkID string, of []Delivery) {
	delivered, failed, unsent, err := r.sendAll(ctx, of, time.Now().Add(sinkWithin))
	if len(unsent) > 0 && err == nil {
		err = r.Store.Release(context.WithoutCancel(ctx), unsent)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, sinkID)
	r.out.Delivered += delivered
	r.out.Failed += failed
	if r.err == nil {
		r.err = err
	}
	select {
	case r.freed <- struct{}{}:
	default: // the loop knows
	}
}

func (r *deliveryRun) sendAll(
	ctx context.Context,
	of []Delivery,
	until time.Time,
) (delivered, failed int64, unsent []Delivery, err error) {
	for n, d := range of {
		if n > 0 && !time.Now().Before(until) {
			return delivered, failed, of[n:], nil
		}
		sent := r.deliverOne(ctx, d)
		if ctx.Err() != nil { // the worker stops: that says nothing of the sink
			return delivered, failed, of[n:], nil //nolint:nilerr // what is unsent is the result
		}
		if sent == nil {
			if err := r.Store.Delivered(ctx, d); err != nil {
				return delivered, failed, nil, err
			}
			delivered++
			continue
		}
		failed++
		down := isReceiverDown(sent)
		r.Log.WarnContext(ctx, "a notification could not be delivered", "sink_id", d.SinkID, "client_id", d.ClientID,
			"attempt", d.Attempts, "down", down, "error", sent)
		if err := r.Store.Failed(ctx, d, failureOf(sent), down); err != nil {
			return delivered, failed, nil, err
		}
		if down {
			return delivered, failed, of[n+1:], nil
		}
	}
	return delivered, failed, nil, nil
}
