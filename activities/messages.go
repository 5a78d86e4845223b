package activities

import (
	"context"

	"spotkeeper/internal/domain/agent"
)

// Messenger is the part of workflows.Client that workflows need of each other.
type Messenger interface {
	Wake(ctx context.Context, agentID, why string) error
	Nudge(ctx context.Context, in Nudge) error
	StartOperation(ctx context.Context, row OpenRow) (started bool, err error)
	Report(ctx context.Context, in Report) error
}

// Messages are the steps by which one workflow reaches another that may have ended.
// An external signal cannot start its target and is dropped when its sender ends
// before the server delivers it; a local step is done when it returns.
//
// A message carries no fact: its receiver reads its row. So a message may be lost,
// late or doubled, and the sweep makes up for a lost one.
type Messages struct {
	Workflows Messenger
	Slots     Slots // for what waits for Temporal
}

// WakeInput is the input of WakeGuardian.
type WakeInput struct {
	AgentID string `json:"agent_id"`
	Why     string `json:"why"`
}

// WakeGuardian makes the agent's Guardian read the roles and judge again, starting it
// if need be. A second wake finds nothing to do.
func (m *Messages) WakeGuardian(ctx context.Context, in WakeInput) error {
	return m.Slots.Run(ctx, func() error { return m.Workflows.Wake(ctx, in.AgentID, in.Why) })
}

// Nudge asks the workflow of an operation to read its row again.
type Nudge struct {
	OperationID string `json:"operation_id"`
	AgentID     string `json:"agent_id"`

	// Start says that a workflow which is not there is started; otherwise it needs no
	// message.
	Start bool `json:"start,omitempty"`
	// Launcher says which workflow a switch is. It is needed with Start.
	Launcher agent.Launcher `json:"launcher,omitempty"`
}

// NudgeOperation makes the workflow of an operation read its row again. It carries no
// fact, so it may run twice.
func (m *Messages) NudgeOperation(ctx context.Context, in Nudge) error {
	return m.Slots.Run(ctx, func() error { return m.Workflows.Nudge(ctx, in) })
}

// StartOperation starts the workflow of an open row. One that runs already is fine.
func (m *Messages) StartOperation(ctx context.Context, in OpenRow) error {
	return m.Slots.Run(ctx, func() error {
		_, err := m.Workflows.StartOperation(ctx, in)
		return err
	})
}

// Report is an agent's report on an instance that it launched for a replica.
type Report struct {
	AgentID    string `json:"agent_id"`
	ReplicaID  string `json:"replica_id"`
	InstanceID string `json:"instance_id,omitempty"`
	Status     string `json:"status"` // as in workflows.ReplicaReport
}

// ReportReplica passes an agent's report on to the Replica that waits for it. It
// sets a level, so the same report changes nothing the second time.
func (m *Messages) ReportReplica(ctx context.Context, in Report) error {
	return m.Slots.Run(ctx, func() error { return m.Workflows.Report(ctx, in) })
}
