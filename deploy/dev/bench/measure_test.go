package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"spotkeeper/deploy/dev/devtest"
)

// sample is how long things took.
type sample []time.Duration

func (s sample) at(p float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

// over is the ratio of the medians.
func (s sample) over(other sample) float64 { return float64(s.at(.5)) / float64(other.at(.5)) }

func (s sample) String() string {
	if len(s) == 0 {
		return "none"
	}
	r := func(p float64) time.Duration { return s.at(p).Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %v  p90 %v  p99 %v  max %v  (n=%d)", r(.5), r(.9), r(.99),
		slices.Max(s).Round(100*time.Microsecond), len(s))
}

// show prints one line of the report.
func show(b *testing.B, what, format string, args ...any) {
	b.Helper()
	_, _ = fmt.Fprintf(os.Stdout, "  %-44s %s\n", what, fmt.Sprintf(format, args...))
}

func heading(b *testing.B, what string) {
	b.Helper()
	_, _ = fmt.Fprintf(os.Stdout, "\n%s  (%d cores, %s/%s)\n", what, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
}

// usage is the CPU time that the parts of a stack have used.
type usage map[string]time.Duration

// cpu reads the usage of every part, with its descendants: Postgres is many.
func cpu(s *devtest.Stack) usage {
	parents, times := processes()
	out := usage{}
	for _, part := range []string{devtest.Postgres, devtest.Temporal, devtest.EC2, devtest.Worker, devtest.API} {
		root := s.PID(part)
		for pid, t := range times {
			if descends(parents, pid, root) {
				out[part] += t
			}
		}
	}
	return out
}

// add adds what was used between two readings.
func (u usage) add(before, after usage) {
	for part, t := range after {
		u[part] += t - before[part]
	}
}

// subtract takes off what a stack at rest uses in the time; rest is that of a second.
func (u usage) subtract(rest usage, took time.Duration) {
	for part, second := range rest {
		u[part] -= time.Duration(float64(second) * took.Seconds())
	}
}

func (u usage) total() (sum time.Duration) {
	for _, t := range u {
		sum += t
	}
	return sum
}

func (u usage) per(before usage, n int) string {
	var parts []string
	for _, part := range []string{devtest.API, devtest.Worker, devtest.Temporal, devtest.Postgres} {
		used := u[part]
		if used >= before[part] { // otherwise it is another process since
			used -= before[part]
		}
		ms := float64(used.Microseconds()) / 1000 / float64(max(n, 1))
		parts = append(parts, fmt.Sprintf("%s %.2f", part, ms))
	}
	return strings.Join(parts, "  ") + "  ms"
}

// processes reads parent and CPU time of every process from /proc; elsewhere it
// is empty and the usage zero.
func processes() (parents map[int]int, times map[int]time.Duration) {
	parents, times = map[int]int{}, map[int]time.Duration{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+2:]))
		parents[pid], _ = strconv.Atoi(fields[1])
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		times[pid] = time.Duration(user+system) * 10 * time.Millisecond
	}
	return parents, times
}

func descends(parents map[int]int, pid, root int) bool {
	for range 32 {
		if pid == root {
			return root != 0
		}
		up, known := parents[pid]
		if !known {
			return false
		}
		pid = up
	}
	return false
}

// resident is the memory of a process in MiB.
func resident(pid int) int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if kib, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(kib)[0])
			return n / 1024
		}
	}
	return 0
}
