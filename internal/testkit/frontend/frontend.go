// Package frontend is a frontend of Temporal that behaves as Temporal Cloud does to
// an API key of one namespace: calls that name the namespace are answered, the
// health service and the operator service refuse every call. It runs no workflow.
package frontend

import (
	"context"
	"net"
	"regexp"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/query/v1"
	"go.temporal.io/api/schedule/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	api "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Cloud is the frontend. Its exported members are set before it serves.
type Cloud struct {
	api.UnimplementedWorkflowServiceServer

	Refuse codes.Code // what the health and the operator service answer
	// Namespace is what DescribeNamespace answers; zero: that it is there.
	Namespace codes.Code
	Count     codes.Code // what CountWorkflowExecutions answers; zero: a count
	Lacks     []string   // search attributes that the namespace does not have
	// Answer is called for each query before it is answered with it.
	Answer func(ctx context.Context) *common.Payloads

	mu    sync.Mutex
	calls map[string]int
	memos map[string]*common.Memo    // of schedules
	seen  []*common.SearchAttributes // of each start that was accepted
}

// Serve answers until the test ends, and returns the address.
func Serve(t testing.TB, c *Cloud) string {
	t.Helper()
	if c.Refuse == codes.OK {
		c.Refuse = codes.PermissionDenied
	}
	c.calls, c.memos = map[string]int{}, map[string]*common.Memo{}
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := grpc.NewServer(grpc.UnaryInterceptor(c.count),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			method, _ := grpc.MethodFromServerStream(stream)
			c.called(method)
			return status.Error(c.Refuse, "Request unauthorized.")
		}))
	api.RegisterWorkflowServiceServer(s, c)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(ln)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-ended
	})
	return ln.Addr().String()
}

// Calls says how often a method was called, by its short name.
func (c *Cloud) Calls(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[method]
}

// Started are the search attributes of each start that was accepted, by their names
// in order.
func (c *Cloud) Started() [][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out [][]string
	for _, s := range c.seen {
		names := []string{}
		for name := range s.GetIndexedFields() {
			names = append(names, name)
		}
		slices.Sort(names)
		out = append(out, names)
	}
	return out
}

func (c *Cloud) count(ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	c.called(info.FullMethod)
	return next(ctx, in)
}

func (c *Cloud) called(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[shortName.FindString(method)]++
}

var shortName = regexp.MustCompile(`[^/]+$`)

// GetSystemInfo says that the server can do all that the SDK asks for.
func (*Cloud) GetSystemInfo(context.Context, *api.GetSystemInfoRequest) (*api.GetSystemInfoResponse, error) {
	return &api.GetSystemInfoResponse{Capabilities: &api.GetSystemInfoResponse_Capabilities{}}, nil
}

// DescribeNamespace describes whichever namespace is asked for.
func (c *Cloud) DescribeNamespace(
	_ context.Context,
	in *api.DescribeNamespaceRequest,
) (*api.DescribeNamespaceResponse, error) {
	switch c.Namespace {
	case codes.OK:
	case codes.NotFound:
		return nil, serviceerror.ToStatus(serviceerror.NewNamespaceNotFound(in.GetNamespace())).Err()
	default:
		return nil, status.Error(c.Namespace, "Request unauthorized.")
	}
	return &api.DescribeNamespaceResponse{NamespaceInfo: &namespace.NamespaceInfo{Name: in.GetNamespace()}}, nil
}

// PollWorkflowTaskQueue has no task.
func (*Cloud) PollWorkflowTaskQueue(
	ctx context.Context,
	_ *api.PollWorkflowTaskQueueRequest,
) (*api.PollWorkflowTaskQueueResponse, error) {
	<-ctx.Done()
	return nil, status.FromContextError(ctx.Err()).Err()
}

// PollActivityTaskQueue has no task.
func (*Cloud) PollActivityTaskQueue(
	ctx context.Context,
	_ *api.PollActivityTaskQueueRequest,
) (*api.PollActivityTaskQueueResponse, error) {
	<-ctx.Done()
	return nil, status.FromContextError(ctx.Err()).Err()
}

// QueryWorkflow answers what Answer says.
func (c *Cloud) QueryWorkflow(ctx context.Context, _ *api.QueryWorkflowRequest) (*api.QueryWorkflowResponse, error) {
	out := c.Answer(ctx)
	if ctx.Err() != nil {
		return &api.QueryWorkflowResponse{QueryRejected: &query.QueryRejected{}}, status.FromContextError(ctx.Err()).
			Err()
	}
	return &api.QueryWorkflowResponse{QueryResult: out}, nil
}

// StartWorkflowExecution starts nothing.
func (c *Cloud) StartWorkflowExecution(_ context.Context, in *api.StartWorkflowExecutionRequest) (
	*api.StartWorkflowExecutionResponse, error,
) {
	return &api.StartWorkflowExecutionResponse{RunId: "run"}, c.take(in.GetSearchAttributes())
}

