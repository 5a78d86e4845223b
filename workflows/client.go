package workflows

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows/rollout"
)

// How long callers are kept waiting.
const (
	answerWithin = 25 * time.Second        // an update, when the caller sets no deadline; agents give up at 30 s
	signalWithin = 5 * time.Second         // a signal, likewise
	queryWithin  = 5 * time.Second         // a query: it needs a worker
	pingWithin   = 1500 * time.Millisecond // Temporal, before it counts as away
	noticeSpare  = time.Second             // what a notice's answer leaves of its caller's deadline
)

// Client starts workflows, queries them and sends them messages. It is the only code
// with their queues and conflict policies, so that the HTTP surface, the sweep
// and other workflows start and reach a workflow in the same way.
//
// Every method fails with workflow.unreachable within two seconds when Temporal is
// unavailable. A workflow's refusal is returned as the fault that it raised.
type Client struct {
	Temporal  client.Client
	Namespace string // that Temporal was connected with; empty: the default one
	Queue     string
	Tuning    Tuning
	Versioned bool        // workers are: the server chooses the version that begins a workflow
	OnRetry   func(error) // called with each error that was answered by trying again; may be nil

	// NameOf returns the logical id that the operators of an agent gave it, or "". It may be nil.
	NameOf func(ctx context.Context, agentID string) string

	health health
}

// TerminationNotice has the Guardian bring about a successor for an instance that is
// about to end, and answers the outcome; or in_progress after in.Wait, or when the
// caller's deadline is near.
//
// The notice is durable before: an answer of in_progress does not depend on this
// message having arrived.
func (c *Client) TerminationNotice(ctx context.Context, agentID string, in NoticeInput) (*NoticeAnswer, error) {
	if by, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, by.Add(-noticeSpare))
		defer cancel()
		// In whole seconds, so that a repeated notice is the same update.
		in.Wait = max(0, min(in.Wait, time.Until(by)-2*noticeSpare)).Truncate(time.Second)
	}
	id := "notice/" + agentID + "/" + in.InstanceID + "/" + string(interruption.Termination)
	out, err := sendUpdate[NoticeAnswer](ctx, c, agentID, UpdateTerminationNotice, id, in)
	if fault.Is(err, NoAnswer) {
		return &NoticeAnswer{Status: NoticeInProgress, OperationID: TerminationID(agentID, in.InstanceID)}, nil
	}
	return out, err
}

// FollowNotice starts what follows from a notice that was taken in: the Termination,
// the end of the successor's standing by, the next standby, and the Guardian's review.
// The sweep does what fails here. It implements activities.NoticeFollower.
func (c *Client) FollowNotice(ctx context.Context, taken *roles.TakenNotice) error {
	v := taken.Verdict
	var errs []error
	if id := taken.Operation(); id != "" {
		_, err := c.StartOperation(ctx, activities.OpenRow{
			ID:       id,
			AgentID:  taken.Set.AgentID,
			ClientID: taken.Set.ClientID,
		})
		errs = append(errs, err)
	}
	if taken.Standby != "" {
		_, err := c.StartOperation(ctx, activities.OpenRow{
			ID:       ReplicaID(taken.Standby),
			AgentID:  taken.Set.AgentID,
			ClientID: taken.Set.ClientID,
		})
		errs = append(errs, err)
	}
	if v.Lost != "" {
		errs = append(errs, c.Nudge(ctx, activities.Nudge{
			OperationID: ReplicaID(v.Lost),
			AgentID:     taken.Set.AgentID,
			Start:       true,
		}))
	}
	if v.Review {
		errs = append(errs, c.Wake(ctx, taken.Set.AgentID, string(v.Ruling)))
	}
	return errors.Join(errs...)
}

// EmergencyReplica asks for a replica because an instance is in danger, once per
// (instance, kind). Fails with agent.not_found and agent.auto_switch_off.
func (c *Client) EmergencyReplica(ctx context.Context, agentID string, in EmergencyInput) (*ReplicaAnswer, error) {
	id := "emergency/" + agentID + "/" + in.InstanceID + "/" + string(in.Kind)
	return sendUpdate[ReplicaAnswer](ctx, c, agentID, UpdateEmergencyReplica, id, in)
}

// CreateReplica asks for the standby of manual mode, or reports one that the
// agent has launched. Fails with agent.not_found, replica.not_enabled and
// replica.already_exists.
func (c *Client) CreateReplica(ctx context.Context, agentID string, in CreateReplicaInput) (*ReplicaAnswer, error) {
	id := cmp.Or(in.RequestID, uuid.NewString())
	if in.RequestID == "" && in.InstanceID != "" {
		id = "reported/" + agentID + "/" + in.InstanceID
	}
	return sendUpdate[ReplicaAnswer](ctx, c, agentID, UpdateCreateReplica, id, in)
}

