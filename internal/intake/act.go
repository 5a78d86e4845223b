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
)

// act deals with one event. A notice that was taken in is returned.
func (i *Intake) act(ctx context.Context, e events.Event) (*roles.TakenNotice, string, error) {
	switch {
	case groups[e.Kind] == "":
		return nil, noop, nil
	case !i.acts(e.Kind):
		return nil, off, nil
	}
	owner, err := i.Store.Owner(ctx, e.Account, e.InstanceID)
	switch {
	case err != nil:
		return nil, "", err
	case owner.Foreign:
		return nil, foreign, nil
	case !owner.Known && owner.Launching:
		return nil, waits, nil
	case !owner.Known:
		return nil, unknown, nil
	}
	switch e.Kind {
	case events.Rebalance:
		return i.take(ctx, owner, interruption.Notice{Kind: interruption.Rebalance, ArrivedAt: i.Now()})
	case events.SpotInterruption, events.CapacityInterruption:
		if e.Action != "hibernate" && e.Deadline.Before(i.Now()) {
			return i.look(ctx, owner, late)
		}
		return i.take(ctx, owner, interruption.Notice{
			Kind:      interruption.Termination,
			Deadline:  e.Deadline,
			ArrivedAt: i.Now(),
		})
	case events.StateChange:
		switch e.State {
		case activities.StateShuttingDown, activities.StateTerminated, activities.StateStopping, activities.StateStopped:
			return i.look(ctx, owner, noop)
		}
		return nil, noop, nil
	}
	return nil, recorded, i.Store.RecordScheduled(ctx, owner, e)
}

func (i *Intake) take(ctx context.Context, o Owner, n interruption.Notice) (*roles.TakenNotice, string, error) {
	n.AgentID, n.InstanceID, n.Door = o.AgentID, o.InstanceID, Door
	got, err := i.Store.Take(ctx, o.ClientID, n, roles.JudgeNotice)
	switch {
	case err != nil:
		return nil, "", err
	case !got.Known:
		return nil, unknown, nil
	case !got.First:
		return got, repeated, nil
	}
	return got, taken, nil
}

// Door is the name of this one.
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
	return i.take(ctx, o, interruption.Notice{Kind: interruption.Termination, Deadline: i.Now(), ArrivedAt: i.Now()})
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
