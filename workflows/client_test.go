package workflows_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/temporalx"
	"spotkeeper/workflows"
	"spotkeeper/workflows/steps"
)

// server answers for Temporal. Its errors are given out one by one.
type server struct {
	client.Client
	mu      sync.Mutex
	errs    []error
	away    bool
	silent  bool // it takes updates and does not answer
	answer  any
	updates []client.UpdateWorkflowOptions
	started []client.StartWorkflowOptions
	signals []signal
	status  enums.WorkflowExecutionStatus
}

type signal struct {
	id, name string
	arg      any
	start    any
}

func (s *server) next() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return serviceerror.NewUnavailable("connection refused")
	}
	if len(s.errs) == 0 {
		return nil
	}
	err := s.errs[0]
	s.errs = s.errs[1:]
	return err
}

func (s *server) ExecuteWorkflow(
	context.Context,
	client.StartWorkflowOptions,
	any,
	...any,
) (client.WorkflowRun, error) {
	return nil, s.next()
}

// WorkflowService answers the one call that the client makes of it.
func (s *server) WorkflowService() workflowservice.WorkflowServiceClient { return pinged{server: s} }

type pinged struct {
	workflowservice.WorkflowServiceClient
	server *server
}

func (p pinged) DescribeNamespace(context.Context, *workflowservice.DescribeNamespaceRequest, ...grpc.CallOption) (
	*workflowservice.DescribeNamespaceResponse, error,
) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	if p.server.away {
		return nil, serviceerror.NewUnavailable("connection refused")
	}
	return &workflowservice.DescribeNamespaceResponse{}, nil
}

func (s *server) NewWithStartWorkflowOperation(
	o client.StartWorkflowOptions,
	_ any,
	_ ...any,
) client.WithStartWorkflowOperation {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = append(s.started, o)
	return nil
}

func (s *server) UpdateWithStartWorkflow(
	ctx context.Context,
	o client.UpdateWithStartWorkflowOptions,
) (client.WorkflowUpdateHandle, error) {
	return s.take(ctx, o.UpdateOptions)
}

func (s *server) UpdateWorkflow(
	ctx context.Context,
	o client.UpdateWorkflowOptions,
) (client.WorkflowUpdateHandle, error) {
	return s.take(ctx, o)
}

func (s *server) take(ctx context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	s.mu.Lock()
	s.updates = append(s.updates, o)
	silent, away := s.silent, s.away
	s.mu.Unlock()
	if silent || away { // like the SDK, which tries an absent server until the deadline
		<-ctx.Done()
		return nil, serviceerror.NewDeadlineExceeded("context deadline exceeded")
	}
	return registerUpdate{s}, s.next()
}

func (s *server) SignalWorkflow(_ context.Context, id, _, name string, arg any) error {
	s.mu.Lock()
	s.signals = append(s.signals, signal{id: id, name: name, arg: arg})
	s.mu.Unlock()
	return s.next()
}

func (s *server) SignalWithStartWorkflow(
	_ context.Context,
	id, name string,
	arg any,
	o client.StartWorkflowOptions,
	_ any,
	in ...any,
) (client.WorkflowRun, error) {
	s.mu.Lock()
	s.signals, s.started = append(s.signals, signal{id: id, name: name, arg: arg, start: in[0]}), append(s.started, o)
	s.mu.Unlock()
	return nil, s.next()
}

func (s *server) DescribeWorkflowExecution(
	context.Context,
	string,
	string,
) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	return &workflowservice.DescribeWorkflowExecutionResponse{
		WorkflowExecutionInfo: &workflow.WorkflowExecutionInfo{Status: s.status},
	}, nil
}

type registerUpdate struct{ *server }

