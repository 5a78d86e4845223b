package activities

import (
	"context"
	"time"

	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
)

// SwitchStore is the part of postgres.Switches that switch activities use.
type SwitchStore interface {
	Switch(ctx context.Context, agentID, switchID string) (*SwitchFacts, error)
	RecordPhase(ctx context.Context, in SwitchPhase) error
	CloseCommand(ctx context.Context, in CommandResult) error
}

// Switches keep the history of switches and the commands that ordered them. They
// are local activities; each sets a level, so a second run changes nothing.
type Switches struct{ Store SwitchStore }

// LoadSwitchInput names a switch.
type LoadSwitchInput struct {
	AgentID  string `json:"agent_id"`
	SwitchID string `json:"switch_id"` // the command's; of a move that nothing ordered, the new instance's
}

// SwitchFacts are how a switch stands in Postgres.
type SwitchFacts struct {
	AgentID       string `json:"agent_id"`
	LogicalID     string `json:"logical_id"`
	Epoch         int64  `json:"epoch"`
	Primary       string `json:"primary"` // at present
	AutoTerminate bool   `json:"auto_terminate"`
	Deleted       bool   `json:"deleted"` // the agent was removed

	// Ordered says that there is a command. Otherwise the agent moved by itself.
	Ordered bool             `json:"ordered"`
	Status  string           `json:"status"`            // of the command: pending, completed, failed, cancelled
	Message string           `json:"message,omitempty"` // why it ended so
	Target  switching.Target `json:"target"`
	Reason  string           `json:"reason,omitempty"`
	Trigger string           `json:"trigger"`
	KeepOld time.Duration    `json:"keep_old"` // how long the old instance is kept; zero: for good
	OldID   string           `json:"old_id"`   // the primary that it was meant for

	Phase    switching.Phase `json:"phase"`              // as recorded; empty: it has not begun
	Code     string          `json:"code,omitempty"`     // why it was abandoned
	NewID    string          `json:"new_id,omitempty"`   // the instance that the agent has named
	Reported bool            `json:"reported,omitempty"` // the agent says that it has moved

	// Speaks says that a heartbeat from the new instance is expected: the primary's agent
	// sends heartbeats, and so did the agents on the instances before it.
	Speaks bool `json:"speaks,omitempty"`

	Replica SwitchReplica `json:"replica"`          // zero: not decided on
	Change  *SwitchChange `json:"change,omitempty"` // the cut-over, once it is made

	Noticed    bool `json:"noticed"`     // the present primary waits for a successor
	FailedOver bool `json:"failed_over"` // a failover replaced the primary that it was meant for
	Replaced   bool `json:"replaced"`    // another instance is the primary than this switch may replace
}

// SwitchReplica is the replica of a switch, whatever became of it.
type SwitchReplica struct {
	ID         string        `json:"id"`
	State      replica.State `json:"state"`
	InstanceID string        `json:"instance_id,omitempty"`
	Code       string        `json:"code,omitempty"` // why it failed
	Error      string        `json:"error,omitempty"`
	Heard      bool          `json:"heard,omitempty"`     // the agent on the instance has spoken
	ReadyFor   time.Duration `json:"ready_for,omitempty"` // since it was ready, by the database's clock
}

// SwitchChange is a cut-over that was made.
type SwitchChange struct {
	OldID     string        `json:"old_id"`
	NewID     string        `json:"new_id"`
	ReplicaID string        `json:"replica_id"`
	EndedBy   string        `json:"ended_by"` // who ends the old instance: us, agent; otherwise it is kept
	OldGone   bool          `json:"old_gone"` // it has ended
	KeepLeft  time.Duration `json:"keep_left"`
}

// OldPrimary decides on the old instance when the control plane launched the new one.
func (f *SwitchFacts) OldPrimary() roles.OldPrimaryPolicy {
	if f.KeepOld == 0 {
		return roles.KeepOld
	}
	return (&roles.AgentRoles{AutoTerminate: f.AutoTerminate}).OldPrimary(false)
}

// AwaitsWord says whether the new instance is ready but its agent has sent no heartbeat yet.
// Status checks also pass on an instance whose workload never started.
func (f *SwitchFacts) AwaitsWord() bool {
	return f.Replica.State == replica.Ready && f.Speaks && !f.Replica.Heard
}

// OldPrimaryOfAgent is what becomes of the old instance when the agent launched the
// new one: the agent ends it itself.
func (f *SwitchFacts) OldPrimaryOfAgent() roles.OldPrimaryPolicy {
	if !f.AutoTerminate || f.Ordered && f.KeepOld == 0 {
		return roles.KeepOld
	}
	return roles.LeaveOld
}

// LoadSwitch reads the state of a switch. Fails with switch.command_not_found when
// nothing ordered it and no agent reported it.
func (s *Switches) LoadSwitch(ctx context.Context, in LoadSwitchInput) (*SwitchFacts, error) {
	return s.Store.Switch(ctx, in.AgentID, in.SwitchID)
}

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
