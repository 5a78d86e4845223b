// Package intake takes in what AWS says about instances through a queue: the second door
// for notices, beside the agents' HTTP.
//
// A message is dealt with in this order: the notice becomes a row, with all that follows
// from it in the same transaction; the message is deleted; the workflow that carries the
// notice on is started. A process that dies in between loses nothing: before the row, the
// message comes again; before the deletion, it comes again and finds the row; before the
// start, the sweep of open rows starts the workflow. Several processes may receive at
// once: SQS shares the messages out, and the row decides between two of them.
package intake

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/events"
)

const (
	receivers = 4 // per queue and process
	// handleWithin is below the visibility of a message.
	handleWithin = 20 * time.Second
	// againSoon is when a message that could not be dealt with comes again: a notice
	// leaves two minutes. From the fourth time on the pauses double, up to againMost, so that
	// an outage of minutes does not bring it into the dead-letter queue.
	againSoon = 2 * time.Second
	againMost = 30 * time.Second
	// A message about an instance that is being launched comes again every ten seconds for a
	// minute: by then the launch has written down its instance.
	lookAgain = 10 * time.Second
	lookFor   = time.Minute
	failPause = time.Second // after a receive that failed, growing to maxPause
	maxPause  = 30 * time.Second
)

// Owner says whose an instance is.
type Owner struct {
	Known      bool // some client's
	Foreign    bool // its client's account is not the one that the event comes from
	Launching  bool // not known, and a launch in that account has not written down its instance yet
	ClientID   string
	AgentID    string
	Role       agent.Role
	Region     string
	Account    activities.Account
	InstanceID string
}

// Incoming is a notice about an instance of a client.
type Incoming struct {
	ClientID string
	Notice   interruption.Notice
}

// Store is what the intake keeps in Postgres.
type Store interface {
	// Owners finds whose the instances of events are, in the order of the events.
	Owners(ctx context.Context, of []events.Event) ([]Owner, error)
	// Take takes a notice in, as every door does.
	Take(ctx context.Context, clientID string, n interruption.Notice, judge roles.NoticeJudge) (*roles.TakenNotice, error)
	// TakeTogether takes in notices of different agents: all of them, or it fails.
	TakeTogether(ctx context.Context, notices []Incoming, judge roles.NoticeJudge) ([]*roles.TakenNotice, error)
	// RecordRunning records that the instance of a replica that waits for it runs. wake says
	// that the agent's Guardian has something to do by that.
	RecordRunning(ctx context.Context, instanceID string) (wake bool, err error)
	// RecordLate keeps what came after its deadline about an instance that runs, as evidence,
	// once for each event.
	RecordLate(ctx context.Context, o Owner, e events.Event) error
	// RecordLifecycle keeps an action of an Auto Scaling group that waits for the agent.
	RecordLifecycle(ctx context.Context, o Owner, e events.Event) error
	// RecordScheduled notifies the client of what AWS has scheduled for an instance, and
	// plans the agent's move ahead of it, once for each event. Zero plans no move.
	RecordScheduled(ctx context.Context, o Owner, e events.Event, ahead time.Duration) error
}

// Fleet shows instances.
type Fleet interface {
	State(ctx context.Context, a activities.Account, region, instanceID string) (*activities.CloudInstance, error)
}

// Follower starts what follows from a notice that was taken in.
type Follower interface {
	BeginNotice() (done func())
	Add(taken *roles.TakenNotice)
}

// Intake receives from one queue.
type Intake struct {
	Queue  Queue
	Store  Store
	Fleet  Fleet
	Follow Follower
	Wake   func(ctx context.Context, agentID, why string) error // a Guardian
	ActOn  []string                                             // of Groups
	// MoveAhead is how long before a change that AWS has scheduled an agent is moved; zero:
	// it is not.
	MoveAhead time.Duration
	// Note keeps how the queue is, for pages; nil: it is not kept.
	Note    func(ctx context.Context, state QueueState) error
	Metrics *Metrics
	Log     *slog.Logger
	Now     func() time.Time

	// reached is called after each step of a message. Tests of kill -9 set it.
	reached func(step string)

	mu       sync.Mutex
	received error     // of the last receive
	behind   time.Time // when a message was received that had waited too long
	state    QueueState
	waitedAt time.Time // when the message of state.Waited was received
	notedAt  time.Time // when state was noted last
}

