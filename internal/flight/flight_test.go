package flight_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/flight"
)

// desk answers when a test releases it.
type desk struct {
	group  flight.Group[string, int64]
	asked  atomic.Int64
	answer chan struct{}
	seen   context.Context // of the last work
}

func newDesk() *desk { return &desk{answer: make(chan struct{})} }

func (d *desk) work(ctx context.Context) (int64, error) {
	n := d.asked.Add(1)
	d.seen = ctx
	<-d.answer
	return n, nil
}

// ask asks in the background; the answer is sent when it is there.
func (d *desk) ask(ctx context.Context) <-chan int64 {
	out := make(chan int64, 1)
	go func() {
		n, err := d.group.Do(ctx, "q", d.work)
		if err != nil {
			n = -1
		}
		out <- n
	}()
	synctest.Wait()
	return out
}

func TestThoseWhoComeMeanwhileShareTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		first := d.ask(t.Context())
		var later []<-chan int64
		for range 20 {
			later = append(later, d.ask(t.Context()))
		}
		require.EqualValues(t, 1, d.asked.Load(), "nobody works beside the first")
		d.answer <- struct{}{}
		require.EqualValues(t, 1, <-first)
		synctest.Wait()
		require.EqualValues(t, 2, d.asked.Load())
		d.answer <- struct{}{}
		for _, answer := range later {
			require.EqualValues(t, 2, <-answer, "what was asked during a flight is not answered by it")
		}
		last := d.ask(t.Context())
		d.answer <- struct{}{}
		require.EqualValues(t, 3, <-last)
	})
}

func TestOtherQuestionsDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		first := d.ask(t.Context())
		n, err := d.group.Do(t.Context(), "another", func(context.Context) (int64, error) { return 7, nil })
		require.NoError(t, err)
		require.EqualValues(t, 7, n)
		d.answer <- struct{}{}
		require.EqualValues(t, 1, <-first)
	})
}

// TestWhoLeavesTakesNothingAway: the work goes on when the one who does it is
// gone, and a flight that all have left before it began keeps no caller waiting.
func TestWhoLeavesTakesNothingAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		ctx, leave := context.WithCancel(t.Context())
		first := d.ask(ctx)
		gone, stays := d.ask(ctx), d.ask(t.Context())
		leave()
		synctest.Wait()
		require.NoError(t, d.seen.Err())
		require.EqualValues(t, -1, <-gone)
		d.answer <- struct{}{}
		require.EqualValues(t, 1, <-first)
		synctest.Wait()

		ctx, leave = context.WithCancel(t.Context())
		gone = d.ask(ctx)
		leave()
		require.EqualValues(t, -1, <-gone)
		d.answer <- struct{}{}
		require.EqualValues(t, 2, <-stays)

		last := d.ask(t.Context())
		d.answer <- struct{}{}
		require.EqualValues(t, 3, <-last)
	})
}

func TestAPanicIsNotShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		first := d.ask(t.Context())
		var panicked, failed atomic.Int64
		bad := func(context.Context) (int64, error) { panic("bad") }
		for range 3 {
			go func() {
				defer func() {
					if recover() != nil {
						panicked.Add(1)
					}
				}()
				if _, err := d.group.Do(t.Context(), "q", bad); err != nil {
					failed.Add(1)
				}
			}()
		}
		synctest.Wait()
		d.answer <- struct{}{}
		require.EqualValues(t, 1, <-first)
		synctest.Wait()
		require.EqualValues(t, 1, panicked.Load())
		require.EqualValues(t, 2, failed.Load())
		last := d.ask(t.Context())
		d.answer <- struct{}{}
		require.EqualValues(t, 2, <-last)
	})
}

// TestNoCallerReadsLessThanItWrote: what a caller wrote before it asked is in
// its answer, whichever call did the work.
func TestNoCallerReadsLessThanItWrote(t *testing.T) {
	t.Parallel()
	var (
		group   flight.Group[string, int64]
		written atomic.Int64
		all     sync.WaitGroup
	)
	for range 8 {
		all.Go(func() {
			for range 2000 {
				mine := written.Add(1)
				got, err := group.Do(t.Context(),
					"q", func(context.Context) (int64, error) { return written.Load(), nil })
				if err != nil || got < mine {
					t.Errorf("read %d after %d was written (%v)", got, mine, err)
					return
				}
			}
		})
	}
	all.Wait()
}
