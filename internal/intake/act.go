package intake

import (
	"context"
	"strings"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/events"
)

// Outcomes of an event, as the counter names them.
const (
	taken    = "taken"    // a notice became durable
	repeated = "repeated" // it was durable before
	waits    = "waits"    // its instance is being launched
	unknown  = "unknown"  // about no client's instance
	foreign  = "foreign"  // from an account that is not the client's
	late     = "late"     // its deadline is over, and the instance lives
	noop     = "noop"     // nothing follows from it
	off      = "off"      // switched off
	recorded = "recorded" // the client was notified
	runs     = "runs"     // a replica's instance runs
)

// act deals with one event. A notice that was taken in is returned.
func (i *Intake) act(ctx context.Context, e events.Event) (*roles.TakenNotice, string, error) {
	switch {
	case groups[e.Kind] == "":
		return nil, noop, nil
	case !i.acts(e.Kind):
		return nil, off, nil
	}
	owners, err := i.Store.Owners(ctx, []events.Event{e})
	if err != nil {
		return nil, "", err
	}
	owner := owners[0]
	switch {
	case owner.Foreign:
		return nil, foreign, nil
	case !owner.Known && owner.Launching:
		return nil, waits, nil
	case !owner.Known:
		return nil, unknown, nil
	}
	switch e.Kind {
	case events.Rebalance, events.SpotInterruption, events.CapacityInterruption:
		n, ok := i.noticeOf(e, owner)
		if !ok {
			return i.lookLate(ctx, owner, e)
		}
		return i.take(ctx, owner.ClientID, n)
	case events.StateChange:
		switch e.State {
		case activities.StateShuttingDown, activities.StateTerminated, activities.StateStopping, activities.StateStopped:
			return i.look(ctx, owner, noop)
		case activities.StateRunning:
			outcome, err := i.recordRunning(ctx, owner)
			return nil, outcome, err
		}
		return nil, noop, nil
	}
	if e.Kind == events.LifecycleHook {
		return i.leave(ctx, owner, e)
	}
	return nil, recorded, i.Store.RecordScheduled(ctx, owner, e, i.MoveAhead)
}

func (i *Intake) take(ctx context.Context, clientID string, n interruption.Notice) (*roles.TakenNotice, string, error) {
	got, err := i.Store.Take(ctx, clientID, n, roles.JudgeNotice)
	if err != nil {
		return nil, "", err
	}
	t, outcome := judged(got)
	return t, outcome, nil
}

// judged gives the outcome of a notice. A notice about an instance without an agent is not
// taken in.
func judged(got *roles.TakenNotice) (*roles.TakenNotice, string) {
	switch {
	case !got.Known:
		return nil, unknown
	case !got.First:
		return got, repeated
	}
	return got, taken
}

// Door is the name of this way in: AWS's events.
const Door = "eventbridge"

// look acts on an instance that should be gone: EC2 is asked, as the watch over primaries
// does, because an event can be old and its queue can be written to by several accounts.
// When the instance has ended it is as if a notice had come. One that retires, or that
// has been replaced, is not asked for.
func (i *Intake) look(ctx context.Context, o Owner, otherwise string) (*roles.TakenNotice, string, error) {
	if o.Role != agent.Primary && o.Role != agent.Replica {
		return nil, noop, nil
	}
	seen, err := i.Fleet.State(ctx, o.Account, o.Region, o.InstanceID)
	if err != nil {
		return nil, "", err
	}
	if !ended(seen) {
		return nil, otherwise, nil
	}
	return i.take(ctx, o.ClientID, interruption.Notice{
		AgentID:    o.AgentID,
		InstanceID: o.InstanceID,
		Kind:       interruption.Termination,
		Deadline:   i.Now(),
		Door:       Door,
		ArrivedAt:  i.Now(),
	})
}

// lookLate acts on an interruption whose deadline is over. One whose instance runs is kept as
// evidence.
func (i *Intake) lookLate(ctx context.Context, o Owner, e events.Event) (*roles.TakenNotice, string, error) {
	t, outcome, err := i.look(ctx, o, late)
	if err == nil && outcome == late {
		err = i.Store.RecordLate(ctx, o, e)
	}
	return t, outcome, err
}

// leave has an agent leave an instance that its Auto Scaling group ends, as if AWS had given
// notice. The group waits until its lifecycle action is completed: see Lifecycle.
func (i *Intake) leave(ctx context.Context, o Owner, e events.Event) (*roles.TakenNotice, string, error) {
	if err := i.Store.RecordLifecycle(ctx, o, e); err != nil {
		return nil, "", err
	}
	if o.Role != agent.Primary && o.Role != agent.Replica {
		return nil, recorded, nil
	}
	return i.take(ctx, o.ClientID, interruption.Notice{
		AgentID:    o.AgentID,
		InstanceID: o.InstanceID,
		Kind:       interruption.Termination,
		Deadline:   i.Now().Add(interruption.Furthest),
		Door:       Door,
		ArrivedAt:  i.Now(),
	})
}

// recordRunning records that a replica's instance runs as soon as AWS says so, instead of
// when its activity asks EC2 the next time. EC2 is asked all the same, because an event can
// be old. A Guardian that is not reached is woken by the sweep.
func (i *Intake) recordRunning(ctx context.Context, o Owner) (outcome string, err error) {
	if o.Role != agent.Replica {
		return noop, nil
	}
	seen, err := i.Fleet.State(ctx, o.Account, o.Region, o.InstanceID)
	if err != nil || seen.State != activities.StateRunning {
		return noop, err
	}
	wake, err := i.Store.RecordRunning(ctx, o.InstanceID)
	if err != nil || !wake {
		return runs, err
	}
	if err := i.Wake(ctx, o.AgentID, o.InstanceID+" runs"); err != nil {
		i.Log.WarnContext(ctx, "a wake got lost: the sweep makes up for it", "agent_id", o.AgentID, "error", err)
	}
	return runs, nil
}

// ended says whether EC2 has ended an instance, or has stopped or hibernated it: that is a
// loss too. One that its owner has stopped is left to the owner.
func ended(seen *activities.CloudInstance) bool {
	switch seen.State {
	case activities.StateTerminated, activities.StateShuttingDown:
		return true
	case activities.StateStopped, activities.StateStopping:
		return strings.HasPrefix(seen.Reason, "Server.")
	}
	return false
}
