package temporalx_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/command/v1"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc/codes"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/temporalx"
	"spotkeeper/internal/testkit/frontend"
)

var (
	clientID = temporal.NewSearchAttributeKeyKeyword("ClientID")
	agentID  = temporal.NewSearchAttributeKeyKeyword("AgentID")
	theirs   = temporal.NewSearchAttributeKeyKeyword("CustomKeyword") // not one of ours
)

func connect(t *testing.T, c *frontend.Cloud) (client.Client, *temporalx.Attributes) {
	t.Helper()
	a := &temporalx.Attributes{Names: []string{"ClientID", "AgentID"}}
	tc, err := temporalx.Connect(temporalx.Options{
		Address:    frontend.Serve(t, c),
		Namespace:  "ours.acct",
		Attributes: a,
	})
	require.NoError(t, err)
	t.Cleanup(tc.Close)
	return tc, a
}

func start(ctx context.Context, c client.Client) error {
	o := client.StartWorkflowOptions{ID: "w", TaskQueue: "q",
		TypedSearchAttributes: temporal.NewSearchAttributes(clientID.ValueSet("k1"), agentID.ValueSet("a1"),
			theirs.ValueSet("x"))}
	_, err := c.SignalWithStartWorkflow(ctx, o.ID, "wake", nil, o, "Guardian")
	return err
}

// TestAStartGoesOutWithoutWhatTheNamespaceLacks: whether the first start finds it
// out or Check before it. What is there is sent.
func TestAStartGoesOutWithoutWhatTheNamespaceLacks(t *testing.T) {
	t.Parallel()

	for _, asked := range []bool{false, true} {
		c := &frontend.Cloud{Lacks: []string{"ClientID"}}
		tc, attributes := connect(t, c)
		if asked {
			require.Error(t, attributes.Check(t.Context()))
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { require.NoError(t, start(t.Context(), tc)) })
		}
		all.Wait()
		want := make([][]string, 20)
		for i := range want {
			want[i] = []string{"AgentID", "CustomKeyword"}
		}
		require.Equal(t, want, c.Started())
		if asked {
			require.Equal(t, 20, c.Calls("SignalWithStartWorkflowExecution"), "none was refused first")
		}
	}
}

// TestANamespaceThatLacksNothing is asked for nothing.
func TestANamespaceThatLacksNothing(t *testing.T) {
	t.Parallel()

	c := &frontend.Cloud{}
	tc, attributes := connect(t, c)
	require.NoError(t, start(t.Context(), tc))
	require.Equal(t, [][]string{{"AgentID", "ClientID", "CustomKeyword"}}, c.Started())
	require.Zero(t, c.Calls("CountWorkflowExecutions"))
	require.NoError(t, attributes.Check(t.Context()))
}

// TestWhatIsMissingIsSaidInASentence, and once for many who ask.
func TestWhatIsMissingIsSaidInASentence(t *testing.T) {
	t.Parallel()

	c := &frontend.Cloud{Lacks: []string{"ClientID", "AgentID"}}
	_, attributes := connect(t, c)
	for range 3 {
		err := attributes.Check(t.Context())
		require.True(t, fault.Is(err, temporalx.NoAttributes))
		require.ErrorContains(t, err,
			"The namespace ours.acct lacks the search attributes ClientID, AgentID, of the type Keyword.")
	}
	require.Equal(t, 3, c.Calls("CountWorkflowExecutions"), "one for all, and one for each of two")
}

// TestANamespaceThatCannotBeAsked takes starts all the same, and what else is wrong
// with a start is still said.
func TestANamespaceThatCannotBeAsked(t *testing.T) {
	t.Parallel()

	c := &frontend.Cloud{Lacks: []string{"AgentID"}, Count: codes.PermissionDenied}
	tc, attributes := connect(t, c)
	require.NoError(t, attributes.Check(t.Context()))
	require.NoError(t, start(t.Context(), tc))
	require.Equal(t, [][]string{{"CustomKeyword"}}, c.Started())

	c = &frontend.Cloud{Lacks: []string{"CustomKeyword"}}
	tc, _ = connect(t, c)
	require.ErrorContains(t, start(t.Context(), tc), "CustomKeyword")
}

