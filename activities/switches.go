package activities

import (
	"context"

	"spotkeeper/internal/switching"
)

// SwitchStore is the part of postgres.Switches that switch activities use.
type SwitchStore interface {
	RecordPhase(ctx context.Context, in SwitchPhase) error
	CloseCommand(ctx context.Context, in CommandResult) error
}

// Switches keep the history of switches and the commands that ordered them. They
// are local activities; each sets a level, so twice is once.
type Switches struct{ Store SwitchStore }

// SwitchPhase is how far a switch is. The first one, launching, makes the row
// from the command and the agent's primary.
type SwitchPhase struct {
	CommandID   string          `json:"command_id"`
	AgentID     string          `json:"agent_id"`
	OperationID string          `json:"operation_id"`
	Phase       switching.Phase `json:"phase"`
	Trigger     string          `json:"trigger,omitempty"`
	OldID       string          `json:"old_id,omitempty"`
	NewID       string          `json:"new_id,omitempty"`
	Code        string          `json:"code,omitempty"` // why it was abandoned
}

// CommandResult closes a command.
type CommandResult struct {
	CommandID string `json:"command_id"`
	Status    string `json:"status"` // completed, failed, cancelled
	Message   string `json:"message,omitempty"`
}

// RecordSwitch records a phase; phases only go forward.
func (s *Switches) RecordSwitch(ctx context.Context, in SwitchPhase) error {
	return s.Store.RecordPhase(ctx, in)
}

// CloseCommand ends a command; one that has ended keeps its result.
func (s *Switches) CloseCommand(ctx context.Context, in CommandResult) error {
	return s.Store.CloseCommand(ctx, in)
}
