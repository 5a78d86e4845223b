package agents

import (
	"context"
	"net/http"

	"spotkeeper/activities"
	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows"
)

// CommandStore is the part of postgres.Commands that agents' routes use.
type CommandStore interface {
	Deliver(ctx context.Context, clientID, agentID, from string) ([]switching.SwitchCommand, error)
	Complete(ctx context.Context, clientID, agentID, commandID string, outcome switching.CommandOutcome) (
		command *switching.SwitchCommand, news bool, err error)
}

// SwitchReportStore is the part of postgres.SwitchReports that reports are kept by.
type SwitchReportStore interface {
	Record(ctx context.Context, r switching.Report) (*switching.Reported, error)
}

// Commands serves the agents that perform switches themselves: what they are to
// do, and what they did.
type Commands struct {
	Store     CommandStore
	Reports   SwitchReportStore
	Workflows AgentWorkflows
}

// Routes lists the endpoints.
func (c *Commands) Routes() []web.Route {
	const one = "/api/agents/:agent_id"
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     one + "/pending-commands",
			ID:       "pendingCommands",
			Summary:  "Lease the command that an agent is to perform next",
			Auth:     web.Agent,
			Own:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(c.pending),
			Quiet:    true,
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/commands/:command_id/executed",
			ID:       "commandExecuted",
			Summary:  "Tell how a command went",
			Auth:     web.Agent,
			Own:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(c.executed),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/mark-command-executed",
			ID:       "markCommandExecuted",
			Summary:  "Tell that a command was performed, as old agents do",
			Auth:     web.Agent,
			Status:   200,
			Endpoint: web.NewEndpoint(c.markExecuted),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/switch-report",
			ID:       "reportSwitch",
			Summary:  "Tell how a switch went that an agent performed",
			Auth:     web.Agent,
			Status:   200,
			Endpoint: web.NewEndpoint(c.report),
		},
	}
}

// pendingCommand has numbers where deployed agents calculate: null in their place
// makes an agent forget to report what it has launched.
type pendingCommand struct {
	ID            string     `json:"id"`
	InstanceID    string     `json:"instance_id"`
	Type          string     `json:"command_type"`
	TargetMode    agent.Mode `json:"target_mode"`
	TargetPoolID  *string    `json:"target_pool_id"`
	Priority      int        `json:"priority"`
	TerminateWait int        `json:"terminate_wait_seconds"`
	CreatedAt     web.Time   `json:"created_at"`
}

func (c *Commands) pending(ctx context.Context, in *web.AgentPath) (*[]pendingCommand, error) {
	p := web.PrincipalFrom(ctx)
	found, err := c.Store.Deliver(ctx, p.ClientID, in.AgentID, p.InstanceID)
	if err != nil {
		return nil, err
	}
	out := make([]pendingCommand, 0, len(found))
	for _, x := range found {
		out = append(out, pendingCommand{
			ID:            x.ID,
			InstanceID:    x.InstanceID,
			Type:          "switch",
			TargetMode:    x.TargetMode,
			TargetPoolID:  x.TargetPoolID,
			Priority:      x.Priority,
			TerminateWait: x.TerminateWait,
			CreatedAt:     web.TimeOf(x.CreatedAt),
		})
	}
	return &out, nil
}

type executedRequest struct {
	web.AgentPath
	CommandID string    `json:"-" uri:"command_id"`
	Success   *web.Bool `json:"success" doc:"by default true"`
	Message   string    `json:"message"`
}

func (c *Commands) executed(ctx context.Context, in *executedRequest) (*web.Success, error) {
	went := in.Success.Or(true)
	return c.complete(ctx, in.AgentID, in.CommandID, switching.CommandOutcome{
		Success: &went,
		Message: shortened(in.Message, 2000),
	})
}

type markRequest struct {
	web.AgentPath
	CommandID web.Text `json:"command_id" binding:"required,max=64"`
}

// markExecuted accepts the message that old agents send after every command, successful or
// not. The success of a switch is in its report, which they send before.
func (c *Commands) markExecuted(ctx context.Context, in *markRequest) (*web.Success, error) {
	return c.complete(ctx, in.AgentID, string(in.CommandID), switching.CommandOutcome{})
}

func (c *Commands) complete(
	ctx context.Context,
	agentID, commandID string,
	outcome switching.CommandOutcome,
) (*web.Success, error) {
	p := web.PrincipalFrom(ctx)
	outcome.From = p.InstanceID
	command, news, err := c.Store.Complete(ctx, p.ClientID, agentID, commandID, outcome)
	if err != nil {
		return nil, err
	}
	if news {
		c.sendSwitchNews(ctx, agentID, command.ID, command.Launcher)
	}
	return web.Done, nil
}

// sendSwitchNews has the switch read what is durable now. When that fails, the sweep of open
// operations starts the switch, or the running one reads its rows again by itself.
func (c *Commands) sendSwitchNews(ctx context.Context, agentID, switchID string, launcher agent.Launcher) {
	bounded, cancel := context.WithTimeout(ctx, signalTimeout)
	defer cancel()
	id := workflows.SwitchID(switchID)
	if err := c.Workflows.Nudge(bounded, activities.Nudge{
		OperationID: id,
		AgentID:     agentID,
		Start:       true,
		Launcher:    launcher,
	}); err != nil {
		web.LoggerFrom(ctx).WarnContext(ctx, "a switch reads late what its agent reports", "agent_id", agentID,
			"operation_id", id, "error", err)
	}
}
