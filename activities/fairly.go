package activities

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// Attempts record when something was last tried. A sweep stamps each subject before it
// works on it, and takes those first that were tried longest ago. A subject that fails, or
// kills the worker, goes to the back.
type Attempts interface {
	Tried(ctx context.Context, sweep, subject string) error
}

// fairness bounds what one client can take from a run that works for all of them.
// A client whose role is broken, or whose region does not answer, costs its own time.
type fairness struct {
	atOnce int           // clients that are worked for at once
	client time.Duration // for all of one client
	one    time.Duration // for one piece of work
}

// eachFairly works through a list: several clients at once, and what is one client's
// one after another in the order of the list. When a client's time is over the rest
// of its work is left, and so is the rest of all when ctx ends.
func eachFairly[T any](
	ctx context.Context,
	list []T,
	clientOf func(T) string,
	f fairness,
	do func(context.Context, T),
) {
	var clients []string
	of := map[string][]T{}
	for _, x := range list {
		c := clientOf(x)
		if _, known := of[c]; !known {
			clients = append(clients, c)
		}
		of[c] = append(of[c], x)
	}
	rest := heartbeatEvery(fairBeat, func() { recordHeartbeat(ctx) })
	defer rest()
	var g errgroup.Group
	g.SetLimit(f.atOnce)
	for _, c := range clients {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, f.client)
			defer cancel()
			for _, x := range of[c] {
				if ctx.Err() != nil {
					break
				}
				runWithDeadline(ctx, f.one, x, do)
			}
			return nil
		})
	}
	_ = g.Wait() // it counts its failures itself
}

// fairBeat is well below the heartbeat timeout of a job: all that are worked on at
// once may hang for longer.
const fairBeat = 10 * time.Second

func runWithDeadline[T any](ctx context.Context, within time.Duration, x T, do func(context.Context, T)) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	do(ctx, x)
}