// Promote makes a replica primary. Fails with replica.not_found,
// replica.not_ready, replica.already_exists and switch.busy.
func (c *Client) Promote(ctx context.Context, agentID string, in PromoteInput) (*PromoteAnswer, error) {
	return sendUpdate[PromoteAnswer](ctx, c, agentID, UpdatePromote, cmp.Or(in.RequestID, uuid.NewString()), in)
}

// DeleteReplica retires a replica. Fails with replica.not_found and switch.busy.
func (c *Client) DeleteReplica(ctx context.Context, agentID string, in DeleteReplicaInput) (*ReplicaAnswer, error) {
	return sendUpdate[ReplicaAnswer](ctx, c, agentID, UpdateDeleteReplica, cmp.Or(in.RequestID, uuid.NewString()), in)
}

// RequestSwitch asks to move the agent, once per command. Fails with
// agent.not_found and switch.busy.
func (c *Client) RequestSwitch(ctx context.Context, agentID string, in RequestSwitchInput) (*OperationAnswer, error) {
	return sendUpdate[OperationAnswer](ctx, c, agentID, UpdateRequestSwitch, "switch/"+in.CommandID, in)
}

// Configure sets how an agent keeps replicas. Fails with agent.not_found.
func (c *Client) Configure(ctx context.Context, agentID string, in ConfigureInput) (*ConfigureAnswer, error) {
	return sendUpdate[ConfigureAnswer](ctx, c, agentID, UpdateConfigure, cmp.Or(in.RequestID, uuid.NewString()), in)
}

// RemoveAgent ends an agent and what we launched for it. An agent that is
// removed already is success.
func (c *Client) RemoveAgent(ctx context.Context, agentID string, in RemoveAgentInput) (*OperationAnswer, error) {
	return sendUpdate[OperationAnswer](ctx, c, agentID, UpdateRemoveAgent, cmp.Or(in.RequestID, uuid.NewString()), in)
}

// Wake makes the agent's Guardian read the roles and judge.
func (c *Client) Wake(ctx context.Context, agentID, why string) error {
	return c.signalWithStart(ctx, c.guardian(ctx, agentID, SignalWake), SignalWake, why, Guardian,
		GuardianInput{AgentID: agentID, Tuning: c.Tuning})
}

// StartOperation starts the workflow of an open row, and says whether it was missing. A
// workflow that runs already gets a news signal, because an earlier one may be lost. It
// implements activities.Starter.
func (c *Client) StartOperation(ctx context.Context, row activities.OpenRow) (started bool, err error) {
	fn, in, err := workflowOf(row)
	if err != nil {
		return false, err
	}
	ctx, done := c.withHealthDeadline(ctx, signalWithin)
	defer done()
	opts := c.operation(ctx, row)
	opts.WorkflowIDConflictPolicy = enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL
	opts.WorkflowExecutionErrorWhenAlreadyStarted = true
	// A process with a worker has the first task with the answer. The server would not be
	// asked which version is to have it.
	opts.EnableEagerStart = !c.Versioned
	_, err = c.Temporal.ExecuteWorkflow(ctx, opts, fn, in)
	if is[*serviceerror.WorkflowExecutionAlreadyStarted](err) {
		return false, ignoreEnded(c.signal(ctx, row.ID, SignalNews, nil))
	}
	return err == nil, translateError(ctx, err)
}

// StartRolloutOf starts the rollout of a session whose row is open, and says whether
// it was missing. It implements activities.Starter.
func (c *Client) StartRolloutOf(ctx context.Context, sessionID string) (started bool, err error) {
	ctx, done := c.withHealthDeadline(ctx, signalWithin)
	defer done()
	opts := c.rolloutOptions(sessionID)
	opts.WorkflowIDConflictPolicy = enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL
	opts.WorkflowExecutionErrorWhenAlreadyStarted = true
	_, err = c.Temporal.ExecuteWorkflow(ctx, opts, rollout.ModelRollout, rollout.Input{SessionID: sessionID, FromRow: true})
	if is[*serviceerror.WorkflowExecutionAlreadyStarted](err) {
		return false, nil
	}
	return err == nil, translateError(ctx, err)
}

// Nudge makes the workflow of an operation read its row again. With in.Start one that
// is not there is started; otherwise it needs nothing.
func (c *Client) Nudge(ctx context.Context, in activities.Nudge) error {
	if !in.Start {
		return ignoreEnded(c.signal(ctx, in.OperationID, SignalNews, nil))
	}
	row := activities.OpenRow{ID: in.OperationID, AgentID: in.AgentID, Launcher: string(in.Launcher)}
	fn, start, err := workflowOf(row)
	if err != nil {
		return err
	}
	return c.signalWithStart(ctx, c.operation(ctx, row), SignalNews, nil, fn, start)
}

