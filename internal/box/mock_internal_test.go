package box

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/box/imds"
	"spotkeeper/internal/box/spool"
	"spotkeeper/internal/testkit/subprocess"
)

// mockVersion is the Makefile's MOCK_VERSION.
const mockVersion = "v1.13.0"

// startMock starts amazon-ec2-metadata-mock, AWS's own double of the metadata service, in
// version 2 mode. The test fails where it was not built.
func startMock(t *testing.T, command string, flags ...string) (endpoint string) {
	t.Helper()
	program, err := filepath.Abs("../../bin/tools/ec2-metadata-mock-" + mockVersion)
	require.NoError(t, err)
	require.FileExists(t, program, "run: make metadata-mock")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	cmd := exec.Command(program,
		append([]string{command, "-I", "-n", "127.0.0.1", "-p", port},
			flags...)...) //nolint:noctx,gosec // it is ended below
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, append(os.Environ(), "HOME="+t.TempDir())
	cmd.SysProcAttr = subprocess.EndsWithParent(syscall.SIGKILL)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
	endpoint = "http://127.0.0.1:" + port
	c := imds.New(imds.Options{Endpoint: endpoint})
	t.Cleanup(c.Close)
	require.Eventually(t, func() bool {
		_, err := c.Text(context.Background(), "meta-data/instance-id")
		return err == nil
	}, time.Minute, 20*time.Millisecond)
	return endpoint
}

func TestAmazonMetadataMock(t *testing.T) {
	t.Parallel()
	t.Run("spot", func(t *testing.T) {
		t.Parallel()
		b := newBox(t)
		b.hook("drain/10-stop", "")
		b.s.IMDS.Endpoint = startMock(t, "spot", "-a", "terminate")
		b.run()
		b.eventually(func() bool { return len(b.plane.Arrivals("/heartbeat")) > 3 })
		// The mock says "two minutes from now" at every read, and recommends a rebalance too.
		var notice spool.Notice
		b.eventually(func() bool {
			for _, notice = range b.status().Notices {
				if notice.Kind == spool.Termination {
					return notice.Done
				}
			}
			return false
		})
		got := b.status()
		require.Len(t, b.plane.Arrivals("/termination-imminent"), 1)
		require.Equal(t, got.Identity.InstanceID, b.plane.Arrivals("/termination-imminent")[0].Body["instance_id"])
		require.Equal(t, "i-1234567890abcdef0", got.Identity.InstanceID)
		require.Equal(t, "us-east-1a", got.Identity.Zone)
		require.Equal(t, "terminate", notice.Action)
		require.WithinDuration(t, time.Now().Add(2*time.Minute), notice.Deadline, time.Minute)
		require.Equal(t, []string{"begin drain/10-stop", "end drain/10-stop"}, b.traces())
	})
	for _, action := range []string{"stop", "hibernate"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			b.s.IMDS.Endpoint = startMock(t, "spot", "-a", action)
			b.run()
			b.eventually(func() bool { return len(b.plane.Arrivals("/termination-imminent")) == 1 })
			b.eventually(func() bool {
				return slices.ContainsFunc(b.status().Notices, func(n spool.Notice) bool { return n.Action == action })
			})
		})
	}
	t.Run("maintenance", func(t *testing.T) {
		t.Parallel()
		b := newBox(t)
		b.s.IMDS.Endpoint = startMock(t, "events", "-o", "instance-retirement")
		b.run()
		b.eventually(func() bool { return strings.Contains(b.status().Maintenance, "instance-retirement") })
		require.Empty(t, b.plane.Arrivals("/termination-imminent"), "AWS has not begun to end it")
	})
	t.Run("quiet", func(t *testing.T) {
		t.Parallel()
		b := newBox(t)
		b.s.IMDS.Endpoint = startMock(t, "events", "--mock-delay-sec", "3600")
		b.run()
		b.eventually(func() bool { return len(b.plane.Arrivals("/heartbeat")) > 5 })
		require.Empty(t, b.status().Notices)
		require.Zero(t, b.status().Metadata[imds.InstanceAction].Failures, "404 is the ordinary answer")
	})
}
