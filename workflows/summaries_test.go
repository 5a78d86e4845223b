package workflows_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/internal/testkit/histories"
	"spotkeeper/workflows"
)

// TestEveryTimerAndStepSaysWhatItIsFor replays all recorded histories, and finds the timers
// and activities that show nothing but the SDK's own word in the Temporal UI.
func TestEveryTimerAndStepSaysWhatItIsFor(t *testing.T) {
	t.Parallel()

	seen := &summaries{timers: map[string]int{}}
	for _, kind := range kinds() {
		recorded, err := histories.Load(filepath.Join("testdata", "histories", kind))
		require.NoError(t, err)
		for file, h := range recorded {
			r, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{
				Interceptors: []interceptor.WorkerInterceptor{seen}})
			require.NoError(t, err)
			workflows.Register(r)
			require.NoError(t, r.ReplayWorkflowHistory(nil, h), file)
		}
	}
	require.Empty(t, seen.missing)
	require.NotEmpty(t, seen.timers)
	require.Positive(t, seen.steps)
}

// summaries is an interceptor that collects the summaries of timers and activities. The
// SDK may run the goroutines of several workflows, so a lock guards the fields.
type summaries struct {
	interceptor.WorkerInterceptorBase

	mu      sync.Mutex
	timers  map[string]int // by summary
	steps   int            // activities with a summary
	missing []string
}

func (s *summaries) InterceptWorkflow(
	_ workflow.Context, next interceptor.WorkflowInboundInterceptor,
) interceptor.WorkflowInboundInterceptor {
	in := &inbound{seen: s}
	in.Next = next
	return in
}

func (s *summaries) timer(ctx workflow.Context, summary string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains([]string{"", "Sleep", "AwaitWithTimeout", "AwaitWithOptions"}, summary) {
		s.missing = append(s.missing, fmt.Sprintf("a timer of %s says %q", workflow.GetInfo(ctx).WorkflowType.Name, summary))
		return
	}
	s.timers[summary]++
}

func (s *summaries) step(activity, summary string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if summary == "" {
		s.missing = append(s.missing, "activity "+activity+" says nothing")
		return
	}
	s.steps++
}

type inbound struct {
	interceptor.WorkflowInboundInterceptorBase

	seen *summaries
}

func (i *inbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	out := &outbound{seen: i.seen}
	out.Next = next
	return i.Next.Init(out)
}

type outbound struct {
	interceptor.WorkflowOutboundInterceptorBase

	seen *summaries
}

func (o *outbound) NewTimerWithOptions(ctx workflow.Context, d time.Duration, options workflow.TimerOptions) workflow.Future {
	o.seen.timer(ctx, options.Summary)
	return o.Next.NewTimerWithOptions(ctx, d, options)
}

func (o *outbound) NewTimer(ctx workflow.Context, d time.Duration) workflow.Future {
	o.seen.timer(ctx, "")
	return o.Next.NewTimer(ctx, d)
}

func (o *outbound) ExecuteActivity(ctx workflow.Context, activity string, args ...any) workflow.Future {
	o.seen.step(activity, workflow.GetActivityOptions(ctx).Summary)
	return o.Next.ExecuteActivity(ctx, activity, args...)
}

func (o *outbound) ExecuteLocalActivity(ctx workflow.Context, activity string, args ...any) workflow.Future {
	o.seen.step(activity, workflow.GetLocalActivityOptions(ctx).Summary)
	return o.Next.ExecuteLocalActivity(ctx, activity, args...)
}
