package temporal_test

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdktemporal "go.temporal.io/sdk/temporal"

	"spotkeeper/deploy/dev/embedded/loopback"
	"spotkeeper/deploy/dev/embedded/temporal"
)

func TestAWorkflowRunsAndIsFoundByItsAttributes(t *testing.T) {
	t.Parallel()
	server := start(t, temporal.Options{NoUI: true})
	defer stop(t, server)
	c := dial(t, server.HostPort)
	w := work(t, c)
	defer w.Stop()
	ctx := deadline(t)

	_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: t.Name(), TaskQueue: queue,
		TypedSearchAttributes: sdktemporal.NewSearchAttributes(
			sdktemporal.NewSearchAttributeKeyKeyword("ClientID").ValueSet("c-1"),
			sdktemporal.NewSearchAttributeKeyKeyword("AgentID").ValueSet("a-1"),
			sdktemporal.NewSearchAttributeKeyKeyword("Reason").ValueSet("test"),
		),
	}, counter)
	require.NoError(t, err)
	total, err := add(ctx, c, t.Name(), 2)
	require.NoError(t, err)
	require.Equal(t, 2, total)

	require.Eventually(t, func() bool {
		found, err := c.ListWorkflow(ctx,
			&workflowservice.ListWorkflowExecutionsRequest{Query: `AgentID = "a-1" AND Reason = "test"`})
		return err == nil && len(found.GetExecutions()) == 1
	}, 10*time.Second, 50*time.Millisecond)
}

func TestTheNamespaceKeepsClosedRunsForAWeek(t *testing.T) {
	t.Parallel()
	server := start(t, temporal.Options{NoUI: true})
	defer stop(t, server)

	described, err := dial(t, server.HostPort).WorkflowService().DescribeNamespace(deadline(t),
		&workflowservice.DescribeNamespaceRequest{Namespace: server.Namespace})

	require.NoError(t, err)
	require.Equal(t, 7*24*time.Hour, described.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration())
}

func TestTheWebUIServesItsPagesAndTheServersData(t *testing.T) {
	t.Parallel()
	server := start(t, temporal.Options{})
	defer stop(t, server)

	client := &http.Client{Timeout: 10 * time.Second}
	for _, path := range []string{"/", "/namespaces/default/workflows", "/api/v1/namespaces/default/workflows"} {
		request, err := http.NewRequestWithContext(deadline(t), http.MethodGet, server.UIURL+path, http.NoBody)
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusOK, response.StatusCode, "%s: %s", path, body)
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a directory with spaces", "temporal.db")
	require.Error(t, startError(t, temporal.Options{File: file, NoUI: true}), "the directory is the caller's to make")
	file = filepath.Join(t.TempDir(), "temporal 100%.db")

	first := start(t, temporal.Options{File: file, NoUI: true})
	_, err := dial(t, first.HostPort).ExecuteWorkflow(deadline(t),
		client.StartWorkflowOptions{ID: t.Name(), TaskQueue: queue}, counter)
	require.NoError(t, err)
	stop(t, first)

	second := start(t, temporal.Options{File: file, NoUI: true})
	defer stop(t, second)
	c := dial(t, second.HostPort)
	w := work(t, c)
	defer w.Stop()
	total, err := add(deadline(t), c, t.Name(), 3)
	require.NoError(t, err)
	require.Equal(t, 3, total)
}

func TestATakenPortIsOneSentenceNamingTheFlag(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", loopback.Addr(0))
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port

	err = startError(t, temporal.Options{File: filepath.Join(t.TempDir(), "temporal.db"), Port: port})
	require.ErrorContains(t, err, "--temporal-port")
	err = startError(t, temporal.Options{File: filepath.Join(t.TempDir(), "temporal.db"), UIPort: port})
	var takenError *loopback.TakenError
	require.ErrorAs(t, err, &takenError)
	require.Equal(t, &loopback.TakenError{Port: port, Flag: "ui-port"}, takenError)
}

func startError(t *testing.T, o temporal.Options) error {
	t.Helper()
	server, err := temporal.Start(deadline(t), o)
	require.Nil(t, server)
	return err
}
