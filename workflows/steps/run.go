package steps

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/internal/domain/fault"
)

// RunActivity runs an activity under a policy, with a line that operators read in the
// event list of the Temporal UI.
func RunActivity(
	ctx workflow.Context,
	policy workflow.ActivityOptions,
	summary string,
	activity any,
	args ...any,
) workflow.Future {
	policy.Summary = summary
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, policy), activity, args...)
}

// AwaitWithin waits until the condition holds, so long at most, and says whether it
// does. The summary is what operators read at its timer in the Temporal UI. It takes its
// timer back, because a timer that fires for nothing costs a workflow task.
func AwaitWithin(ctx workflow.Context, limit time.Duration, summary string, met func() bool) (bool, error) {
	ctx, stop := workflow.WithCancel(ctx)
	defer stop()
	return AwaitKeepingTimer(ctx, limit, summary, met)
}

// AwaitKeepingTimer is AwaitWithin that leaves its timer to fire. New code uses AwaitWithin:
// taking the timer back is a command, which the recorded histories of its callers lack.
func AwaitKeepingTimer(ctx workflow.Context, limit time.Duration, summary string, met func() bool) (bool, error) {
	timer := workflow.TimerOptions{Summary: summary}
	return workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{Timeout: limit, TimerOptions: timer}, met)
}

// Sleep waits. The summary is what operators read at its timer in the Temporal UI.
func Sleep(ctx workflow.Context, d time.Duration, summary string) error {
	return workflow.NewTimerWithOptions(ctx, d, workflow.TimerOptions{Summary: summary}).Get(ctx, nil)
}

// TrySendMessage sends a message that carries no fact, inside the workflow task. A message
// that is lost is only logged: the sweep of open rows repeats its effect.
func TrySendMessage(ctx workflow.Context, summary string, activity, in any) {
	if err := RunLocalWith(ctx, MessagePolicy, summary, activity, in).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Warn("a message got lost", "message", summary, "error", err)
	}
}

// SendMessage sends a message to another workflow, inside the workflow task. It tries for
// eight seconds at most.
func SendMessage(ctx workflow.Context, summary string, activity, in any) error {
	return RunLocalWith(ctx, MessagePolicy, summary, activity, in).Get(ctx, nil)
}

// RunUntilSaved is RunLocal for an operation that would end half done without it. It
// sits out an outage of Postgres that is longer than a workflow task can wait.
func RunUntilSaved(ctx workflow.Context, summary string, activity, out any, args ...any) error {
	return RetryWhileUnavailable(ctx, LocalPolicy, summary, activity, out, args...)
}

// RetryWhileUnavailable tries a short step inside the workflow task first. While Postgres stays
// away, an activity continues for as long as it takes; a refusal is final at once.
func RetryWhileUnavailable(
	ctx workflow.Context,
	policy workflow.LocalActivityOptions,
	summary string,
	activity, out any,
	args ...any,
) error {
	err := RunLocalWith(ctx, policy, summary, activity, args...).Get(ctx, out)
	if err == nil || IsCancellation(err) || !fault.KindOf(err).Retryable() {
		return err
	}
	return RunActivity(ctx, OutagePolicy, summary, activity, args...).Get(ctx, out)
}

// RunLocal runs a short step in Postgres inside the workflow task.
func RunLocal(ctx workflow.Context, summary string, activity any, args ...any) workflow.Future {
	return RunLocalWith(ctx, LocalPolicy, summary, activity, args...)
}

// RunLocalWith runs a short step inside the workflow task under a policy.
func RunLocalWith(
	ctx workflow.Context,
	policy workflow.LocalActivityOptions,
	summary string,
	activity any,
	args ...any,
) workflow.Future {
	policy.Summary = summary
	return workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, policy), activity, args...)
}

// IsCancellation says whether an error is that the workflow, or its operation, was called off.
func IsCancellation(err error) bool {
	_, cancelled := errors.AsType[*temporal.CanceledError](err)
	return cancelled || errors.Is(err, workflow.ErrCanceled) || fault.Is(err, Cancelled)
}

// Sentence is what a user reads of an error: the outermost fault's own words, without
// the causes below it and without how Temporal carried it. Operators find those in the
// history.
func Sentence(err error) string {
	for e := err; e != nil; e = errors.Unwrap(e) {
		switch e := e.(type) { //nolint:errorlint // the chain is walked by hand: the first of two types counts
		case *temporal.ApplicationError:
			return e.Message()
		case *fault.Error:
			return e.Message
		case *temporal.TimeoutError:
			if e.Unwrap() == nil {
				return "no answer came in time"
			}
		case *temporal.CanceledError:
			return "it was called off"
		}
	}
	return err.Error()
}

// OnSignal calls took at each arrival of a signal that carries no fact, for as long as
// the workflow runs.
func OnSignal(ctx workflow.Context, name string, took func()) {
	arrivals := workflow.GetSignalChannel(ctx, name)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for arrivals.Receive(ctx, nil) {
			took()
		}
	})
}

// ShownLines is how many lines the details have at most.
const ShownLines = 20
