package activities

import (
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
)

// LaunchInput asks for one instance for a replica in one pool.
type LaunchInput struct {
	AgentID   string            `json:"agent_id"`
	ReplicaID string            `json:"replica_id"`
	Where     replica.Candidate `json:"where"`
	Operation string            `json:"operation"` // for the tags
	Epoch     int64             `json:"epoch"`

	// Urgent launches from what was noted of the primary, without reading EC2 first.
	Urgent bool `json:"urgent,omitempty"`
}

// LaunchResult names the instance.
type LaunchResult struct {
	InstanceID string `json:"instance_id"`
	// Differs lists, in words, how the instance differs from the one that it replaces.
	Differs []string `json:"differs,omitempty"`
}

// ChooseInput asks for the pools to try.
type ChooseInput struct {
	AgentID   string `json:"agent_id"`
	ReplicaID string `json:"replica_id"`
}

// ChooseResult lists the candidates, best first.
type ChooseResult struct {
	Candidates []replica.Candidate `json:"candidates"`
	// Revisit says that in an emergency the candidates that a failure of others left out are
	// tried after the others. Choices that were recorded before it lack it.
	Revisit bool `json:"revisit,omitempty"`
}

// InstanceState is the state of an instance at EC2.
type InstanceState struct {
	State    string     `json:"state"` // pending, running, shutting-down, terminated, stopping, stopped, absent
	Reason   string     `json:"reason,omitempty"`
	ChecksOK bool       `json:"checks_ok"`
	Mode     agent.Mode `json:"mode,omitempty"`
	PoolID   string     `json:"pool_id,omitempty"`
}

// WatchInput names an instance of an agent.
type WatchInput struct {
	AgentID    string `json:"agent_id"`
	InstanceID string `json:"instance_id"`
}

// PoolOutcome is how a launch in a pool went.
type PoolOutcome struct {
	AgentID string            `json:"agent_id"`
	Where   replica.Candidate `json:"where"`
	Code    string            `json:"code"` // fault code; empty: its instance runs
}
