package temporal_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/deploy/dev/embedded/temporal"
)

const (
	queue     = "counting"
	updateAdd = "add"
)

// counter adds what its updates say until it is cancelled. Its whole state is
// in its history, so what it answers after a crash is what was kept.
func counter(ctx workflow.Context) (int, error) {
	total := 0
	err := workflow.SetUpdateHandler(ctx, updateAdd, func(_ workflow.Context, n int) (int, error) {
		total += n
		return total, nil
	})
	if err != nil {
		return 0, err
	}
	ctx.Done().Receive(ctx, nil)
	return total, nil
}

func quiet() sdklog.Logger {
	return sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, o temporal.Options) *temporal.Server {
	t.Helper()
	if o.File == "" {
		o.File = filepath.Join(t.TempDir(), "temporal.db")
	}
	server, err := temporal.Start(deadline(t), o)
	require.NoError(t, err)
	return server
}

func stop(t *testing.T, s *temporal.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	require.NoError(t, s.Stop(ctx))
}

func dial(t *testing.T, hostPort string) client.Client {
	t.Helper()
	c, err := client.DialContext(deadline(t), client.Options{HostPort: hostPort, Logger: quiet()})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func work(t *testing.T, c client.Client) worker.Worker {
	t.Helper()
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(counter)
	require.NoError(t, w.Start())
	return w
}

func add(ctx context.Context, c client.Client, id string, n int) (int, error) {
	handle, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: updateAdd, Args: []any{n}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return 0, err
	}
	var total int
	return total, handle.Get(ctx, &total)
}
