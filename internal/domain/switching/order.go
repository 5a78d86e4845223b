package switching

import (
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/approval"
)

// SwitchRequest is a switch that a person or an engine requests.
type SwitchRequest struct {
	// ID is the command's; empty makes a new one. The same id again is the same
	// order, also when that order has ended.
	ID       string
	AgentID  string
	Target   Target
	Priority int
	// TerminateWait is how many seconds the old instance is kept; 0 keeps it for good. Nil takes
	// the agent's setting: with auto-terminate on a setting of 0 means at once, and is
	// ordered as one second, because deployed agents read 0 as "keep".
	TerminateWait *int
	By            string
	Reason        string
	Notify        string // the notification for the client; empty: none
	// Voluntary says that limits and pauses hold. They are judged in the
	// transaction of the order, so that orders made at once do not overshoot.
	Voluntary bool
	// Kind is that of a voluntary move; empty: that of an engine's move to the target.
	Kind approval.Kind
}

// SwitchCommand is an order as it stands.
type SwitchCommand struct {
	ID            string
	ClientID      string
	AgentID       string
	InstanceID    string // the primary that it was meant for
	Launcher      agent.Launcher
	TargetMode    agent.Mode
	TargetPoolID  *string
	Priority      int
	TerminateWait int // seconds; 0: keep the old instance
	Status        string
	CreatedAt     time.Time
}

// Pending is the status of a command that is not over.
const Pending = "pending"

// StartedSwitch is an order that the agent's Guardian has taken.
type StartedSwitch struct {
	CommandID   string
	OperationID string
}

// TriggerOf names who wanted a switch as deployed agents do.
func TriggerOf(priority int) string {
	if priority >= PriorityUrgent {
		return "manual"
	}
	return "model"
}
