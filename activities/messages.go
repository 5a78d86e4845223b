package activities

import (
	"context"

	"spotkeeper/internal/agent"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/replica"
)

// Messenger is the part of workflows.Client that workflows need of each other.
type Messenger interface {
	Wake(ctx context.Context, agentID, why string) error
	ReleaseReplica(ctx context.Context, in Release) error
	Tell(ctx context.Context, in News) error
	CallOff(ctx context.Context, in CallOff) error
	Report(ctx context.Context, in Report) error
}

// Messages are the steps by which one workflow reaches another that may have
// ended. An external signal cannot start its target and is dropped when its
// sender ends before the server delivers it; a local step is done when it returns.
type Messages struct {
	Workflows Messenger
	Slots     Slots // for what waits for Temporal
}

// WakeInput is the input of WakeGuardian.
type WakeInput struct {
	AgentID string `json:"agent_id"`
	Why     string `json:"why"`
}

// WakeGuardian makes the agent's Guardian read the roles and judge again,
// starting it if need be. A wake carries no fact, so twice is harmless.
func (m *Messages) WakeGuardian(ctx context.Context, in WakeInput) error {
	return m.Slots.Run(ctx, func() error { return m.Workflows.Wake(ctx, in.AgentID, in.Why) })
}

// Release tells a Replica what became of it: promoted or retiring.
type Release struct {
	AgentID    string        `json:"agent_id"`
	ReplicaID  string        `json:"replica_id"`
	InstanceID string        `json:"instance_id"`
	As         replica.State `json:"as"`

	// Launcher says whether ending the instance is ours to insist on; an agent's
	// may be out of our reach.
	Launcher agent.Launcher `json:"launcher,omitempty"`
}

// ReleaseReplica ends a Replica. One that has to retire an instance is started
// again if it is gone; a second release of the same replica finds it retired.
func (m *Messages) ReleaseReplica(ctx context.Context, in Release) error {
	return m.Slots.Run(ctx, func() error { return m.Workflows.ReleaseReplica(ctx, in) })
}

// News tells an operation that waits what became of its replica, or of the
// notice it is about.
type News struct {
	OperationID string                `json:"operation_id"`
	ReplicaID   string                `json:"replica_id,omitempty"`
	InstanceID  string                `json:"instance_id,omitempty"`
	State       replica.State         `json:"state,omitempty"`
	Code        string                `json:"code,omitempty"` // why it failed
	Error       string                `json:"error,omitempty"`
	Outcome     *interruption.Outcome `json:"outcome,omitempty"` // of the notice
}

// TellOperation passes news on. An operation that has ended needs none, and the
// receiver judges by what it reads, so the same news twice is harmless.
func (m *Messages) TellOperation(ctx context.Context, in News) error {
	return m.Slots.Run(ctx, func() error { return m.Workflows.Tell(ctx, in) })
}

// CallOff asks a Switch to leave its replica to somebody who needs it more.
type CallOff struct {
	OperationID string `json:"operation_id"`
	Why         string `json:"why"`
}

// CallOffSwitch calls a Switch off. One that is past its point of no return, or
// has ended, does not hear it: the epoch decides who was first.
func (m *Messages) CallOffSwitch(ctx context.Context, in CallOff) error {
	return m.Slots.Run(ctx, func() error { return m.Workflows.CallOff(ctx, in) })
}

// Report is what an agent says of an instance that it launched for a replica.
type Report struct {
	AgentID    string `json:"agent_id"`
	ReplicaID  string `json:"replica_id"`
	InstanceID string `json:"instance_id,omitempty"`
	Status     string `json:"status"` // as in workflows.ReplicaReport
}

// ReportReplica passes an agent's report on to the Replica that waits for it. It
// sets a level, so the same report twice is harmless.
func (m *Messages) ReportReplica(ctx context.Context, in Report) error {
	return m.Slots.Run(ctx, func() error { return m.Workflows.Report(ctx, in) })
}
