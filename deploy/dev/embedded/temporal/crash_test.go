package temporal_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"spotkeeper/deploy/dev/embedded/loopback"
)

// What was acknowledged must be there after kill -9, and what was not may not
// be counted twice: each round adds until the process is dead, then asks the
// next process for the sum.
func TestAcknowledgedUpdatesSurviveKill9(t *testing.T) {
	t.Parallel()
	free, err := loopback.Free(1)
	require.NoError(t, err)
	file, port := filepath.Join(t.TempDir(), "temporal.db"), free[0]
	server := spawn(t, file, port)
	c := dial(t, loopback.Addr(port))
	w := work(t, c)
	defer w.Stop()
	ctx := deadline(t)
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: t.Name(), TaskQueue: queue}, counter)
	require.NoError(t, err)

	acknowledged := 0
	for round := range 3 {
		for range 5 + round {
			total, err := add(ctx, c, t.Name(), 1)
			require.NoError(t, err)
			acknowledged++
			require.Equal(t, acknowledged, total)
		}
		require.NoError(t, server.Process.Kill())
		_ = server.Wait() // "signal: killed" is what was asked for
		server = spawn(t, file, port)
		total, err := addRetrying(ctx, c, t.Name(), 0)
		require.NoError(t, err)
		require.Equal(t, acknowledged, total)
	}
}

// addRetrying is for the moment after a restart, when the client's connection
// still has to notice it.
func addRetrying(ctx context.Context, c client.Client, id string, n int) (int, error) {
	for {
		total, err := add(ctx, c, id, n)
		if err == nil || ctx.Err() != nil {
			return total, err
		}
	}
}

func spawn(t *testing.T, file string, port int) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	command := exec.Command(self, "serve", file, strconv.Itoa(port))
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	return command
}