// TestEveryRequestThatStartsSomething is covered: the SDK's own requests would
// otherwise be refused one by one.
func TestEveryRequestThatStartsSomething(t *testing.T) {
	t.Parallel()

	c := &frontend.Cloud{Lacks: []string{"AgentID"}}
	tc, attributes := connect(t, c)
	require.Error(t, attributes.Check(t.Context()))
	_, err := tc.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "q",
		TypedSearchAttributes: temporal.NewSearchAttributes(agentID.ValueSet("a1"))}, "Guardian")
	require.NoError(t, err)
	_, err = tc.ScheduleClient().Create(t.Context(), client.ScheduleOptions{ID: "s",
		TypedSearchAttributes: temporal.NewSearchAttributes(agentID.ValueSet("a1")),
		Action: &client.ScheduleWorkflowAction{ID: "s", Workflow: "W", TaskQueue: "q",
			TypedSearchAttributes: temporal.NewSearchAttributes(agentID.ValueSet("a1"))}})
	require.NoError(t, err)

	sets := func() *common.SearchAttributes {
		return &common.SearchAttributes{IndexedFields: map[string]*common.Payload{"AgentID": {}, "Other": {}}}
	}
	child := &command.Command{CommandType: enums.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION,
		Attributes: &command.Command_StartChildWorkflowExecutionCommandAttributes{
			StartChildWorkflowExecutionCommandAttributes: &command.StartChildWorkflowExecutionCommandAttributes{
				SearchAttributes: sets(),
			}}}
	again := &command.Command{CommandType: enums.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
		Attributes: &command.Command_ContinueAsNewWorkflowExecutionCommandAttributes{
			ContinueAsNewWorkflowExecutionCommandAttributes: &command.ContinueAsNewWorkflowExecutionCommandAttributes{
				SearchAttributes: sets(),
			}}}
	task := &workflowservice.RespondWorkflowTaskCompletedRequest{Commands: []*command.Command{child, again}}
	_, err = tc.WorkflowService().RespondWorkflowTaskCompleted(t.Context(), task)
	require.NoError(t, err)
	multi := &workflowservice.ExecuteMultiOperationRequest{Namespace: "ours.acct",
		Operations: []*workflowservice.ExecuteMultiOperationRequest_Operation{{
			Operation: &workflowservice.ExecuteMultiOperationRequest_Operation_StartWorkflow{
				StartWorkflow: &workflowservice.StartWorkflowExecutionRequest{SearchAttributes: sets()}}}}}
	_, err = tc.WorkflowService().ExecuteMultiOperation(t.Context(), multi)
	require.NoError(t, err)
	for _, names := range c.Started() {
		require.NotContains(t, names, "AgentID")
	}
	require.Len(t, c.Started(), 6)
	require.Contains(t, child.GetStartChildWorkflowExecutionCommandAttributes().GetSearchAttributes().
		GetIndexedFields(),
		"AgentID", "the sender's own is as it was")
}

// TestATaskThatIsRefusedIsNotSentTwice: the server has failed it, and what was
// learned serves the next one.
func TestATaskThatIsRefusedIsNotSentTwice(t *testing.T) {
	t.Parallel()

	c := &frontend.Cloud{Lacks: []string{"AgentID"}}
	tc, _ := connect(t, c)
	task := &workflowservice.RespondWorkflowTaskCompletedRequest{Commands: []*command.Command{{
		Attributes: &command.Command_StartChildWorkflowExecutionCommandAttributes{
			StartChildWorkflowExecutionCommandAttributes: &command.StartChildWorkflowExecutionCommandAttributes{
				SearchAttributes: &common.SearchAttributes{
					IndexedFields: map[string]*common.Payload{"AgentID": {}},
				}}}}}}
	_, err := tc.WorkflowService().RespondWorkflowTaskCompleted(t.Context(), task)
	require.Error(t, err)
	require.Equal(t, 1, c.Calls("RespondWorkflowTaskCompleted"))
	_, err = tc.WorkflowService().RespondWorkflowTaskCompleted(t.Context(), task)
	require.NoError(t, err)
}