func (registerUpdate) WorkflowID() string { return "" }
func (registerUpdate) RunID() string      { return "" }
func (registerUpdate) UpdateID() string   { return "" }
func (h registerUpdate) Get(_ context.Context, into any) error {
	if err := h.next(); err != nil || into == nil {
		return err
	}
	raw, err := json.Marshal(h.answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

func TestAnUpdateIsSentAgainUnderTheSameID(t *testing.T) {
	t.Parallel()

	passing := []error{
		&serviceerror.WorkflowNotReady{Message: "a task failed"}, nil,
		serviceerror.NewNotFound("aborted by closing workflow"),
		serviceerror.NewUnavailable("busy"),
		client.NewWorkflowUpdateServiceTimeoutOrCanceledError(serviceerror.NewDeadlineExceeded("a minute")), nil,
		temporal.NewApplicationError("", "AcceptedUpdateCompletedWorkflow"),
	}
	s := &server{errs: passing, answer: workflows.NoticeAnswer{Status: workflows.NoticePromoted}}
	retries := 0
	c := &workflows.Client{Temporal: s, Queue: "control", OnRetry: func(error) { retries++ }}
	got, err := c.TerminationNotice(t.Context(), "a1", workflows.NoticeInput{InstanceID: "i-old"})
	require.NoError(t, err)
	require.Equal(t, workflows.NoticePromoted, got.Status)
	require.Equal(t, 5, retries)
	require.Len(t, s.updates, 6)
	for _, u := range s.updates {
		require.Regexp(t, "^notice/a1/i-old/termination-notice#[0-9a-f]{16}$", u.UpdateID)
	}
	require.Equal(t, enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, s.started[0].WorkflowIDConflictPolicy)
	require.Equal(t, "guardian/a1", s.started[0].ID)
	require.Equal(t, "control", s.started[0].TaskQueue)
}

func TestARefusalComesBackAsTheFaultItWas(t *testing.T) {
	t.Parallel()

	refused := switching.Busy.New("the agent is being switched").With("operation_id", "switch/x")
	s := &server{errs: []error{nil, temporalx.Translate(refused)}}
	c := &workflows.Client{Temporal: s}
	_, err := c.RequestSwitch(t.Context(), "a1", workflows.RequestSwitchInput{CommandID: "cmd"})
	require.Equal(t, switching.Busy, fault.CodeOf(err))
	var f *fault.Error
	require.ErrorAs(t, err, &f)
	require.Equal(t, "switch/x", f.Details["operation_id"])
	require.Len(t, s.updates, 1, "a refusal is final")
	require.Regexp(t, "^switch/cmd#", s.updates[0].UpdateID)
}

func TestAnAbsentTemporalIsHeardOfSoon(t *testing.T) {
	t.Parallel()

	c := &workflows.Client{Temporal: &server{away: true}}
	began := time.Now()
	_, err := c.TerminationNotice(t.Context(), "a1", workflows.NoticeInput{InstanceID: "i-old", Wait: 20 * time.Second})
	require.Equal(t, workflows.Unreachable, fault.CodeOf(err))
	require.Equal(t, workflows.Unreachable, fault.CodeOf(c.Wake(t.Context(), "a1", "why")))
	require.Equal(t, workflows.Unreachable, fault.CodeOf(c.Ping(t.Context())))
	require.Less(t, time.Since(began), 2*time.Second)
}

func TestASlowNoticeIsInProgressBeforeTheCallersDeadline(t *testing.T) {
	t.Parallel()

	s := &server{silent: true}
	c := &workflows.Client{Temporal: s}
	ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
	defer cancel()
	got, err := c.TerminationNotice(ctx, "a1", workflows.NoticeInput{InstanceID: "i-old", Wait: 20 * time.Second})
	require.NoError(t, err)
	require.NoError(t, ctx.Err(), "the caller has time left to answer")
	require.Equal(t, workflows.NoticeInProgress, got.Status)
	require.Equal(t, "termination/a1/i-old", got.OperationID)

	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.Promote(ctx, "a1", workflows.PromoteInput{ReplicaID: "r1"})
	require.Equal(t, workflows.NoAnswer, fault.CodeOf(err))
}

func TestMessagesToWhatHasEnded(t *testing.T) {
	t.Parallel()

	gone := serviceerror.NewNotFound("workflow execution already completed")
	s := &server{errs: []error{gone, gone}}
	c := &workflows.Client{Temporal: s}
	ctx := t.Context()
	require.NoError(t, c.Nudge(ctx, activities.Nudge{OperationID: "switch/x"}))
	require.Equal(t, replica.NotFound, fault.CodeOf(c.ReplicaReport(ctx, workflows.ReplicaReport{ReplicaID: "r1"})))
	require.Len(t, s.signals, 2)
}

func TestANudgeThatMustArriveStartsItsWorkflow(t *testing.T) {
	t.Parallel()

	s := &server{}
	c := &workflows.Client{Temporal: s, Queue: "control", NameOf: func(context.Context, string) string { return "web" }}
	ctx := t.Context()
	require.NoError(t, c.Nudge(ctx, activities.Nudge{OperationID: "replica/r1", AgentID: "a1", Start: true}))
	require.NoError(t, c.Nudge(ctx, activities.Nudge{OperationID: "termination/a1/i-old", AgentID: "a1", Start: true}))
	require.NoError(t, c.Wake(ctx, "a1", "look"))
	require.Equal(t, "replica/r1", s.signals[0].id)
	require.Equal(t, workflows.ReplicaInput{AgentID: "a1", ReplicaID: "r1"}, s.signals[0].start)
	require.Equal(t, workflows.TerminationInput{AgentID: "a1", InstanceID: "i-old"}, s.signals[1].start)
	require.Equal(t, "guardian/a1", s.signals[2].id)
	for _, o := range s.started {
		require.Equal(t, "control", o.TaskQueue)
		require.Contains(t, o.StaticSummary, " of web (a1)")
		name, named := o.TypedSearchAttributes.GetKeyword(workflows.NameAttribute)
		require.True(t, named)
		require.Equal(t, "web", name)
	}
	require.Equal(t, workflows.NoOperation,
		fault.CodeOf(c.Nudge(ctx, activities.Nudge{OperationID: "elsewhere", Start: true})))
}

func TestWhatCannotBeCalledOff(t *testing.T) {
	t.Parallel()

	ctx := t.Context()
	gone := serviceerror.NewNotFound("workflow execution already completed")
	ended := &workflows.Client{Temporal: &server{
		errs:   []error{gone},
		status: enums.WORKFLOW_EXECUTION_STATUS_COMPLETED,
	}}
	require.Equal(t, steps.Ended, fault.CodeOf(ended.CancelOperation(ctx, "switch/x", "ada")))
	late := &workflows.Client{Temporal: &server{errs: []error{nil,
		temporalx.Translate(workflows.Committed.New("too late"))}}}
	require.Equal(t, workflows.Committed, fault.CodeOf(late.CancelOperation(ctx, "switch/x", "ada")))
	c := &workflows.Client{Temporal: &server{}}
	require.Equal(t, workflows.Committed, fault.CodeOf(c.CancelOperation(ctx, "termination/a1/i", "ada")))
	require.Equal(t, workflows.NoOperation, fault.CodeOf(c.CancelOperation(ctx, "guardian/a1", "ada")))
	require.NoError(t, c.CancelOperation(ctx, "replica/r1", "ada"))
	_, err := c.OperationState(ctx, "elsewhere")
	require.Equal(t, workflows.NoOperation, fault.CodeOf(err))
}

// TestAnUpdateIsNamedByWhatItSays holds that two messages which say different things
// never share an id: after a crash of the server one would stand in the history
// for the other. The same message again is the same update.
func TestAnUpdateIsNamedByWhatItSays(t *testing.T) {
	t.Parallel()

	s := &server{answer: workflows.NoticeAnswer{Status: workflows.NoticePromoted}}
	c := &workflows.Client{Temporal: s}
	for _, in := range []workflows.NoticeInput{
		{InstanceID: "i-old", Wait: 20 * time.Second}, {InstanceID: "i-old"},
		{InstanceID: "i-old", Wait: 20 * time.Second}, {InstanceID: "i-old", ReplicaID: "r1"},
	} {
		_, err := c.TerminationNotice(t.Context(), "a1", in)
		require.NoError(t, err)
	}
	first, swept, again, wish := s.updates[0].UpdateID, s.updates[1].UpdateID, s.updates[2].UpdateID, s.updates[3].UpdateID
	require.Equal(t, first, again)
	require.NotEqual(t, first, swept)
	require.NotEqual(t, swept, wish)
}

// TestStartOperationSendsNewsToARunningWorkflow, and none to one that it starts.
func TestStartOperationSendsNewsToARunningWorkflow(t *testing.T) {
	t.Parallel()

	s := &server{errs: []error{serviceerror.NewWorkflowExecutionAlreadyStarted("it runs", "", "")}}
	c := &workflows.Client{Temporal: s}
	started, err := c.StartOperation(t.Context(), activities.OpenRow{ID: "replica/r1", AgentID: "a1"})
	require.NoError(t, err)
	require.False(t, started)
	require.Len(t, s.signals, 1)
	require.Equal(t, "replica/r1 "+workflows.SignalNews, s.signals[0].id+" "+s.signals[0].name)

	s = &server{}
	c = &workflows.Client{Temporal: s}
	started, err = c.StartOperation(t.Context(), activities.OpenRow{ID: "replica/r1", AgentID: "a1"})
	require.NoError(t, err)
	require.True(t, started)
	require.Empty(t, s.signals)
}