// SignalWithStartWorkflowExecution starts nothing.
func (c *Cloud) SignalWithStartWorkflowExecution(_ context.Context, in *api.SignalWithStartWorkflowExecutionRequest) (
	*api.SignalWithStartWorkflowExecutionResponse, error,
) {
	return &api.SignalWithStartWorkflowExecutionResponse{RunId: "run"}, c.take(in.GetSearchAttributes())
}

// ExecuteMultiOperation starts nothing.
func (c *Cloud) ExecuteMultiOperation(
	_ context.Context,
	in *api.ExecuteMultiOperationRequest,
) (*api.ExecuteMultiOperationResponse, error) {
	for _, o := range in.GetOperations() {
		if start := o.GetStartWorkflow(); start != nil {
			if err := c.take(start.GetSearchAttributes()); err != nil {
				return nil, err
			}
		}
	}
	return &api.ExecuteMultiOperationResponse{}, nil
}

// RespondWorkflowTaskCompleted takes the children that a task starts, and its next
// run.
func (c *Cloud) RespondWorkflowTaskCompleted(_ context.Context, in *api.RespondWorkflowTaskCompletedRequest) (
	*api.RespondWorkflowTaskCompletedResponse, error,
) {
	for _, x := range in.GetCommands() {
		for _, s := range []*common.SearchAttributes{
			x.GetStartChildWorkflowExecutionCommandAttributes().GetSearchAttributes(),
			x.GetContinueAsNewWorkflowExecutionCommandAttributes().GetSearchAttributes()} {
			if s == nil {
				continue
			}
			if err := c.take(s); err != nil {
				return nil, err
			}
		}
	}
	return &api.RespondWorkflowTaskCompletedResponse{}, nil
}

// CreateSchedule makes nothing but the memo of a schedule that has one.
func (c *Cloud) CreateSchedule(_ context.Context, in *api.CreateScheduleRequest) (*api.CreateScheduleResponse, error) {
	if in.GetMemo() != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, there := c.memos[in.GetScheduleId()]; there {
			return nil, serviceerror.ToStatus(serviceerror.NewWorkflowExecutionAlreadyStarted("exists", "", "")).Err()
		}
		c.memos[in.GetScheduleId()] = in.GetMemo()
		return &api.CreateScheduleResponse{}, nil
	}
	if err := c.take(in.GetSchedule().GetAction().GetStartWorkflow().GetSearchAttributes()); err != nil {
		return nil, err
	}
	return &api.CreateScheduleResponse{}, c.take(in.GetSearchAttributes())
}

// DescribeSchedule answers the memo of a schedule that has one.
func (c *Cloud) DescribeSchedule(_ context.Context, in *api.DescribeScheduleRequest) (*api.DescribeScheduleResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	memo, there := c.memos[in.GetScheduleId()]
	if !there {
		return nil, serviceerror.ToStatus(serviceerror.NewNotFound("no such schedule")).Err()
	}
	action := &schedule.ScheduleAction{Action: &schedule.ScheduleAction_StartWorkflow{
		StartWorkflow: &workflow.NewWorkflowExecutionInfo{}}}
	return &api.DescribeScheduleResponse{Memo: memo, Info: &schedule.ScheduleInfo{},
		Schedule: &schedule.Schedule{Action: action, Spec: &schedule.ScheduleSpec{}, Policies: &schedule.SchedulePolicies{},
			State: &schedule.ScheduleState{}}}, nil
}

// ListSchedules has none.
func (*Cloud) ListSchedules(context.Context, *api.ListSchedulesRequest) (*api.ListSchedulesResponse, error) {
	return &api.ListSchedulesResponse{}, nil
}

// CountWorkflowExecutions refuses a query by what the namespace lacks.
func (c *Cloud) CountWorkflowExecutions(_ context.Context, in *api.CountWorkflowExecutionsRequest) (
	*api.CountWorkflowExecutionsResponse, error,
) {
	if c.Count != codes.OK {
		return nil, status.Error(c.Count, "Request unauthorized.")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range c.Lacks {
		if regexp.MustCompile(`\b` + name + `\b`).MatchString(in.GetQuery()) {
			return nil, status.Error(codes.InvalidArgument, "invalid query: column name is not defined: "+name)
		}
	}
	return &api.CountWorkflowExecutionsResponse{}, nil
}

// take refuses what the namespace lacks, as the server does.
func (c *Cloud) take(s *common.SearchAttributes) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range c.Lacks {
		if _, used := s.GetIndexedFields()[name]; used {
			return status.Error(codes.InvalidArgument, "Namespace has no mapping defined for search attribute "+name)
		}
	}
	c.seen = append(c.seen, s)
	return nil
}
