package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
)

// Ways in which any workflow can end, or a message to one can fail.
var (
	Cancelled   = fault.Define("workflow.cancelled", fault.Conflict)      // a person called it off
	UndoFailed  = fault.Define("workflow.undo_failed", fault.Internal)    // a person must look
	Unreachable = fault.Define("workflow.unreachable", fault.Unavailable) // Temporal did not take the message in time
	NoOperation = fault.Define("operation.not_found", fault.NotFound)     // no such workflow, or its history is gone
	Ended       = fault.Define("operation.ended", fault.Conflict)         // it is over: nothing to cancel
	Committed   = fault.Define("operation.committed", fault.Conflict)     // past its point of no return
)

// The only activity options in the program. A step picks one by what it touches.
var (
	// localPolicy is for short steps in Postgres. It keeps each attempt well
	// inside a workflow task's ten seconds; after the last one the workflow decides.
	localPolicy = workflow.LocalActivityOptions{
		StartToCloseTimeout:    2 * time.Second,
		ScheduleToCloseTimeout: time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 50 * time.Millisecond,
			MaximumInterval: time.Second,
		},
	}
	// messagePolicy is for a message to another workflow, by way of Temporal's
	// frontend, which a storm makes slower than Postgres.
	messagePolicy = workflow.LocalActivityOptions{
		StartToCloseTimeout:    3 * time.Second,
		ScheduleToCloseTimeout: 8 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 50 * time.Millisecond,
			MaximumInterval: time.Second,
		},
	}
	// pagePolicy is for the projection that pages read. Nothing waits for it
	// long: an operation goes on without its page.
	pagePolicy = workflow.LocalActivityOptions{
		StartToCloseTimeout:    2 * time.Second,
		ScheduleToCloseTimeout: 5 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 50 * time.Millisecond,
			MaximumInterval: time.Second,
			MaximumAttempts: 4,
		},
	}
	// outagePolicy carries on what the local attempts could not finish. Operators
	// see it pending, with its last failure.
	outagePolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    5 * time.Second,
		ScheduleToCloseTimeout: 24 * time.Hour,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: 30 * time.Second},
	}
	// launchPolicy is for RunInstances. Its attempts share one client token, so a
	// short attempt costs nothing; throttling is waited out here, never fallen
	// back from.
	launchPolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    15 * time.Second,
		ScheduleToCloseTimeout: 5 * time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    500 * time.Millisecond,
			BackoffCoefficient: 2,
			MaximumInterval:    20 * time.Second,
		},
	}
	// urgentLaunchPolicy is launchPolicy in an emergency, in which no pool gets more
	// than twelve seconds: the next one may be healthy.
	urgentLaunchPolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    8 * time.Second,
		ScheduleToCloseTimeout: 12 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    500 * time.Millisecond,
			BackoffCoefficient: 2,
			MaximumInterval:    5 * time.Second,
		},
	}
	// pollPolicy waits until EC2 says that an instance is up: the retry is the poll. An
	// instance takes a minute or two, so a standby need not be asked about each second.
	pollPolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    10 * time.Second,
		ScheduleToCloseTimeout: 15 * time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    15 * time.Second,
		},
	}
	// urgentPollPolicy is pollPolicy in an emergency, in which seconds count.
	urgentPollPolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    10 * time.Second,
		ScheduleToCloseTimeout: 15 * time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    250 * time.Millisecond,
			BackoffCoefficient: 1.5,
			MaximumInterval:    5 * time.Second,
		},
	}
	// watchPolicy waits for the end of an instance that a first look has found alive.
	watchPolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    10 * time.Second,
		ScheduleToCloseTimeout: 12 * time.Hour,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    15 * time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    5 * time.Minute,
		},
	}
	// lookPolicy asks EC2 once, inside the workflow task.
	lookPolicy = workflow.LocalActivityOptions{
		StartToCloseTimeout:    3 * time.Second,
		ScheduleToCloseTimeout: 5 * time.Second,
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
	}
	// retirePolicy must succeed: an instance that is not ended costs money. It
	// tries for a day before a person has to look.
	retirePolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    15 * time.Second,
		ScheduleToCloseTimeout: 24 * time.Hour,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: 5 * time.Minute},
	}
	// adoptPolicy asks EC2 about an instance that an agent has just named, which may still
	// be starting.
	adoptPolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    30 * time.Second,
		ScheduleToCloseTimeout: 2 * time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 1.5,
			MaximumInterval:    10 * time.Second,
		},
	}
	// jobPolicy is for set-based work that heartbeats between its chunks.
	jobPolicy = workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Minute,
		HeartbeatTimeout:    time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second,
			MaximumInterval: time.Minute,
			MaximumAttempts: 5,
		},
	}
)

