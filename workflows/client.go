package workflows

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/replica"
)

// How long callers are kept waiting.
const (
	answerWithin = 25 * time.Second        // an update, when the caller sets no deadline; agents give up at 30 s
	signalWithin = 5 * time.Second         // a signal, likewise
	queryWithin  = 5 * time.Second         // a query: it needs a worker
	pingWithin   = 1500 * time.Millisecond // Temporal, before it counts as away
	noticeSpare  = time.Second             // what a notice's answer leaves of its caller's deadline
)

// Client starts, asks and tells workflows. It is the only code that knows their
// ids, queues and conflict policies, so that the HTTP surface, the schedules and
// other workflows mean the same by "tell the Guardian".
//
// Every method fails with workflow.unreachable when Temporal is away, within
// two seconds; what a workflow refuses comes back as the fault it was.
type Client struct {
	Temporal  client.Client
	Namespace string // that Temporal was connected with; empty: the default one
	Queue     string
	Tuning    Tuning
	OnRetry   func(error) // called with each error that was answered by trying again; may be nil

	health health
}

// TerminationNotice tells of an instance that is about to end, and answers the
// outcome; or in_progress after in.Wait, or when the caller's deadline is near.
// It changes the roles at most once per instance, however often it is sent.
//
// The caller has made the notice durable before: an answer of in_progress does
// not depend on this message having arrived.
func (c *Client) TerminationNotice(ctx context.Context, agentID string, in NoticeInput) (*NoticeAnswer, error) {
	if by, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, by.Add(-noticeSpare))
		defer cancel()
		// In whole seconds, so that a repeated notice is the same update.
		in.Wait = max(0, min(in.Wait, time.Until(by)-2*noticeSpare)).Truncate(time.Second)
	}
	out, err := c.notify(ctx, agentID, in)
	if fault.Is(err, NoAnswer) {
		return &NoticeAnswer{Status: NoticeInProgress, OperationID: TerminationID(agentID, in.InstanceID)}, nil
	}
	return out, err
}

func (c *Client) notify(ctx context.Context, agentID string, in NoticeInput) (*NoticeAnswer, error) {
	id := "notice/" + agentID + "/" + in.InstanceID + "/" + string(interruption.Termination)
	return tell[NoticeAnswer](ctx, c, agentID, UpdateTerminationNotice, id, in)
}

// DeliverNotice gives a notice that is durable, and that no Guardian has taken, to
// one, and does not wait for the outcome. A rebalance that the agent's mode does
// not answer is taken all the same. Fails with workflow.no_answer when the Guardian
// does not take it. It implements activities.NoticeDesk.
func (c *Client) DeliverNotice(ctx context.Context, n interruption.Notice) error {
	if n.Kind == interruption.Termination {
		_, err := c.notify(ctx, n.AgentID, NoticeInput{InstanceID: n.InstanceID, Deadline: n.Deadline})
		return err
	}
	_, err := c.EmergencyReplica(ctx, n.AgentID, EmergencyInput{InstanceID: n.InstanceID, Kind: n.Kind, Deadline: n.Deadline})
	if fault.Is(err, agent.AutoOff) {
		return nil
	}
	return err
}

// EmergencyReplica asks for a replica because an instance is in danger, once per
// (instance, kind). Fails with agent.not_found and agent.auto_switch_off.
func (c *Client) EmergencyReplica(ctx context.Context, agentID string, in EmergencyInput) (*ReplicaAnswer, error) {
	id := "emergency/" + agentID + "/" + in.InstanceID + "/" + string(in.Kind)
	return tell[ReplicaAnswer](ctx, c, agentID, UpdateEmergencyReplica, id, in)
}

// CreateReplica asks for the standby of manual mode, or reports one that the
// agent has launched. Fails with agent.not_found, replica.not_enabled and
// replica.already_exists.
func (c *Client) CreateReplica(ctx context.Context, agentID string, in CreateReplicaInput) (*ReplicaAnswer, error) {
	id := cmp.Or(in.RequestID, uuid.NewString())
	if in.RequestID == "" && in.InstanceID != "" {
		id = "reported/" + agentID + "/" + in.InstanceID
	}
	return tell[ReplicaAnswer](ctx, c, agentID, UpdateCreateReplica, id, in)
}

// Promote makes a replica primary. Fails with replica.not_found,
// replica.not_ready, replica.already_exists and switch.busy.
func (c *Client) Promote(ctx context.Context, agentID string, in PromoteInput) (*PromoteAnswer, error) {
	return tell[PromoteAnswer](ctx, c, agentID, UpdatePromote, cmp.Or(in.RequestID, uuid.NewString()), in)
}

// DeleteReplica retires a replica. Fails with replica.not_found and switch.busy.
func (c *Client) DeleteReplica(ctx context.Context, agentID string, in DeleteReplicaInput) (*ReplicaAnswer, error) {
	return tell[ReplicaAnswer](ctx, c, agentID, UpdateDeleteReplica, cmp.Or(in.RequestID, uuid.NewString()), in)
}

