package flight_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/flight"
)

// counter doubles numbers when a test releases it.
type counter struct {
	batch   flight.Batch[int, int]
	proceed chan error
	batches [][]int
}

func (c *counter) run(_ context.Context, in []int) ([]int, error) {
	c.batches = append(c.batches, in)
	if err := <-c.proceed; err != nil {
		return nil, err
	}
	out := make([]int, len(in))
	for n, i := range in {
		out[n] = 2 * i
	}
	return out, nil
}

func (c *counter) do(ctx context.Context, in int) <-chan int {
	out := make(chan int, 1)
	go func() {
		n, err := c.batch.Do(ctx, in, c.run)
		if err != nil {
			n = -1
		}
		out <- n
	}()
	synctest.Wait()
	return out
}

func TestThoseWhoComeMeanwhileGoTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &counter{proceed: make(chan error)}
		one := c.do(t.Context(), 1)
		two, three := c.do(t.Context(), 2), c.do(t.Context(), 3)
		ctx, leave := context.WithCancel(t.Context())
		gone := c.do(ctx, 4)
		leave()
		require.Equal(t, -1, <-gone)
		c.proceed <- nil
		require.Equal(t, 2, <-one)
		c.proceed <- nil
		require.Equal(t, 4, <-two)
		require.Equal(t, 6, <-three)
		require.Equal(t, [][]int{{1}, {2, 3}}, c.batches)

		five := c.do(t.Context(), 5)
		six := c.do(t.Context(), 6)
		c.proceed <- errors.New("away")
		require.Equal(t, -1, <-five)
		c.proceed <- nil
		require.Equal(t, 12, <-six, "a batch that failed is not the next one's")
	})
}

func TestABatchHasAnEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &counter{proceed: make(chan error)}
		one := c.do(t.Context(), 1)
		var rest []<-chan int
		for n := range 300 {
			rest = append(rest, c.do(t.Context(), n))
		}
		for range 3 {
			c.proceed <- nil
			synctest.Wait()
		}
		require.Equal(t, 2, <-one)
		for n, out := range rest {
			require.Equal(t, 2*n, <-out)
		}
		require.Len(t, c.batches, 3)
		require.Len(t, c.batches[1], 256)
		require.Len(t, c.batches[2], 44)
	})
}

// TestEveryInputIsRunOnce: nothing is lost or doubled between batches.
func TestEveryInputIsRunOnce(t *testing.T) {
	t.Parallel()
	var (
		batch flight.Batch[int, int]
		all   sync.WaitGroup
		runs  = map[int]int{} // batches do not overlap, so it needs no lock
	)
	for g := range 8 {
		all.Go(func() {
			for n := range 1000 {
				in := g*1000 + n
				out, err := batch.Do(t.Context(), in, func(_ context.Context, in []int) ([]int, error) {
					for _, i := range in {
						runs[i]++
					}
					return in, nil
				})
				if err != nil || out != in {
					t.Errorf("%d became %d (%v)", in, out, err)
				}
			}
		})
	}
	all.Wait()
	require.Len(t, runs, 8000)
	for in, n := range runs {
		require.Equal(t, 1, n, in)
	}
}
