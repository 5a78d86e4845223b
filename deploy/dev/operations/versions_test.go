package operations

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/internal/temporalx"
	"spotkeeper/workflows"
)

// deployment is the name of the versioned worker deployment.
const deployment = "spotkeeper"

// TestABadVersionIsRolledBack ramps a version of workers with a deliberate bug to 10 %, and
// rolls it back: a switch that began before the ramp, one that began at the bad version
// and one that begins afterwards each end where they began.
func TestABadVersionIsRolledBack(t *testing.T) {
	t.Parallel()
	program := badWorker(t)
	k := newKeeperOf(t, devtest.Options{Environment: map[string]string{
		"TEMPORAL_DEPLOYMENT_NAME": deployment, "TEMPORAL_WORKER_BUILD_ID": "good",
	}})
	k.workflows.Versioned = true
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	defer cancel()

	before := k.begin(t, "before", uuid.NewString())
	_, err := k.BesideProgram(ctx, devtest.Worker, "bad", program, map[string]string{"TEMPORAL_WORKER_BUILD_ID": "bad"})
	require.NoError(t, err)
	d := &temporalx.Deployment{Client: k.workflows.Temporal, Namespace: k.Namespace, Name: deployment}
	require.Eventually(t, func() bool { return d.Ramp(ctx, "bad", 10) == nil }, patience, 200*time.Millisecond)

	// Which version has a new workflow is decided by its id. These have no rows, and end.
	one, tries := k.idAt(t, "bad")
	other, more := k.idAt(t, "bad")
	t.Logf("%d and %d ids were tried until one was among the 10 %%", tries, more)
	during := k.begin(t, "during", one)
	require.Equal(t, "bad", k.versionOf(t, workflows.SwitchID(one)))

	require.NoError(t, d.Rollback(ctx))
	after := k.begin(t, "after", other)
	for name, command := range map[string]string{"before": before, "during": during, "after": after} {
		k.boot(t, k.byName[name], name)
		require.Equal(t, "succeeded", k.ended(t, workflows.SwitchID(command)), name)
	}
	for command, version := range map[string]string{before: "good", during: "bad", after: "good"} {
		h := k.history(t, workflows.SwitchID(command))
		for _, e := range h.GetEvents() {
			require.NotEqual(t, enums.EVENT_TYPE_WORKFLOW_TASK_FAILED, e.GetEventType())
			if done := e.GetWorkflowTaskCompletedEventAttributes(); done != nil {
				require.Equal(t, version, done.GetDeploymentVersion().GetBuildId())
			}
		}
	}

	// The bug is one: what began before would have failed at the bad version.
	r := worker.NewWorkflowReplayer()
	r.RegisterWorkflowWithOptions(func(ctx workflow.Context, in workflows.SwitchInput) (*workflows.SwitchStatus, error) {
		_ = workflow.Sleep(ctx, time.Millisecond)
		return workflows.Switch(ctx, in)
	}, workflow.RegisterOptions{Name: "Switch"})
	require.ErrorContains(t, r.ReplayWorkflowHistory(nil, k.history(t, workflows.SwitchID(before))), "nondeterministic")

	versions, err := d.Versions(ctx)
	require.NoError(t, err)
	for _, v := range versions {
		require.Equal(t, v.BuildID == "good", v.Current)
		require.Zero(t, v.Ramp)
	}
}

// badWorker is the worker's program with a bug: its Switch waits before it does anything,
// which changes the order of its commands.
func badWorker(t *testing.T) string {
	t.Helper()
	root, err := devtest.Root()
	require.NoError(t, err)
	dir, source := t.TempDir(), filepath.Join(root, "workflows", "switch.go")
	good, err := os.ReadFile(filepath.Clean(source))
	require.NoError(t, err)
	const begin = "\ts, err := newSwitch(ctx, in)\n"
	require.Equal(t, 1, strings.Count(string(good), begin))
	bad := strings.Replace(string(good), begin, "\t_ = workflow.Sleep(ctx, 1000000)\n"+begin, 1)
	changed, overlay, program := filepath.Join(dir, "switch.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "worker")
	require.NoError(t, os.WriteFile(changed, []byte(bad), 0o600))
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{source: changed}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, replace, 0o600))
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", program, "./worker")
	build.Dir = root
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// begin has an agent join and orders a switch of it with that id, which then waits for the
// new agent's first heartbeat.
func (k *keeper) begin(t *testing.T, name, command string) string {
	t.Helper()
	id, old := k.agent(name)
	k.byName[name] = id
	k.orderAs(t, command, id, old, "t3.medium.us-east-1c", false)
	k.until(t, id, "the new instance is ready", ready)
	return command
}

// idAt is the id of a switch whose workflow begins at that version, and how many were tried.
func (k *keeper) idAt(t *testing.T, version string) (command string, tries int) {
	t.Helper()
	for tries = 1; tries <= 300; tries++ {
		command = uuid.NewString()
		_, err := k.workflows.StartOperation(t.Context(), activities.OpenRow{ID: workflows.SwitchID(command), AgentID: uuid.NewString()})
		require.NoError(t, err)
		_ = k.workflows.Temporal.GetWorkflow(t.Context(), workflows.SwitchID(command), "").Get(t.Context(), nil) // it has no rows
		if k.versionOf(t, workflows.SwitchID(command)) == version {
			return command, tries
		}
	}
	require.FailNow(t, "no id is at "+version)
	return "", tries
}

// versionOf is the version that has an operation's newest run.
func (k *keeper) versionOf(t *testing.T, operationID string) string {
	t.Helper()
	found, err := k.workflows.Temporal.DescribeWorkflowExecution(t.Context(), operationID, "")
	require.NoError(t, err)
	return found.GetWorkflowExecutionInfo().GetVersioningInfo().GetDeploymentVersion().GetBuildId()
}

// history is the history of an operation's newest run.
func (k *keeper) history(t *testing.T, operationID string) *history.History {
	t.Helper()
	h := &history.History{}
	all := k.workflows.Temporal.GetWorkflowHistory(t.Context(), operationID, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for all.HasNext() {
		event, err := all.Next()
		require.NoError(t, err)
		h.Events = append(h.Events, event)
	}
	return h
}
