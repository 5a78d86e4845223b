// Package cpu tells benchmarks what their work costs in time of the processor,
// which says more than elapsed time on a machine that others use too.
package cpu

import (
	"syscall"
	"testing"
	"time"
)

// Used is the processor time of this process and of the children it has waited
// for.
func Used() time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err == nil {
			total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return total
}

// Report adds to a benchmark how many decisions it made in a second and what each
// cost, since a moment when Used was used. elapsed is what they took.
func Report(b *testing.B, decisions int, elapsed, used time.Duration) {
	b.Helper()
	b.ReportMetric(float64(decisions)/elapsed.Seconds(), "decisions/s")
	b.ReportMetric((Used()-used).Seconds()*1000/float64(decisions), "cpu-ms/decision")
}
