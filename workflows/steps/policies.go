// Package steps runs the steps of workflows: activities under the policy that fits what
// they touch, short steps inside the workflow task, waits and messages. All packages of
// workflows share it, and it imports none of them.
package steps

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/internal/domain/fault"
)

// Ways in which any workflow can end.
var (
	Cancelled  = fault.Define("workflow.cancelled", fault.Conflict)   // a person called it off
	UndoFailed = fault.Define("workflow.undo_failed", fault.Internal) // a person must look
	Ended      = fault.Define("operation.ended", fault.Conflict)      // it is over: nothing to cancel
)

// The only activity options in the program. A step picks one by what it touches.
var (
	// LocalPolicy is for short steps in Postgres. It keeps each attempt well
	// inside a workflow task's ten seconds; after the last one the workflow decides.
	LocalPolicy = workflow.LocalActivityOptions{
		StartToCloseTimeout:    2 * time.Second,
		ScheduleToCloseTimeout: time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 50 * time.Millisecond,
			MaximumInterval: time.Second,
		},
	}
	// MessagePolicy is for a message to another workflow, by way of Temporal's
	// frontend, which a storm makes slower than Postgres.
	MessagePolicy = workflow.LocalActivityOptions{
		StartToCloseTimeout:    3 * time.Second,
		ScheduleToCloseTimeout: 8 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 50 * time.Millisecond,
			MaximumInterval: time.Second,
		},
	}
	// PagePolicy is for the projection that pages read. Nothing waits for it
	// long: an operation continues without its page.
	PagePolicy = workflow.LocalActivityOptions{
		StartToCloseTimeout:    2 * time.Second,
		ScheduleToCloseTimeout: 5 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 50 * time.Millisecond,
			MaximumInterval: time.Second,
			MaximumAttempts: 4,
		},
	}
	// OutagePolicy carries on what the local attempts could not finish. Operators
	// see it pending, with its last failure.
	OutagePolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    5 * time.Second,
		ScheduleToCloseTimeout: 24 * time.Hour,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: 30 * time.Second},
	}
	// LaunchPolicy is for RunInstances. Its attempts share one client token, so a
	// short attempt costs nothing; throttling is waited out here, never fallen
	// back from.
	LaunchPolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    15 * time.Second,
		ScheduleToCloseTimeout: 5 * time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    500 * time.Millisecond,
			BackoffCoefficient: 2,
			MaximumInterval:    20 * time.Second,
		},
	}
	// UrgentLaunchPolicy is LaunchPolicy in an emergency, in which no pool gets more
	// than twelve seconds: the next one may be healthy.
	UrgentLaunchPolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    8 * time.Second,
		ScheduleToCloseTimeout: 12 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    500 * time.Millisecond,
			BackoffCoefficient: 2,
			MaximumInterval:    5 * time.Second,
		},
	}
	// PollPolicy waits until EC2 says that an instance is up: the retry is the poll. An
	// instance takes a minute or two, so a standby need not be asked about each second.
	PollPolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    10 * time.Second,
		ScheduleToCloseTimeout: 15 * time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    15 * time.Second,
		},
	}
	// UrgentPollPolicy is PollPolicy in an emergency, in which seconds count.
	UrgentPollPolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    10 * time.Second,
		ScheduleToCloseTimeout: 15 * time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    250 * time.Millisecond,
			BackoffCoefficient: 1.5,
			MaximumInterval:    5 * time.Second,
		},
	}
	// WatchPolicy waits for the end of an instance that a first look has found alive.
	WatchPolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    10 * time.Second,
		ScheduleToCloseTimeout: 12 * time.Hour,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    15 * time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    5 * time.Minute,
		},
	}
	// LookPolicy asks EC2 once, inside the workflow task.
	LookPolicy = workflow.LocalActivityOptions{
		StartToCloseTimeout:    3 * time.Second,
		ScheduleToCloseTimeout: 5 * time.Second,
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
	}
	// JudgePolicy asks an uploaded engine once, inside the workflow task. A caller waits.
	JudgePolicy = workflow.LocalActivityOptions{
		StartToCloseTimeout:    2500 * time.Millisecond,
		ScheduleToCloseTimeout: 3 * time.Second,
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
	}
	// RetirePolicy must succeed: an instance that is not ended costs money. It
	// tries for a day before a person has to look.
	RetirePolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    15 * time.Second,
		ScheduleToCloseTimeout: 24 * time.Hour,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: 5 * time.Minute},
	}
	// UnseenPolicy is RetirePolicy for an instance that EC2 does not show yet: it is ended half a
	// minute after EC2 does at the latest.
	UnseenPolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    15 * time.Second,
		ScheduleToCloseTimeout: 24 * time.Hour,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: 30 * time.Second},
	}
	// AdoptPolicy asks EC2 about an instance that an agent has just named, which may still
	// be starting.
	AdoptPolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    30 * time.Second,
		ScheduleToCloseTimeout: 2 * time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 1.5,
			MaximumInterval:    10 * time.Second,
		},
	}
	// JobPolicy is for set-based work that heartbeats between its chunks.
	JobPolicy = workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Minute,
		HeartbeatTimeout:    time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second,
			MaximumInterval: time.Minute,
			MaximumAttempts: 5,
		},
	}
)
