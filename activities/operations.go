package activities

import (
	"context"
	"time"
)

// OperationStore is the part of postgres.Operations that activities use.
type OperationStore interface {
	Save(ctx context.Context, in OperationProgress) error
}

// Operations write how far workflows are into Postgres, where pages read it. They are
// local activities. Rows are keyed by the workflow's id, run and step, so a
// second write changes the same row.
type Operations struct{ Store OperationStore }

// OperationProgress is how far an operation is. What is empty stays as it was.
type OperationProgress struct {
	ID            string          `json:"id"`   // the workflow's
	Kind          string          `json:"kind"` // switch, replica, termination, promotion, removal
	AgentID       string          `json:"agent_id"`
	Summary       string          `json:"summary,omitempty"`
	Cause         string          `json:"cause,omitempty"`
	InstanceID    string          `json:"instance_id,omitempty"`
	ReplicaID     string          `json:"replica_id,omitempty"`
	NewInstanceID string          `json:"new_instance_id,omitempty"`
	Deadline      *time.Time      `json:"deadline,omitempty"`
	Phase         string          `json:"phase,omitempty"`
	RunID         string          `json:"run_id"`
	Steps         []OperationStep `json:"steps,omitempty"` // since the last time
	End           *OperationEnd   `json:"end,omitempty"`

	// Warn is a notification to the client while the operation continues, once per
	// operation; empty: none.
	Warn string `json:"warn,omitempty"`
}

// OperationStep is one line of an operation's timeline.
type OperationStep struct {
	Seq         int       `json:"seq"`
	Name        string    `json:"name"`
	Status      string    `json:"status"` // started, done, failed, dropped
	Detail      string    `json:"detail,omitempty"`
	SecondsLeft *float64  `json:"seconds_left,omitempty"`
	At          time.Time `json:"at"`
}

// OperationEnd is how an operation ended; it closes its row.
type OperationEnd struct {
	State    string `json:"state"` // succeeded, failed, cancelled
	Phase    string `json:"phase,omitempty"`
	Summary  string `json:"summary,omitempty"`
	Code     string `json:"code,omitempty"`
	Error    string `json:"error,omitempty"`
	Notify   string `json:"notify,omitempty"` // a notification to the client, once per operation; empty: none
	Severity string `json:"severity,omitempty"`

	// NotifyKey makes the notification the same as that of another operation: of two
	// with one key the client gets the first. Empty: the operation's own.
	NotifyKey string `json:"notify_key,omitempty"`
}

// SaveOperation writes the whole progress of an operation since the last time.
func (o *Operations) SaveOperation(ctx context.Context, in OperationProgress) error {
	return o.Store.Save(ctx, in)
}
