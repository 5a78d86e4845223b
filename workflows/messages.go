package workflows

import (
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
)

// Ways in which a message to a workflow can fail.
var (
	Unreachable = fault.Define("workflow.unreachable", fault.Unavailable) // Temporal did not take the message in time
	NoOperation = fault.Define("operation.not_found", fault.NotFound)     // no such workflow, or its history is gone
	Committed   = fault.Define("operation.committed", fault.Conflict)     // past its point of no return
)

// What a Guardian understands. Each update takes the input and gives the answer
// named behind it; each input has a validate method that judges form only,
// because the first message of a run is validated before anything can be read.
const (
	UpdateTerminationNotice = "termination-notice" // NoticeInput, NoticeAnswer
	UpdateEmergencyReplica  = "emergency-replica"  // EmergencyInput, ReplicaAnswer
	UpdateCreateReplica     = "create-replica"     // CreateReplicaInput, ReplicaAnswer
	UpdatePromote           = "promote"            // PromoteInput, PromoteAnswer
	UpdateDeleteReplica     = "delete-replica"     // DeleteReplicaInput, ReplicaAnswer
	UpdateRequestSwitch     = "request-switch"     // RequestSwitchInput, OperationAnswer
	UpdateConfigure         = "configure"          // ConfigureInput, ConfigureAnswer
	UpdateRemoveAgent       = "remove-agent"       // RemoveAgentInput, OperationAnswer
	SignalWake              = "wake"               // carries no fact: look again
	QueryState              = "state"              // GuardianState
)

// NoticeInput says that an instance is about to end.
type NoticeInput struct {
	InstanceID string        `json:"instance_id"`
	Deadline   time.Time     `json:"deadline"`             // zero: two minutes from now
	ReplicaID  string        `json:"replica_id,omitempty"` // the successor the agent asks for; empty: choose
	Wait       time.Duration `json:"wait"`                 // answer by then, whatever the outcome
}

// NoticeStatus is how far a failover is.
type NoticeStatus string

// How a notice is answered.
const (
	NoticePromoted   NoticeStatus = "promoted"    // another instance is primary
	NoticeInProgress NoticeStatus = "in_progress" // our launcher is at it: ask again
	NoticeNoReplica  NoticeStatus = "no_replica"  // the agent launches, and there is nothing yet
	NoticeNotPrimary NoticeStatus = "not_primary" // nothing to do
	NoticeLost       NoticeStatus = "lost"        // the deadline passed without a successor
)

// NoticeAnswer answers UpdateTerminationNotice.
type NoticeAnswer struct {
	Status      NoticeStatus `json:"status"`
	OperationID string       `json:"operation_id"`
	ReplicaID   string       `json:"replica_id,omitempty"`
	NewPrimary  string       `json:"new_primary,omitempty"`
}

// EmergencyInput asks for a replica because an instance is in danger. Asking
// again with the same instance and kind answers the same replica.
type EmergencyInput struct {
	InstanceID string            `json:"instance_id"`
	Kind       interruption.Kind `json:"kind"`
	Deadline   time.Time         `json:"deadline"`       // of a termination notice
	Hold       time.Duration     `json:"hold,omitempty"` // zero: as the kind says
}

// CreateReplicaInput asks for the standby of manual mode, or reports one that the
// agent has launched already (InstanceID).
type CreateReplicaInput struct {
	Plan       replica.Plan      `json:"plan"`
	CreatedBy  string            `json:"created_by"`
	Tags       map[string]string `json:"tags,omitempty"`
	InstanceID string            `json:"instance_id,omitempty"`
	Kind       replica.Kind      `json:"kind,omitempty"` // of an instance that exists: manual or rebalance
	ParentID   string            `json:"parent_id,omitempty"`
	Ready      bool              `json:"ready,omitempty"`      // it runs and is ready, says the agent
	RequestID  string            `json:"request_id,omitempty"` // of the caller; a repeated request answers the same replica
}

// ReplicaAnswer names a replica.
type ReplicaAnswer struct {
	ReplicaID   string        `json:"replica_id"`
	State       replica.State `json:"state"`
	InstanceID  string        `json:"instance_id,omitempty"`
	OperationID string        `json:"operation_id"`
	Existing    bool          `json:"existing,omitempty"` // an older decision answered
}

