package cloud

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var termination = &workflowservice.CountWorkflowExecutionsRequest{Query: `WorkflowType = "Termination"`}

// asToAnAPIKey refuses what Temporal Cloud refuses to an API key of a namespace.
func asToAnAPIKey(ctx context.Context, method string, in, out any,
	cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if strings.Contains(method, "grpc.health") || strings.Contains(method, "operatorservice") {
		return status.Error(codes.PermissionDenied, "Request unauthorized.")
	}
	return invoke(ctx, method, in, out, cc, opts...)
}

// TestALossIsSurvivedWithoutSearchAttributes: the namespace lacks them and may not
// be given any. The worker polls, a notice without a ready successor is acted on through
// workflows and their children, and /ready says what is missing.
func TestALossIsSurvivedWithoutSearchAttributes(t *testing.T) {
	t.Parallel()

	p := open(t, bare, asToAnAPIKey)
	p.run(p.RunAPI)
	p.run(p.worker.RunWorker)
	ready := func() (string, bool) {
		code, page, err := p.callAt(p.metrics, http.MethodGet, "/ready", "", nil)
		if err != nil || code != http.StatusOK {
			return "", false
		}
		said, _ := page["checks"].(map[string]any)["search_attributes"].(map[string]any)["error"].(string)
		return said, true
	}
	var said string
	require.Eventually(t, func() (ok bool) { said, ok = ready(); return ok }, patience, 50*time.Millisecond)
	require.Contains(t, said, "The namespace bare lacks the search attributes ClientID, AgentID, AgentName, Reason")

	token, agentID, old := p.registered()
	code, answer, err := p.call(http.MethodPost, "/api/agents/"+agentID+"/termination-imminent", token,
		map[string]any{"instance_id": old,
			"termination_time": time.Now().Add(2 * time.Minute).UTC().Format(time.RFC3339)})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code, "%v", answer)
	require.Eventually(t, func() bool {
		var primary string
		err := p.DB.Pool.QueryRow(t.Context(), `SELECT id FROM instances WHERE agent_id = $1 AND role = 'primary'`,
			agentID).Scan(&primary)
		return err == nil && primary != old
	}, patience, 50*time.Millisecond, "the agent lives on another instance")
	require.Eventually(t, func() bool {
		n, err := p.Temporal.CountWorkflow(t.Context(), termination)
		return err == nil && n.GetCount() == 1
	}, patience, 50*time.Millisecond, "and its page is there")
}
