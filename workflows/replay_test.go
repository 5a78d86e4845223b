package workflows_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"

	"spotkeeper/internal/testkit/histories"
	"spotkeeper/workflows"
)

// kinds are all workflows that a worker registers, so that one without a history
// fails here.
func kinds() []string { return histories.Registered(workflows.Register) }

// TestReplay replays what a real server recorded, and requires some of each workflow.
func TestReplay(t *testing.T) {
	t.Parallel()

	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()

			recorded, err := histories.Load(filepath.Join("testdata", "histories", kind))
			require.NoError(t, err)
			require.NotEmpty(t, recorded, "record a history of %s: make histories", kind)
			for file, h := range recorded {
				r := worker.NewWorkflowReplayer()
				workflows.Register(r)
				require.NoError(t, r.ReplayWorkflowHistory(nil, h), file)
			}
		})
	}
}

// TestReplayFromEachTask replays each history up to each of its workflow tasks: a
// worker that dies after any activity leaves such a prefix to the next one.
func TestReplayFromEachTask(t *testing.T) {
	t.Parallel()

	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()

			recorded, err := histories.Load(filepath.Join("testdata", "histories", kind))
			require.NoError(t, err)
			require.NotEmpty(t, recorded, "no history of %s", kind)
			for file, h := range recorded {
				for _, prefix := range histories.Prefixes(h) {
					r := worker.NewWorkflowReplayer()
					workflows.Register(r)
					require.NoError(t, r.ReplayWorkflowHistory(nil, prefix), "%s, the first %d events", file,
						len(prefix.GetEvents()))
				}
			}
		})
	}
}
