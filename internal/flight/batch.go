package flight

import (
	"context"
	"slices"
	"sync"
)

// maxBatch bounds a batch, so that a batch is never slower than separate calls.
const maxBatch = 256

// Batch serves concurrent callers together: while one batch is running, new callers are
// collected for the next. A single caller does not wait.
//
// The zero Batch is ready for use.
type Batch[In, Out any] struct {
	group   Group[struct{}, struct{}]
	mu      sync.Mutex
	pending []*item[In, Out]
}

type item[In, Out any] struct {
	in   In
	out  Out
	err  error
	done bool
}

// Do runs in with what has come by the time the batch begins. Run gets at least
// one input and returns one output for each, in their order, or the error of all.
// A caller that leaves before its batch has begun takes its input away.
func (b *Batch[In, Out]) Do(ctx context.Context, in In, run func(context.Context, []In) ([]Out, error)) (Out, error) {
	mine := &item[In, Out]{in: in, err: errUnfinished}
	b.mu.Lock()
	b.pending = append(b.pending, mine)
	b.mu.Unlock()
	for {
		// Mine may be done by a flight that began before this caller joined one, or
		// be beyond the end of the one that it joined.
		_, err := b.group.Do(ctx, struct{}{}, func(ctx context.Context) (struct{}, error) {
			b.run(ctx, run)
			return struct{}{}, nil
		})
		b.mu.Lock()
		done := mine.done
		if err != nil {
			b.pending = slices.DeleteFunc(b.pending, func(i *item[In, Out]) bool { return i == mine })
		}
		b.mu.Unlock()
		switch {
		case err != nil:
			var none Out
			return none, err
		case done:
			return mine.out, mine.err
		}
	}
}

func (b *Batch[In, Out]) run(ctx context.Context, run func(context.Context, []In) ([]Out, error)) {
	b.mu.Lock()
	n := min(maxBatch, len(b.pending))
	batch := b.pending[:n:n]
	b.pending = b.pending[n:]
	b.mu.Unlock()
	if n == 0 {
		return
	}
	defer func() { // also after a panic
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, i := range batch {
			i.done = true
		}
	}()
	in := make([]In, n)
	for n, i := range batch {
		in[n] = i.in
	}
	out, err := run(ctx, in)
	for n, i := range batch {
		if i.err = err; err == nil {
			i.out = out[n]
		}
	}
}
