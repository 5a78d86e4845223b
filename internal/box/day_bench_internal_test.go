package box

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/box/boxtest"
	"spotkeeper/internal/testkit/subprocess"
)

// A day has so many polls of each path and so many heartbeats.
const (
	pollsOfADay = 24 * 60 * 60 / 5
	beatsOfADay = 24 * 60 * 60 / 30
)

// BenchmarkDayOfAnAgent has the program of the agent make the requests of a day, as fast as its
// settings allow, and says how large it is, how much memory it has at the beginning and at the
// end, and how much of a processor a day takes. It is part of make bench.
func BenchmarkDayOfAnAgent(b *testing.B) {
	dir := b.TempDir()
	program := filepath.Join(dir, "spotkeeper-agent")
	build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "../../deploy/agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(b, err, "%s", out)
	size, err := os.Stat(program)
	require.NoError(b, err)
	meta, plane := boxtest.StartIMDS(b, "i-1"), boxtest.StartPlane(b)
	const poll = 10 * time.Millisecond
	cmd := exec.CommandContext(context.WithoutCancel(b.Context()), program, "run")
	for name, value := range map[string]string{
		"API": plane.URL, "AGENT_ID": "web", "JOIN_METHOD": "legacy-client-token", "JOIN_TOKEN": "secret",
		"IMDS_ENDPOINT": meta.URL, "IMDS_POLL": poll.String(),
		"HEARTBEAT": (poll * pollsOfADay / beatsOfADay).String(), "STATE_DIR": filepath.Join(dir, "state"),
		"SOCKET": filepath.Join(dir, "agent.sock"), "HOOKS_DIR": filepath.Join(dir, "hooks.d"),
	} {
		cmd.Env = append(cmd.Env, "SPOTKEEPER_AGENT_"+name+"="+value)
	}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = subprocess.EndsWithParent(syscall.SIGKILL)
	require.NoError(b, cmd.Start())
	defer func() {
		require.NoError(b, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(b, cmd.Wait(), log.String())
		used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		b.ReportMetric(used.Seconds(), "cpu-s")
	}()
	resident := func() float64 {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", cmd.Process.Pid))
		require.NoError(b, err)
		var total, pages int
		_, err = fmt.Sscan(string(content), &total, &pages)
		require.NoError(b, err)
		return float64(pages*os.Getpagesize()) / (1 << 20)
	}
	polled := func(n int) func() bool {
		return func() bool { return meta.Reads()["meta-data/spot/instance-action"] >= n }
	}
	require.Eventually(b, polled(pollsOfADay/24), 30*time.Minute, 50*time.Millisecond)
	early := resident()
	require.Eventually(b, polled(pollsOfADay), 30*time.Minute, 50*time.Millisecond)
	late := resident()
	b.ReportMetric(early, "MB-after-an-hour")
	b.ReportMetric(late, "MB-after-a-day")
	b.ReportMetric(float64(size.Size())/1e6, "MB-of-program")
	b.ReportMetric(float64(len(plane.Arrivals("/heartbeat"))), "heartbeats")
	require.Less(b, late, 20.0)
	require.Less(b, size.Size(), int64(15e6))
}