// Groups of events that an operator can switch on and off.
var groups = map[events.Kind]string{
	events.SpotInterruption: "notice", events.CapacityInterruption: "notice", events.Rebalance: "rebalance",
	events.StateChange: "state", events.Health: "health", events.LifecycleHook: "asg",
}

// Groups are the names that EVENTS_ACT_ON takes.
func Groups() []string { return []string{"notice", "rebalance", "state", "health", "asg"} }

// Run receives until ctx ends.
func (i *Intake) Run(ctx context.Context) error {
	var g errgroup.Group
	for range receivers {
		g.Go(func() error {
			i.receive(ctx)
			return nil
		})
	}
	return g.Wait()
}

func (i *Intake) receive(ctx context.Context) {
	pause := failPause
	for ctx.Err() == nil {
		messages, err := i.Queue.Receive(ctx)
		if ctx.Err() != nil {
			return
		}
		i.recordReceive(ctx, messages, err)
		if err != nil {
			i.note(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, maxPause)
			continue
		}
		pause = failPause
		i.handleAll(ctx, messages)
		i.note(ctx)
	}
}

// handle deals with one message.
func (i *Intake) handle(ctx context.Context, m parsed) {
	var taken []*roles.TakenNotice
	for _, e := range m.events {
		t, outcome, err := i.act(ctx, e)
		if err != nil {
			i.Metrics.count(e.Kind, "failed")
			i.Log.WarnContext(ctx, "an event waits", "kind", e.Kind, "instance_id", e.InstanceID, "message_id", m.ID,
				"error", err)
			i.postpone(ctx, m.Message, againAfter(m.Received))
			return
		}
		if outcome == waits && i.Now().Sub(m.Sent) < lookFor {
			i.Metrics.count(e.Kind, waits)
			i.postpone(ctx, m.Message, lookAgain)
			return
		}
		i.record(ctx, e, t, outcome)
		if t != nil {
			taken = append(taken, t)
		}
	}
	i.finish(ctx, []Message{m.Message}, taken)
}

// againAfter is the pause after a message could not be dealt with, received times so far.
func againAfter(received int) time.Duration {
	return min(againSoon<<min(max(received-3, 0), 10), againMost)
}

// record counts what became of an event.
func (i *Intake) record(ctx context.Context, e events.Event, t *roles.TakenNotice, outcome string) {
	if outcome == waits {
		outcome = unknown
	}
	i.Metrics.count(e.Kind, outcome)
	i.Log.InfoContext(ctx, "an event was taken in", "kind", e.Kind, "outcome", outcome,
		"instance_id", e.InstanceID, "action", e.Action, "event_id", e.ID)
	if t != nil {
		i.Metrics.age(e.Kind, i.Now().Sub(e.At))
	}
}

// finish deletes messages whose events are durable, and starts what follows from them.
func (i *Intake) finish(ctx context.Context, messages []Message, taken []*roles.TakenNotice) {
	i.step("durable")
	i.delete(ctx, messages...)
	i.step("deleted")
	for _, t := range taken {
		i.Follow.Add(t)
	}
	i.step("followed")
}

func (i *Intake) step(name string) {
	if i.reached != nil {
		i.reached(name)
	}
}

// delete fails when SQS is away: the messages come again, and find their rows.
func (i *Intake) delete(ctx context.Context, messages ...Message) {
	if err := i.Queue.Delete(ctx, messages); err != nil {
		i.Log.WarnContext(ctx, "messages stay in the event queue", "messages", len(messages), "error", err)
	}
}

// postpone fails when SQS is away: the message comes again when its visibility ends.
func (i *Intake) postpone(ctx context.Context, m Message, d time.Duration) {
	if err := i.Queue.Postpone(ctx, m, d); err != nil {
		i.Log.WarnContext(ctx, "a message was not postponed", "message_id", m.ID, "error", err)
	}
}

func (i *Intake) acts(k events.Kind) bool { return slices.Contains(i.ActOn, groups[k]) }
