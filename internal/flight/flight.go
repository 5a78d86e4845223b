// Package flight lets concurrent callers with the same question share one answer.
package flight

import (
	"context"
	"errors"
	"runtime"
	"sync"
)

// errUnfinished is what the others get when the one who worked panicked.
var errUnfinished = errors.New("the work that was shared did not end")

// Group shares answers by question. At most one flight of a question is under
// way. A caller that asks during a flight waits for the next one, together with all others
// that do. So an answer is never older than its question: a caller reads at least what it has
// just written, which joining the present flight could not promise. A Group has no goroutine:
// one of the callers does the work.
//
// The zero Group is ready for use.
type Group[K comparable, V any] struct {
	mu    sync.Mutex
	lines map[K]*line[V]
}

// line is one question: what is under way and who waits for the next flight.
type line[V any] struct {
	flying bool
	next   *flight[V]
}

type flight[V any] struct {
	lead    chan struct{} // holds the permission for one waiting caller to begin
	done    chan struct{}
	waiting int
	value   V
	err     error
}

// Do answers the question with the result of ask, for this caller and for the callers that
// arrive before ask begins. The context of ask has the deadline of the caller
// that runs it and does not end when that caller leaves. A caller that leaves
// while it waits gets its context's error.
func (g *Group[K, V]) Do(ctx context.Context, question K, ask func(context.Context) (V, error)) (V, error) {
	g.mu.Lock()
	l := g.lines[question]
	if l == nil {
		if g.lines == nil {
			g.lines = map[K]*line[V]{}
		}
		l = &line[V]{}
		g.lines[question] = l
	}
	if l.next == nil {
		l.next = newFlight[V]()
		if !l.flying {
			l.next.lead <- struct{}{}
		}
	}
	f := l.next
	f.waiting++
	g.mu.Unlock()

	select {
	case <-f.done:
		return f.value, f.err
	case <-f.lead:
		// Those who are about to ask were often let go by the same answer: they come
		// along. When no other goroutine can run, this costs nothing.
		runtime.Gosched()
		g.mu.Lock()
		l.next, l.flying = nil, true
		g.mu.Unlock()
		return g.fly(ctx, question, l, f, ask)
	case <-ctx.Done():
		g.leave(question, l, f)
		var none V
		return none, ctx.Err()
	}
}

func newFlight[V any]() *flight[V] {
	return &flight[V]{lead: make(chan struct{}, 1), done: make(chan struct{})}
}

// fly does the work, passes the result to those who waited and lets the next call begin.
func (g *Group[K, V]) fly(
	ctx context.Context,
	question K,
	l *line[V],
	f *flight[V],
	ask func(context.Context) (V, error),
) (V, error) {
	f.err = errUnfinished
	defer func() {
		close(f.done)
		g.mu.Lock()
		defer g.mu.Unlock()
		l.flying = false
		if l.next == nil {
			delete(g.lines, question)
			return
		}
		l.next.lead <- struct{}{}
	}()
	work := context.WithoutCancel(ctx)
	if end, limited := ctx.Deadline(); limited {
		var cancel context.CancelFunc
		work, cancel = context.WithDeadline(work, end)
		defer cancel()
	}
	f.value, f.err = ask(work)
	return f.value, f.err
}

// leave takes a caller out of a flight. The last to leave one that has not begun
// takes it away with its line, so that no signal to begin is kept without a waiter.
func (g *Group[K, V]) leave(question K, l *line[V], f *flight[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.waiting--
	if f.waiting > 0 || l.next != f {
		return
	}
	l.next = nil
	if !l.flying {
		delete(g.lines, question)
	}
}
