package activities

import (
	"context"
	"time"
)

// OperationStore is the part of postgres.Operations that activities use.
type OperationStore interface {
	Begin(ctx context.Context, in BeginOperation) error
	Step(ctx context.Context, in OperationStep) error
	End(ctx context.Context, in EndOperation) error
}

// Operations project what workflows do into Postgres, where pages read it. They
// are local activities. Rows are keyed by the workflow's id, run and step, so a
// step that is told twice is one row.
type Operations struct{ Store OperationStore }

// BeginOperation opens an operation, or opens it again when its workflow was
// started again.
type BeginOperation struct {
	ID         string     `json:"id"`   // the workflow's
	Kind       string     `json:"kind"` // switch, replica, termination, promotion, removal
	AgentID    string     `json:"agent_id"`
	Summary    string     `json:"summary"`
	Cause      string     `json:"cause,omitempty"`
	InstanceID string     `json:"instance_id,omitempty"`
	ReplicaID  string     `json:"replica_id,omitempty"`
	Deadline   *time.Time `json:"deadline,omitempty"`
}

// OperationStep is one line of an operation's timeline, and with it its phase.
type OperationStep struct {
	OperationID   string   `json:"operation_id"`
	RunID         string   `json:"run_id"`
	Seq           int      `json:"seq"`
	Name          string   `json:"name"`
	Status        string   `json:"status"` // started, done, failed, dropped
	Detail        string   `json:"detail,omitempty"`
	SecondsLeft   *float64 `json:"seconds_left,omitempty"`
	Phase         string   `json:"phase,omitempty"` // empty: unchanged
	NewInstanceID string   `json:"new_instance_id,omitempty"`
	ReplicaID     string   `json:"replica_id,omitempty"`
}

// EndOperation closes an operation.
type EndOperation struct {
	OperationID string `json:"operation_id"`
	State       string `json:"state"` // succeeded, failed, cancelled
	Phase       string `json:"phase,omitempty"`
	Summary     string `json:"summary,omitempty"`
	Code        string `json:"code,omitempty"`
	Error       string `json:"error,omitempty"`
	// Notify, when set, is told to the client, once per operation.
	Notify   string `json:"notify,omitempty"`
	Severity string `json:"severity,omitempty"`
}

// OpenOperation begins an operation.
func (o *Operations) OpenOperation(ctx context.Context, in BeginOperation) error {
	return o.Store.Begin(ctx, in)
}

// RecordStep adds a line to an operation's timeline.
func (o *Operations) RecordStep(ctx context.Context, in OperationStep) error {
	return o.Store.Step(ctx, in)
}

// RecordSteps adds lines that were written one right after the other.
func (o *Operations) RecordSteps(ctx context.Context, in []OperationStep) error {
	for _, step := range in {
		if err := o.Store.Step(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// CloseOperation ends an operation.
func (o *Operations) CloseOperation(ctx context.Context, in EndOperation) error {
	return o.Store.End(ctx, in)
}