// PromoteInput makes a replica primary at a person's request.
type PromoteInput struct {
	ReplicaID string        `json:"replica_id"`
	Demote    bool          `json:"demote"` // the old primary becomes the standby
	Wait      time.Duration `json:"wait"`   // for a replica that is not ready yet
	By        string        `json:"by,omitempty"`
	RequestID string        `json:"request_id,omitempty"`
	// AcceptSilent promotes although the agent on the replica has sent no heartbeat.
	AcceptSilent bool `json:"accept_silent,omitempty"`
}

// PromoteAnswer answers UpdatePromote. Changed is false while a Promotion waits.
type PromoteAnswer struct {
	OperationID string    `json:"operation_id"`
	Changed     bool      `json:"changed"`
	OldPrimary  string    `json:"old_primary"`
	NewPrimary  string    `json:"new_primary,omitempty"`
	At          time.Time `json:"at"`
	Silent      bool      `json:"silent,omitempty"` // the agent on the replica has sent no heartbeat
}

// DeleteReplicaInput retires a replica.
type DeleteReplicaInput struct {
	ReplicaID string `json:"replica_id"`
	By        string `json:"by,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// RequestSwitchInput asks to move the agent. CommandID makes it idempotent; the
// command row exists already, and says what becomes of the old instance.
type RequestSwitchInput struct {
	CommandID string           `json:"command_id"`
	Target    switching.Target `json:"target"`
	Reason    string           `json:"reason"`
	Trigger   string           `json:"trigger"` // manual, model, agent
}

// OperationAnswer names the workflow that carries on.
type OperationAnswer struct {
	OperationID string `json:"operation_id"`
}

// ConfigureInput sets how an agent keeps replicas.
type ConfigureInput struct {
	Keeping   agent.StandbyMode `json:"keeping"`
	By        string            `json:"by,omitempty"`
	RequestID string            `json:"request_id,omitempty"`
}

// ConfigureAnswer is what is stored now.
type ConfigureAnswer struct {
	Keeping agent.StandbyMode `json:"keeping"`
}

// RemoveAgentInput ends an agent: its replicas are retired, what we launched for
// it is terminated, and its row says deleted.
type RemoveAgentInput struct {
	By        string `json:"by,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// GuardianState answers QueryState.
type GuardianState struct {
	Roles    *roles.AgentRoles `json:"roles,omitempty"` // as last read
	Phase    string            `json:"phase"`
	Switch   string            `json:"switch,omitempty"` // operation in flight
	InFlight int               `json:"in_flight"`
}

// ReplicaReport is an agent's report on a replica that it launched, or that it runs on.
// It reaches the Replica as a signal; the Replica changes the row.
type ReplicaReport struct {
	ReplicaID  string `json:"replica_id"`
	InstanceID string `json:"instance_id,omitempty"`
	Status     string `json:"status"` // launching, syncing, ready, failed, terminated
	Message    string `json:"message,omitempty"`
}

// What an operation understands: a Switch, Replica, Termination, Promotion or Removal.
const (
	QueryProgress = "progress" // Progress
	UpdateCancel  = "cancel"   // CancelInput, OperationAnswer; refused past the point of no return
	SignalNews    = "news"     // carries no fact: read the row again
	SignalReport  = "report"   // ReplicaReport, to a Replica
)

// CancelInput calls an operation off.
type CancelInput struct {
	By string `json:"by,omitempty"`
}

// Progress answers QueryProgress: one operation in its present state. Lists and pages
// read the projection in Postgres instead.
type Progress struct {
	OperationID   string         `json:"operation_id"`
	Kind          string         `json:"kind"`
	AgentID       string         `json:"agent_id"`
	Phase         string         `json:"phase"`
	Detail        string         `json:"detail,omitempty"`
	Committed     bool           `json:"committed"` // past the point of no return: it can only go forward
	Deadline      *time.Time     `json:"deadline,omitempty"`
	ReplicaID     string         `json:"replica_id,omitempty"`
	InstanceID    string         `json:"instance_id,omitempty"`
	NewInstanceID string         `json:"new_instance_id,omitempty"`
	Steps         []ProgressStep `json:"steps"`
}

// ProgressStep is one line of an operation's timeline.
type ProgressStep struct {
	Name        string    `json:"name"`
	Status      string    `json:"status"`
	Detail      string    `json:"detail,omitempty"`
	At          time.Time `json:"at"`
	SecondsLeft *float64  `json:"seconds_left,omitempty"`
}
