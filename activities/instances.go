package activities

import (
	"context"

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
}

// InstanceState is what EC2 says of an instance.
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

// InstanceSteps is the contract of the struct Instances (see instances_ec2.go):
//
//	ChooseCandidates(ctx, ChooseInput) (*ChooseResult, error)   pure choice over facts read from Postgres (local activity)
//	LaunchInstance(ctx, LaunchInput) (*LaunchResult, error)     launch.* faults; token = hash(replica/pool/mode); frozen request
//	AwaitUp(ctx, UpInput) (*InstanceState, error)               launch.not_running until it passes its checks; launch.instance_gone
//	AwaitGone(ctx, WatchInput) (*InstanceState, error)          launch.not_running until it stopped or ended; marks it retired when it ended
//	RetireInstance(ctx, WatchInput) error                       refuses a primary (roles.is_primary); terminates, marks retired
//	RecordPool(ctx, PoolOutcome) error                          local; remembers success or failure of a pool with back-off
type InstanceSteps interface {
	ChooseCandidates(ctx context.Context, in ChooseInput) (*ChooseResult, error)
	LaunchInstance(ctx context.Context, in LaunchInput) (*LaunchResult, error)
	AwaitUp(ctx context.Context, in UpInput) (*InstanceState, error)
	AwaitGone(ctx context.Context, in WatchInput) (*InstanceState, error)
	RetireInstance(ctx context.Context, in WatchInput) error
	RecordPool(ctx context.Context, in PoolOutcome) error
}

// PoolOutcome is how a launch in a pool went.
type PoolOutcome struct {
	AgentID string            `json:"agent_id"`
	Where   replica.Candidate `json:"where"`
	Code    string            `json:"code"` // fault code; empty: its instance runs
}
