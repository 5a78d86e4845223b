// Package cpu measures the processor time of benchmarks. On a machine that others use
// too, it says more than elapsed time.
package cpu

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// ProcessorTime is the processor time of this process and of the children it has waited
// for.
func ProcessorTime() time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err == nil {
			total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return total
}

// ReportCost adds to a benchmark how many decisions it made in a second and what each
// cost, since a moment when Used was used. elapsed is what they took.
func ReportCost(b *testing.B, decisions int, elapsed, used time.Duration) {
	b.Helper()
	b.ReportMetric(float64(decisions)/elapsed.Seconds(), "decisions/s")
	b.ReportMetric((ProcessorTime()-used).Seconds()*1000/float64(decisions), "cpu-ms/decision")
}

// Backends is the processor time that the Postgres backends of the pool's database
// have used, by the count of the kernel in nanoseconds. The server has to run on
// this machine.
func Backends(tb testing.TB, pool *pgxpool.Pool) time.Duration {
	tb.Helper()
	found, err := pool.Query(tb.Context(), `SELECT pid FROM pg_stat_activity WHERE datname = current_database()`)
	require.NoError(tb, err)
	pids, err := pgx.CollectRows(found, pgx.RowTo[int])
	require.NoError(tb, err)
	var total time.Duration
	for _, pid := range pids {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
		if err != nil { // it ended a moment ago
			continue
		}
		first, _, _ := strings.Cut(string(raw), " ")
		nanoseconds, err := strconv.ParseInt(first, 10, 64)
		require.NoError(tb, err)
		total += time.Duration(nanoseconds)
	}
	return total
}

// callers is how many call at once in PerCall.
const callers = 16

// PerCall measures fn, called from sixteen goroutines with the number of the call, and
// reports what a call costs this process and Postgres.
func PerCall(b *testing.B, pool *pgxpool.Pool, fn func(n int)) {
	b.Helper()
	var next atomic.Int64
	call := func(most int64) {
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				for n := next.Add(1); n <= most; n = next.Add(1) {
					fn(int(n))
				}
			})
		}
		all.Wait()
	}
	call(10 * callers) // statements are prepared and pages are read
	next.Store(0)
	here, there := ProcessorTime(), Backends(b, pool)
	b.ResetTimer()
	call(int64(b.N))
	b.StopTimer()
	here, there = ProcessorTime()-here, Backends(b, pool)-there
	b.ReportMetric(here.Seconds()*1000/float64(b.N), "process-ms/call")
	b.ReportMetric(there.Seconds()*1000/float64(b.N), "postgres-ms/call")
	b.ReportMetric((here+there).Seconds()*1000/float64(b.N), "ms/call")
}