// operation gives the options under which the workflow of a row is started. A row
// that is open again, after its workflow has ended, has the next run.
func (c *Client) operation(ctx context.Context, row activities.OpenRow) client.StartWorkflowOptions {
	kind, name := operationKind(row.ID), c.nameOf(ctx, row.AgentID)
	return client.StartWorkflowOptions{
		ID: row.ID, TaskQueue: c.Queue, StaticSummary: kind + " of " + titleOf(name, row.AgentID), Priority: priorityOf(row),
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		TypedSearchAttributes: attributes(row.ClientID, row.AgentID, name, kind),
	}
}

// Priorities of workflow tasks: those of a queue that is behind are given out in this
// order.
const (
	priorityUrgent      = 1 // an agent waits for the answer, or for its emergency replica
	priorityTermination = 2
	priorityStandby     = 4 // 3 is the server's default
)

// priorityOf is how soon the workflow of a row is to have its turn.
func priorityOf(row activities.OpenRow) temporal.Priority {
	switch kind := operationKind(row.ID); {
	case row.Urgent:
		return temporal.Priority{PriorityKey: priorityUrgent}
	case kind == KindTermination:
		return temporal.Priority{PriorityKey: priorityTermination}
	case kind == KindReplica:
		return temporal.Priority{PriorityKey: priorityStandby}
	}
	return temporal.Priority{}
}

// workflowOf names the workflow of an open row, and its input: nothing but the row's
// key, because it reads the rest. Fails with operation.not_found.
func workflowOf(row activities.OpenRow) (fn, in any, err error) {
	_, key, _ := strings.Cut(row.ID, "/")
	switch operationKind(row.ID) {
	case KindReplica:
		return Replica, ReplicaInput{AgentID: row.AgentID, ReplicaID: key}, nil
	case KindSwitch:
		if agent.Launcher(row.Launcher) == agent.ByAgent {
			return AgentSwitch, SwitchInput{AgentID: row.AgentID, SwitchID: key}, nil
		}
		return Switch, SwitchInput{AgentID: row.AgentID, SwitchID: key}, nil
	case KindTermination:
		_, instanceID, _ := strings.Cut(key, "/")
		return Termination, TerminationInput{AgentID: row.AgentID, InstanceID: instanceID}, nil
	case KindPromotion:
		return Promotion, PromotionInput{AgentID: row.AgentID, ReplicaID: key}, nil
	case KindRemoval:
		return Removal, RemovalInput{AgentID: row.AgentID}, nil
	case KindAdoption:
		return Adoption, AdoptionInput{AgentID: row.AgentID, InstanceID: key}, nil
	default:
		return nil, nil, NoOperation.New("there is no operation %s", row.ID)
	}
}

// ReplicaReport passes on what an agent says of a replica. Fails with
// replica.not_found when its workflow has ended.
func (c *Client) ReplicaReport(ctx context.Context, in ReplicaReport) error {
	err := c.signal(ctx, ReplicaID(in.ReplicaID), SignalReport, in)
	if fault.Is(err, NoOperation) {
		return replica.NotFound.Wrap(err, "nothing waits for a report about replica %s", in.ReplicaID)
	}
	return err
}

// Report passes an agent's report on. It implements activities.Messenger.
func (c *Client) Report(ctx context.Context, in activities.Report) error {
	return ignoreEnded(c.signal(ctx, ReplicaID(in.ReplicaID), SignalReport, ReplicaReport{
		ReplicaID: in.ReplicaID, InstanceID: in.InstanceID, Status: in.Status}))
}

// guardian gives the options under which any message starts a Guardian: join
// the one that runs, else start the next.
func (c *Client) guardian(ctx context.Context, agentID, reason string) client.StartWorkflowOptions {
	name := c.nameOf(ctx, agentID)
	return client.StartWorkflowOptions{
		ID:                       GuardianID(agentID),
		TaskQueue:                c.Queue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:            "guardian of " + titleOf(name, agentID),
		TypedSearchAttributes:    attributes("", agentID, name, reason),
	}
}

func (c *Client) nameOf(ctx context.Context, agentID string) string {
	if c.NameOf == nil || agentID == "" {
		return ""
	}
	return c.NameOf(ctx, agentID)
}

// titleOf is how summaries name an agent: by its name, with the id that the API takes.
func titleOf(name, agentID string) string {
	if name == "" || name == agentID {
		return agentID
	}
	return name + " (" + agentID + ")"
}

// health is what is known of Temporal, shared by all who wait for it, so that a
// thousand waiting callers ask once.
type health struct {
	mu  sync.Mutex
	at  time.Time
	err error
}
