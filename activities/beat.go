package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

// recordHeartbeat reports to Temporal that the activity is alive. Outside a worker it does nothing.
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

// heartbeatEvery calls beat at once and then after each interval, until stop is called. It
// is for work that is bounded by other means and that cannot beat in between.
func heartbeatEvery(interval time.Duration, beat func()) (stop func()) {
	stopping, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			beat()
			select {
			case <-stopping:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(stopping); <-ended }
}
