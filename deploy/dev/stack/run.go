package stack

import (
	"context"
	"fmt"
	"reflect"
	"time"
)

// stopTime is how long one part may take to stop, requests in flight included.
const stopTime = 45 * time.Second

// Progress receives what happens to the parts. Every method returns quickly.
type Progress interface {
	// Starting announces a part before its start.
	Starting(part string)
	// Started follows when it is ready, with the time that took.
	Started(part string, took time.Duration)
	// Stopped follows for each part at the end; err is nil for a clean one.
	Stopped(part string, took time.Duration, err error)
}

// Run starts the parts in order, calls ready, and waits until the context ends
// or a part fails. It then stops what it started, in reverse. The error is nil
// when the context ended and everything stopped cleanly.
func Run(ctx context.Context, parts []Part, progress Progress, ready func()) error {
	started, err := start(ctx, parts, progress)
	switch {
	case err == nil:
		ready()
		err = await(ctx, started)
	case ctx.Err() != nil:
		err = nil // Stopped while it booted: that is what was asked for.
	}
	return Also(err, stop(context.WithoutCancel(ctx), started, progress))
}

// Also keeps both of two errors, the first as the reason.
func Also(first, then error) error {
	switch {
	case first == nil:
		return then
	case then == nil:
		return first
	default:
		return fmt.Errorf("%w (and then: %w)", first, then)
	}
}

func start(ctx context.Context, parts []Part, progress Progress) ([]Part, error) {
	for i, part := range parts {
		progress.Starting(part.Name())
		begun := time.Now()
		if err := part.Start(ctx); err != nil {
			return parts[:i], fmt.Errorf("%s did not start: %w", part.Name(), err)
		}
		progress.Started(part.Name(), time.Since(begun))
	}
	return parts, nil
}

// await returns nil when the context ends, and the reason when a part does.
func await(ctx context.Context, parts []Part) error {
	cases := []reflect.SelectCase{{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())}}
	for _, part := range parts {
		// A nil channel is never ready, which is what a step that is over means
		// by it.
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(part.Failed())})
	}
	chosen, value, _ := reflect.Select(cases)
	if chosen == 0 {
		return nil
	}
	name := parts[chosen-1].Name()
	if err, ok := value.Interface().(error); ok && err != nil {
		return fmt.Errorf("%s ended, so the rest is stopped too: %w", name, err)
	}
	return fmt.Errorf("%s ended, so the rest is stopped too", name)
}

func stop(ctx context.Context, parts []Part, progress Progress) error {
	var problem error
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i].Failed() == nil {
			continue
		}
		begun := time.Now()
		limited, cancel := context.WithTimeout(ctx, stopTime)
		err := parts[i].Stop(limited)
		cancel()
		progress.Stopped(parts[i].Name(), time.Since(begun), err)
		if err != nil {
			problem = Also(problem, fmt.Errorf("%s did not stop cleanly: %w", parts[i].Name(), err))
		}
	}
	return problem
}