// runActivity runs an activity under a policy, with a line that operators read in the
// event list of the Temporal UI.
func runActivity(
	ctx workflow.Context,
	policy workflow.ActivityOptions,
	summary string,
	activity any,
	args ...any,
) workflow.Future {
	policy.Summary = summary
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, policy), activity, args...)
}

// awaitWithin waits until the condition holds, so long at most, and says whether it
// does. It takes its timer back, because a timer that fires for nothing costs a
// workflow task.
func awaitWithin(ctx workflow.Context, limit time.Duration, met func() bool) (bool, error) {
	ctx, stop := workflow.WithCancel(ctx)
	defer stop()
	return workflow.AwaitWithTimeout(ctx, limit, met)
}

// wakeGuardian asks the agent's Guardian for a review. The sweep does when that fails.
func wakeGuardian(ctx workflow.Context, agentID, why string) {
	var msgs *activities.Messages
	trySendMessage(ctx, "wake the guardian: "+why, msgs.WakeGuardian, activities.WakeInput{AgentID: agentID, Why: why})
}

// sendNews asks the workflow of an operation to read its row again.
func sendNews(ctx workflow.Context, in activities.Nudge) {
	var msgs *activities.Messages
	trySendMessage(ctx, "nudge "+in.OperationID, msgs.NudgeOperation, in)
}

// trySendMessage sends a message that carries no fact, inside the workflow task. One that
// gets lost is made up for by the sweep, so nothing waits for it long.
func trySendMessage(ctx workflow.Context, summary string, activity, in any) {
	if err := localStepWith(ctx, messagePolicy, summary, activity, in).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Warn("a message got lost", "message", summary, "error", err)
	}
}

// sendMessage sends another workflow something, inside the workflow task.
func sendMessage(ctx workflow.Context, summary string, activity, in any) error {
	return localStepWith(ctx, messagePolicy, summary, activity, in).Get(ctx, nil)
}

// runUntilSaved is localStep for an operation that would end half done without it. It
// sits out an outage of Postgres that is longer than a workflow task can wait.
func runUntilSaved(ctx workflow.Context, summary string, activity, out any, args ...any) error {
	return retryWhileUnavailable(ctx, localPolicy, summary, activity, out, args...)
}

// retryWhileUnavailable tries a short step inside the workflow task first. While Postgres stays
// away, an activity goes on for as long as it takes; a refusal is final at once.
func retryWhileUnavailable(
	ctx workflow.Context,
	policy workflow.LocalActivityOptions,
	summary string,
	activity, out any,
	args ...any,
) error {
	err := localStepWith(ctx, policy, summary, activity, args...).Get(ctx, out)
	if err == nil || isCancel(err) || !fault.KindOf(err).Retryable() {
		return err
	}
	return runActivity(ctx, outagePolicy, summary, activity, args...).Get(ctx, out)
}

// localStep runs a short step in Postgres inside the workflow task.
func localStep(ctx workflow.Context, summary string, activity any, args ...any) workflow.Future {
	return localStepWith(ctx, localPolicy, summary, activity, args...)
}

func localStepWith(
	ctx workflow.Context,
	policy workflow.LocalActivityOptions,
	summary string,
	activity any,
	args ...any,
) workflow.Future {
	policy.Summary = summary
	return workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, policy), activity, args...)
}
