package agents

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/approval"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/agents"
	"spotkeeper/workflows"
)

// DecisionWorkflows is the part of workflows.Client that decisions are carried
// out by.
type DecisionWorkflows interface {
	RequestSwitch(
		ctx context.Context,
		agentID string,
		in workflows.RequestSwitchInput,
	) (*workflows.OperationAnswer, error)
	EmergencyReplica(ctx context.Context, agentID string, in workflows.EmergencyInput) (*workflows.ReplicaAnswer, error)
}

type issueRequest struct {
	web.AgentPath
	TargetMode string `json:"target_mode"    binding:"max=20"`
	PoolID     string `json:"target_pool_id" binding:"max=100"`
	Priority   *int   `json:"priority"       binding:"omitempty,min=0,max=100"`
	Reason     string `json:"reason"`
}

type issueAnswer struct {
	Success     bool       `json:"success"`
	CommandID   string     `json:"command_id,omitempty"`
	OperationID string     `json:"operation_id,omitempty"`
	Href        string     `json:"href,omitempty"`
	AgentID     string     `json:"agent_id,omitempty"`
	TargetMode  agent.Mode `json:"target_mode,omitempty"`
	PoolID      *string    `json:"target_pool_id,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	Message     string     `json:"message"`
	AutoSwitch  *bool      `json:"auto_switch_enabled,omitempty"`
	CurrentMode agent.Mode `json:"current_mode,omitempty"`
	CurrentPool *string    `json:"current_pool_id,omitempty"`
	status      int
}

// Status implements Statused.
func (a *issueAnswer) Status() int { return a.status }

// issueCommand moves an agent at the request of an engine, or of a person in its place.
// The move is voluntary, so the limits hold.
func (d *Decisions) issueCommand(ctx context.Context, in *issueRequest) (*issueAnswer, error) {
	clientID := web.PrincipalFrom(ctx).ClientID
	settings, err := d.Settings.Config(ctx, clientID, in.AgentID)
	if err != nil {
		return nil, err
	}
	if err := mayBeMoved(settings); err != nil {
		return nil, err
	}
	target := switching.Target{Mode: agent.Mode(in.TargetMode), PoolID: in.PoolID}
	if target.Mode == agent.OnDemand {
		target.PoolID = ""
	}
	if err := target.Validate(); err != nil {
		return nil, err
	}
	facts, err := d.input(ctx, in.AgentID)
	if err != nil {
		return nil, err
	}
	if facts.Instance.IsAt(target.Mode, target.PoolID) {
		return &issueAnswer{
			Message:     "Agent already in target state",
			CurrentMode: facts.Instance.Mode,
			CurrentPool: web.NilIfEmpty(facts.Instance.PoolID),
			status:      http.StatusOK,
		}, nil
	}
	if err := d.checkTarget(ctx, facts, target); err != nil {
		return nil, err
	}
	reason := cmp.Or(shortened(in.Reason, 500), "Manual command")
	priority := switching.PriorityDefault
	if in.Priority != nil {
		priority = *in.Priority
	}
	moves := &workflows.SwitchOrders{Commands: d.Commands, Guardians: d.Workflows}
	moved, err := moves.OrderSwitch(ctx, switching.SwitchRequest{
		AgentID:   in.AgentID,
		Target:    target,
		Priority:  priority,
		By:        web.ActorName(ctx),
		Reason:    reason,
		Voluntary: true,
		Kind:      approval.Requested,
		Notify: "Switch command issued to " + cmp.Or(settings.Hostname,
			settings.LogicalAgentID) + ": " + string(target.Mode),
	})
	d.opinion(ctx, facts, moved, err)
	if err != nil {
		return nil, err
	}
	on := true
	return &issueAnswer{
		Success:     true,
		CommandID:   moved.CommandID,
		OperationID: moved.OperationID,
		Href:        web.OperationHref(moved.OperationID),
		AgentID:     in.AgentID,
		TargetMode:  target.Mode,
		PoolID:      web.NilIfEmpty(target.PoolID),
		Reason:      reason,
		AutoSwitch:  &on,
		status:      http.StatusCreated,
		Message:     "Switch command queued. Agent will execute on next heartbeat.",
	}, nil
}

// opinion keeps what the engine thinks of an agent that a person or another process has moved,
// and what became of the order. The order stands whether it can be kept or not.
func (d *Decisions) opinion(ctx context.Context, facts engine.Input, moved *switching.StartedSwitch, refused error) {
	r := engine.Record{
		Input:    facts,
		Decision: engine.Decide(ctx, d.engineFor(facts.Agent.ID), facts),
		Source:   engine.ByCommand,
		Outcome:  string(fault.CodeOf(refused)),
	}
	if moved != nil {
		r.Outcome, r.CommandID = engine.OutcomeOrdered, moved.CommandID
	}
	if err := d.Store.Keep(ctx, r); err != nil {
		web.LoggerFrom(ctx).WarnContext(ctx, "the decision behind a command was not kept", "agent_id", facts.Agent.ID,
			"error", err)
	}
}

// mayBeMoved refuses agents that only a person may move.
func mayBeMoved(c *agents.AgentConfig) error {
	switch {
	case c.Status == agent.StatusDeleted:
		return agent.NotFound.New("Agent not found")
	case !c.Enabled:
		return agent.Disabled.New("Agent is disabled").With("hint", "Enable the agent first")
	case c.Keeping != agent.KeepAuto:
		return agent.AutoOff.New("Auto-switch is disabled for this agent").With("auto_switch_enabled", false).
			With("hint", "Enable auto_switch_enabled in agent settings, or use manual switch from UI")
	}
	return nil
}

// checkTarget refuses a pool that is not known, or not one for this instance: an agent
// would launch something else and call it that.
func (d *Decisions) checkTarget(ctx context.Context, facts engine.Input, target switching.Target) error {
	if target.Mode != agent.Spot {
		return nil
	}
	pool, err := d.Pools.Pool(ctx, target.PoolID)
	if err != nil {
		return err
	}
	if pool.InstanceType != facts.Instance.Type || pool.Region != facts.Instance.Region {
		return replica.WrongType.New("The pool is of another instance type or region").With("agent_type",
			facts.Instance.Type).With("pool_type", pool.InstanceType)
	}
	return nil
}

type rebalanceRequest struct {
	web.AgentPath
	InstanceID string          `json:"instance_id" binding:"required,max=64"`
	DetectedAt *web.NoticeTime `json:"detected_at"`
}

type rebalanceAnswer struct {
	Success    bool       `json:"success"`
	Action     string     `json:"action"`
	Risk       float64    `json:"risk_score"`
	Reason     string     `json:"reason"`
	TargetMode agent.Mode `json:"target_mode,omitempty"`
	TargetPool string     `json:"target_pool_id,omitempty"`
	TargetName string     `json:"target_pool_name,omitempty"`
	ReplicaID  string     `json:"replica_id,omitempty"`
	Operation  string     `json:"operation_id,omitempty"`
}

// rebalance makes the notice durable, asks for the emergency replica of auto mode
// and answers what agents know: whether to expect a switch. Some agents say it
// again every half minute; only the first is news.
func (d *Decisions) rebalance(ctx context.Context, in *rebalanceRequest) (*rebalanceAnswer, error) {
	facts, err := d.input(ctx, in.AgentID)
	if err != nil {
		return nil, err
	}
	notice := interruption.Notice{
		AgentID:    in.AgentID,
		InstanceID: in.InstanceID,
		Kind:       interruption.Rebalance,
		Door:       "http",
	}
	known, err := d.Notices.Take(ctx, facts.Agent.ClientID, notice, roles.JudgeNotice)
	if err != nil {
		return nil, unknownAgent(err)
	}
	judged := engine.JudgeRebalance(facts.Now, facts.Instance, facts.Pools, facts.Limits.RiskThreshold)
	out := &rebalanceAnswer{Success: true, Action: judged.Action, Risk: judged.Risk, Reason: judged.Reason}
	if t := judged.Target; t != nil {
		out.TargetMode, out.TargetPool, out.TargetName = agent.Spot, t.ID, web.PoolName(t.Type, t.AZ)
	}
	if known.Role == agent.Primary && !known.Delivered && known.Outcome.Result == interruption.Undecided &&
		facts.Agent.AutoSwitch && facts.Agent.Enabled {
		d.prepare(ctx, in.AgentID, in.InstanceID, known.Outcome.Deadline, out)
	}
	return out, nil
}

// prepare asks for a replica. The notice is durable and the roles are due for a
// review: when the Guardian cannot be reached now, the sweep wakes it later.
func (d *Decisions) prepare(ctx context.Context, agentID, instanceID string, deadline time.Time, out *rebalanceAnswer) {
	ctx, cancel := context.WithTimeout(ctx, signalTimeout)
	defer cancel()
	answer, err := d.Workflows.EmergencyReplica(ctx, agentID, workflows.EmergencyInput{
		InstanceID: instanceID,
		Kind:       interruption.Rebalance,
		Deadline:   deadline,
	})
	if err != nil {
		web.LoggerFrom(ctx).WarnContext(ctx, "an emergency replica was not asked for yet", "agent_id", agentID,
			"instance_id", instanceID, "error", err)
		return
	}
	out.ReplicaID, out.Operation = answer.ReplicaID, answer.OperationID
}
