package histories_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.uber.org/goleak"

	"spotkeeper/internal/testkit/histories"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server has two runs of equal shape and one of another.
type server struct{ client.Client }

func (server) ListWorkflow(
	context.Context,
	*workflowservice.ListWorkflowExecutionsRequest,
) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	run := func(id string) *workflow.WorkflowExecutionInfo {
		return &workflow.WorkflowExecutionInfo{
			Execution: &common.WorkflowExecution{WorkflowId: id, RunId: id},
			Type:      &common.WorkflowType{Name: "Guardian"},
		}
	}
	return &workflowservice.ListWorkflowExecutionsResponse{Executions: []*workflow.WorkflowExecutionInfo{run("a"),
		run("b"), run("long")}}, nil
}

func (server) GetWorkflowHistory(
	_ context.Context,
	id, _ string,
	_ bool,
	_ enums.HistoryEventFilterType,
) client.HistoryEventIterator {
	it := &events{all: tasks(1)}
	if id == "long" {
		it.all = tasks(2)
	}
	return it
}

type events struct{ all []*history.HistoryEvent }

func (e *events) HasNext() bool { return len(e.all) > 0 }
func (e *events) Next() (*history.HistoryEvent, error) {
	next := e.all[0]
	e.all = e.all[1:]
	return next, nil
}

// tasks is a history of n workflow tasks.
func tasks(n int) []*history.HistoryEvent {
	all := []*history.HistoryEvent{{EventId: 1, EventType: enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
		Attributes: &history.HistoryEvent_WorkflowExecutionStartedEventAttributes{
			WorkflowExecutionStartedEventAttributes: &history.WorkflowExecutionStartedEventAttributes{
				Identity: "7@somebodys-machine"},
		}}}
	for range n {
		all = append(all,
			&history.HistoryEvent{
				EventType: enums.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
				Attributes: &history.HistoryEvent_WorkflowTaskScheduledEventAttributes{
					WorkflowTaskScheduledEventAttributes: &history.WorkflowTaskScheduledEventAttributes{
						TaskQueue: &taskqueue.TaskQueue{
							Name: "somebodys-machine:1",
							Kind: enums.TASK_QUEUE_KIND_STICKY,
						}}},
			},
			&history.HistoryEvent{EventType: enums.EVENT_TYPE_WORKFLOW_TASK_STARTED},
			&history.HistoryEvent{EventType: enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED})
	}
	return all
}

func TestOneOfEachShapeIsKept(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	kept, err := histories.Record(t.Context(), server{}, "control", dir, 5)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"guardian": 2}, kept)
	back, err := histories.Load(filepath.Join(dir, "guardian"))
	require.NoError(t, err)
	require.Len(t, back, 2)
	for file, h := range back {
		require.NotContains(t, h.String(), "somebodys-machine", file)
	}
}

// gated has one more run, of a version that passes a gate.
type gated struct {
	server
	gate *common.Payloads
}

func (g gated) GetWorkflowHistory(
	ctx context.Context,
	id, run string,
	wait bool,
	filter enums.HistoryEventFilterType,
) client.HistoryEventIterator {
	if id != "b" {
		return g.server.GetWorkflowHistory(ctx, id, run, wait, filter)
	}
	return &events{all: append(tasks(1),
		&history.HistoryEvent{Attributes: &history.HistoryEvent_MarkerRecordedEventAttributes{
			MarkerRecordedEventAttributes: &history.MarkerRecordedEventAttributes{
				MarkerName: "Version",
				Details:    map[string]*common.Payloads{"change-id": g.gate},
			}}})}
}

// TestANewVersionIsAddedToTheOlder: runs of older versions may still be in progress.
func TestANewVersionIsAddedToTheOlder(t *testing.T) {
	t.Parallel()

	gate, err := converter.GetDefaultDataConverter().ToPayloads("guardian.swifter")
	require.NoError(t, err)
	dir := t.TempDir()
	record := func(world client.Client) map[string]int {
		there, err := histories.Record(t.Context(), world, "control", dir, 5)
		require.NoError(t, err)
		return there
	}
	for range 2 {
		require.Equal(t, map[string]int{"guardian": 2}, record(server{}))
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "guardian", "01.json.gz")),
		"its version is not on its way any more")
	for range 2 {
		require.Equal(t, map[string]int{"guardian": 2}, record(gated{gate: gate}),
			"and the newer one is not overwritten")
	}
	newest, err := histories.Read(filepath.Join(dir, "guardian", "03.json.gz"))
	require.NoError(t, err)
	require.Equal(t, []string{"guardian.swifter"}, histories.GateVersions(newest))
}

func TestPrefixesEndWithEachWorkflowTask(t *testing.T) {
	t.Parallel()

	var lengths []int
	for _, p := range histories.Prefixes(&history.History{Events: tasks(2)}) {
		lengths = append(lengths, len(p.GetEvents()))
	}
	require.Equal(t, []int{3, 6, 7}, lengths)
}

func TestNoDirectoryHasNoHistories(t *testing.T) {
	t.Parallel()

	got, err := histories.Load(filepath.Join(t.TempDir(), "absent"))
	require.NoError(t, err)
	require.Empty(t, got)
}
