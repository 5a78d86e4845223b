package intake

import (
	"context"
	"log/slog"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/events"
)

// Ends of a lifecycle action.
const (
	actionContinues = "continue" // the agent has left: the group may go on
	actionAbandoned = "abandon"  // the agent was lost: a group that retains such instances keeps this one
	actionOver      = "over"     // the group did not wait any more
	actionNotOurs   = "not_ours" // EC2 does not show our tags on the instance: the group decides by its own default
)

const (
	actionsEvery  = 5 * time.Second
	actionsAtOnce = 10
	actionsWithin = 20 * time.Second
	// waitAtMost is how long a group waits by its default.
	waitAtMost = time.Hour
)

// LifecycleAction is an action of an Auto Scaling group that waits until an agent has left
// the instance that the group ends.
type LifecycleAction struct {
	events.Hook

	InstanceID string
	AgentID    string
	Region     string
	Account    activities.Account
	Since      time.Time
	Settled    bool // the agent has left, or was lost
	Lost       bool
}

// Lifecycle completes the lifecycle actions of Auto Scaling groups. Each call is a level at
// AWS: a second one changes nothing.
type Lifecycle struct {
	Store interface {
		// Claim gives actions that are due, each to one caller.
		Claim(ctx context.Context, limit int) ([]LifecycleAction, error)
		// Close ends an action.
		Close(ctx context.Context, token, result string) error
	}
	// Groups are those of a client's account. waiting is false when the group waits no more.
	// Both fail with instance.not_ours, and ask nothing of the group, when EC2 does not show
	// our tags on the instance.
	Groups interface {
		Complete(ctx context.Context, a LifecycleAction, abandon bool) (waiting bool, err error)
		// KeepWaiting has the group's time begin anew.
		KeepWaiting(ctx context.Context, a LifecycleAction) (waiting bool, err error)
	}
	Log *slog.Logger
	Now func() time.Time
}

// Run completes actions until ctx ends.
func (l *Lifecycle) Run(ctx context.Context) error {
	tick := time.NewTicker(actionsEvery)
	defer tick.Stop()
	for {
		if err := l.Round(ctx); err != nil && ctx.Err() == nil {
			l.Log.WarnContext(ctx, "lifecycle actions wait", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Round looks at the actions that are due. One that fails delays no other.
func (l *Lifecycle) Round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, actionsWithin)
	defer cancel()
	due, err := l.Store.Claim(ctx, actionsAtOnce)
	if err != nil {
		return err
	}
	for _, a := range due {
		err := l.look(ctx, a)
		if fault.Is(err, adoption.NotOurs) {
			l.Log.WarnContext(ctx, "an Auto Scaling group is left to itself", "agent_id", a.AgentID,
				"instance_id", a.InstanceID, "group", a.Group, "error", err)
			err = l.Store.Close(ctx, a.Token, actionNotOurs)
		}
		if err != nil {
			l.Log.WarnContext(ctx, "a lifecycle action waits", "agent_id", a.AgentID, "instance_id", a.InstanceID,
				"group", a.Group, "error", err)
		}
	}
	return nil
}

func (l *Lifecycle) look(ctx context.Context, a LifecycleAction) error {
	abandon := a.Lost || !a.Settled && l.Now().Sub(a.Since) > waitAtMost
	if !a.Settled && !abandon {
		waiting, err := l.Groups.KeepWaiting(ctx, a)
		if err != nil || waiting {
			return err
		}
		return l.Store.Close(ctx, a.Token, actionOver)
	}
	result := actionContinues
	if abandon {
		result = actionAbandoned
	}
	waiting, err := l.Groups.Complete(ctx, a, abandon)
	if err != nil {
		return err
	}
	if !waiting {
		result = actionOver
	}
	l.Log.InfoContext(ctx, "an Auto Scaling group goes on", "agent_id", a.AgentID, "instance_id", a.InstanceID,
		"group", a.Group, "result", result)
	return l.Store.Close(ctx, a.Token, result)
}