// RequestSwitch asks to move the agent, once per command. Fails with
// agent.not_found and switch.busy.
func (c *Client) RequestSwitch(ctx context.Context, agentID string, in RequestSwitchInput) (*OperationAnswer, error) {
	return tell[OperationAnswer](ctx, c, agentID, UpdateRequestSwitch, "switch/"+in.CommandID, in)
}

// Configure sets how an agent keeps replicas. Fails with agent.not_found.
func (c *Client) Configure(ctx context.Context, agentID string, in ConfigureInput) (*ConfigureAnswer, error) {
	return tell[ConfigureAnswer](ctx, c, agentID, UpdateConfigure, cmp.Or(in.RequestID, uuid.NewString()), in)
}

// RemoveAgent ends an agent and what we launched for it. An agent that is
// removed already is success.
func (c *Client) RemoveAgent(ctx context.Context, agentID string, in RemoveAgentInput) (*OperationAnswer, error) {
	return tell[OperationAnswer](ctx, c, agentID, UpdateRemoveAgent, cmp.Or(in.RequestID, uuid.NewString()), in)
}

// Wake makes the agent's Guardian read the roles and judge.
func (c *Client) Wake(ctx context.Context, agentID, why string) error {
	return c.signalWithStart(ctx, c.guardian(agentID, SignalWake), SignalWake, why, Guardian, GuardianInput{AgentID: agentID, Tuning: c.Tuning})
}

// ReleaseReplica tells a Replica what became of it. One that was promoted and is
// gone needs nothing more; one that must retire its instance is started again.
func (c *Client) ReleaseReplica(ctx context.Context, in activities.Release) error {
	id := ReplicaID(in.ReplicaID)
	if in.As == replica.Promoted {
		return orNone(c.signal(ctx, id, SignalRelease, in))
	}
	opts := client.StartWorkflowOptions{
		ID: id, TaskQueue: c.Queue, StaticSummary: "retiring replica " + in.ReplicaID + " of " + in.AgentID,
		TypedSearchAttributes: attributes("", in.AgentID, "retire"),
	}
	return c.signalWithStart(ctx, opts, SignalRelease, in, Replica, ReplicaInput{AgentID: in.AgentID, ReplicaID: in.ReplicaID})
}

// ReplicaReport passes on what an agent says of a replica. Fails with
// replica.not_found when no workflow works on it any more.
func (c *Client) ReplicaReport(ctx context.Context, in ReplicaReport) error {
	err := c.signal(ctx, ReplicaID(in.ReplicaID), SignalReport, in)
	if fault.Is(err, NoOperation) {
		return replica.NotFound.Wrap(err, "nothing waits for a report about replica %s", in.ReplicaID)
	}
	return err
}

// SwitchReport passes on what an agent says of a switch that it performed. A
// report of an instance is never lost: when no Switch waits for it (it was called
// off, it has ended, nobody ordered it), one is started to take the instance in.
// A report without an instance that nobody waits for needs nothing.
func (c *Client) SwitchReport(ctx context.Context, in SwitchReport) error {
	id := SwitchID(cmp.Or(in.CommandID, in.InstanceID))
	if in.InstanceID == "" {
		return orNone(c.signal(ctx, id, SignalReport, in))
	}
	opts := client.StartWorkflowOptions{
		ID: id, TaskQueue: c.Queue, StaticSummary: "a switch of " + in.AgentID + " that its agent reports",
		TypedSearchAttributes: attributes("", in.AgentID, "switch-report"),
	}
	start := SwitchInput{AgentID: in.AgentID, CommandID: in.CommandID, Launcher: agent.ByAgent, Reported: true}
	return c.signalWithStart(ctx, opts, SignalReport, in, Switch, start)
}

// Tell passes news on to an operation that waits. It implements activities.Messenger.
func (c *Client) Tell(ctx context.Context, in activities.News) error {
	return orNone(c.signal(ctx, in.OperationID, SignalNews, in))
}

// Report passes an agent's report on. It implements activities.Messenger.
func (c *Client) Report(ctx context.Context, in activities.Report) error {
	return orNone(c.signal(ctx, ReplicaID(in.ReplicaID), SignalReport, ReplicaReport{
		ReplicaID: in.ReplicaID, InstanceID: in.InstanceID, Status: in.Status}))
}

// CallOff calls a Switch off. It implements activities.Messenger.
func (c *Client) CallOff(ctx context.Context, in activities.CallOff) error {
	return orNone(c.signal(ctx, in.OperationID, SignalCallOff, in))
}

// guardian gives the options under which any message starts a Guardian: join
// the one that runs, else start the next.
func (c *Client) guardian(agentID, reason string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                       GuardianID(agentID),
		TaskQueue:                c.Queue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:            "guardian of " + agentID,
		TypedSearchAttributes:    attributes("", agentID, reason),
	}
}

// health is what is known of Temporal, shared by all who wait for it, so that a
// thousand waiting callers ask once.
type health struct {
	mu  sync.Mutex
	at  time.Time
	err error
}
