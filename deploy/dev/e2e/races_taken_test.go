package e2e

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"spotkeeper/workflows"
)

// wire counts the requests that carried each update, and wakes, to the server. There are
// more than updates and wakes: the SDK sends one again that was refused, or that was taken
// while the server answered "unavailable". A later run does not know what an
// earlier one took, so such a one may be taken again; that is why every handler
// is idempotent.
type wire struct {
	mu       sync.Mutex
	requests map[string]int // by update id
	refused  map[string]int // by gRPC code
	wakes    int            // requests that carried one
}

// intercept is a grpc.UnaryClientInterceptor below the SDK's own retries.
func (w *wire) intercept(
	ctx context.Context,
	method string,
	req, reply any,
	cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker,
	opts ...grpc.CallOption,
) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	if signal, ok := req.(*workflowservice.SignalWithStartWorkflowExecutionRequest); ok &&
		signal.GetSignalName() == workflows.SignalWake {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.wakes++
		return err
	}
	order, ok := req.(*workflowservice.ExecuteMultiOperationRequest)
	if !ok {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range order.GetOperations() {
		if update := one.GetUpdateWorkflow(); update != nil {
			w.requests[update.GetRequest().GetMeta().GetUpdateId()]++
		}
	}
	if err != nil {
		w.refused[status.Code(err).String()]++
	}
	return err
}

// sent is how many requests there were, and for how many updates.
func (w *wire) sent() (requests, updates int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.requests {
		requests += n
	}
	return requests, len(w.requests)
}

// wakesSent is how many requests carried a wake.
func (w *wire) wakesSent() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wakes
}

// taken reads from the histories how often each update was taken, and checks
// that no run ended in a workflow task that carried an answer.
func (r *racer) taken(t *testing.T, runs []*common.WorkflowExecution) (byID map[string]int) {
	t.Helper()
	byID = map[string]int{}
	ctx := deadline(t, 5*time.Minute)
	for _, run := range runs {
		events := r.app.Temporal.GetWorkflowHistory(ctx, run.GetWorkflowId(), run.GetRunId(), false,
			enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		answered, ended := int64(0), int64(0) // the last answer, and the completion of the task that ended the run
		for events.HasNext() {
			e, err := events.Next()
			require.NoError(t, err)
			switch e.GetEventType() { //nolint:exhaustive // the others say nothing of answers
			case enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
				byID[e.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest().GetMeta().
					GetUpdateId()]++
				answered = e.GetEventId()
			case enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
				answered = e.GetEventId()
			case enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
				ended = e.GetWorkflowExecutionCompletedEventAttributes().GetWorkflowTaskCompletedEventId()
			case enums.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
				ended = e.GetWorkflowExecutionContinuedAsNewEventAttributes().GetWorkflowTaskCompletedEventId()
			}
		}
		require.Less(t, answered, ended, "the task that ended run %s of %s carried an answer", run.GetRunId(),
			run.GetWorkflowId())
	}
	return byID
}
