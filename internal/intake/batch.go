package intake

import (
	"context"
	"sync"

	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/events"
)

// parsed is a message with its events.
type parsed struct {
	Message
	events []events.Event
}

// handleAll deals with the messages of one receive. Notices are taken in together, each of
// the others by itself. What it has begun it ends, also when ctx ends meanwhile.
func (i *Intake) handleAll(ctx context.Context, messages []Message) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handleWithin)
	defer cancel()
	for range messages {
		defer i.Follow.BeginNotice()()
	}
	i.step("received")
	var notices []parsed
	var all sync.WaitGroup
	for _, m := range messages {
		p, ok := i.parse(ctx, m)
		switch {
		case !ok:
		case len(p.events) == 1 && isNotice(p.events[0].Kind) && i.acts(p.events[0].Kind):
			notices = append(notices, p)
		default:
			all.Go(func() { i.handle(ctx, p) })
		}
	}
	all.Go(func() { i.handleNotices(ctx, notices) })
	all.Wait()
}

func isNotice(k events.Kind) bool {
	return k == events.SpotInterruption || k == events.CapacityInterruption || k == events.Rebalance
}

// parse reads a message. One that is no event is deleted.
func (i *Intake) parse(ctx context.Context, m Message) (parsed, bool) {
	found, err := events.Parse([]byte(m.Body))
	if err != nil {
		i.Metrics.count("none", "poison")
		i.Log.ErrorContext(ctx, "a message of the event queue is no event", "message_id", m.ID, "error", err,
			"begin", m.Body[:min(len(m.Body), 200)])
		i.delete(ctx, m)
		return parsed{}, false
	}
	arrived := m.Sent
	if arrived.IsZero() {
		arrived = i.Now()
	}
	for n := range found {
		found[n].Arrived(arrived)
	}
	return parsed{Message: m, events: found}, true
}

// handleNotices takes in notices of different agents in one transaction, and has all other
// messages dealt with one by one: an agent's second notice, one whose instance is not known
// or has perhaps ended, and all of them when they cannot be taken in together.
func (i *Intake) handleNotices(ctx context.Context, messages []parsed) {
	together, rest := i.selectTogether(ctx, messages)
	incoming := make([]Incoming, len(together))
	for n, one := range together {
		incoming[n] = one.Incoming
	}
	if got, err := i.takeTogether(ctx, incoming); err == nil {
		i.finishTogether(ctx, together, got)
	} else {
		i.Log.WarnContext(ctx, "notices are taken in one by one", "notices", len(incoming), "error", err)
		for _, one := range together {
			rest = append(rest, one.parsed)
		}
	}
	var all sync.WaitGroup
	for _, m := range rest {
		all.Go(func() { i.handle(ctx, m) })
	}
	all.Wait()
}

// toTake is a message with the notice that it leads to.
type toTake struct {
	parsed
	Incoming
}

func (i *Intake) selectTogether(ctx context.Context, messages []parsed) (together []toTake, rest []parsed) {
	if len(messages) < 2 {
		return nil, messages
	}
	of := make([]events.Event, len(messages))
	for n, m := range messages {
		of[n] = m.events[0]
	}
	owners, err := i.Store.Owners(ctx, of)
	if err != nil {
		return nil, messages // handling one by one says what is wrong
	}
	agents := map[string]bool{}
	for n, m := range messages {
		notice, ok := i.noticeOf(of[n], owners[n])
		if !ok || agents[notice.AgentID] {
			rest = append(rest, m)
			continue
		}
		agents[notice.AgentID] = true
		together = append(together, toTake{m, Incoming{owners[n].ClientID, notice}})
	}
	return together, rest
}

func (i *Intake) takeTogether(ctx context.Context, notices []Incoming) ([]*roles.TakenNotice, error) {
	if len(notices) == 0 {
		return nil, nil
	}
	return i.Store.TakeTogether(ctx, notices, roles.JudgeNotice)
}

func (i *Intake) finishTogether(ctx context.Context, together []toTake, got []*roles.TakenNotice) {
	if len(together) == 0 {
		return
	}
	done := make([]Message, len(together))
	var taken []*roles.TakenNotice
	for n, one := range together {
		done[n] = one.Message
		t, outcome := judged(got[n])
		i.record(ctx, one.events[0], t, outcome)
		if t != nil {
			taken = append(taken, t)
		}
	}
	i.finish(ctx, done, taken)
}

// noticeOf is the notice that follows from an event about a client's instance. ok is false
// when something else follows from it.
func (i *Intake) noticeOf(e events.Event, o Owner) (n interruption.Notice, ok bool) {
	if o.Foreign || !o.Known {
		return n, false
	}
	n = interruption.Notice{
		AgentID:    o.AgentID,
		InstanceID: o.InstanceID,
		Kind:       interruption.Rebalance,
		Door:       Door,
		ArrivedAt:  i.Now(),
	}
	if e.Kind == events.Rebalance {
		return n, true
	}
	n.Kind, n.Deadline, n.Action = interruption.Termination, e.Deadline, interruption.ActionOf(e.Action)
	return n, e.Action == "hibernate" || !e.Deadline.Before(i.Now())
}
