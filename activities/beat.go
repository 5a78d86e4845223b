package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

// recordHeartbeat tells the server that the work goes on; outside a worker it says nothing.
func recordHeartbeat(ctx context.Context) {
	if activity.IsActivity(ctx) {
		activity.RecordHeartbeat(ctx)
	}
}

// stopping is closed when the worker is about to stop, for work that can end early;
// outside a worker it never is.
func stopping(ctx context.Context) <-chan struct{} {
	if activity.IsActivity(ctx) {
		return activity.GetWorkerStopChannel(ctx)
	}
	return nil
}

// heartbeatEvery calls beat at once and then every so often until rest is called, for
// work that is bounded by other means and has no parts between which to beat.
func heartbeatEvery(every time.Duration, beat func()) (rest func()) {
	resting, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			beat()
			select {
			case <-resting:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(resting); <-ended }
}
