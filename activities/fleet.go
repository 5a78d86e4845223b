package activities

import (
	"context"
	"encoding/json"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
)

// Fleet is the part of the way to EC2 that activities use. What a launch is made
// of is opaque here: it is read once, frozen in Postgres and sent as it is, so
// that the same token always comes with the same parameters.
type Fleet interface {
	// Template reads what a new instance copies from its original.
	// Fails with launch.instance_gone when the original has ended.
	Template(ctx context.Context, a Account, region, instanceID string) (json.RawMessage, error)
	// Freeze makes the whole request of one attempt. It calls nothing. Fails with
	// launch.no_addresses when the template cannot be launched in that zone.
	Freeze(template json.RawMessage, where replica.Candidate, owner LaunchOwner) (*FrozenLaunch, error)
	// Revise makes the next request for the same candidate after one was refused: in
	// another subnet of the zone, or without what no longer exists. ok is false
	// when there is none. It calls nothing.
	Revise(refused FrozenLaunch, cause error) (next *FrozenLaunch, ok bool)
	// Launch asks for exactly one instance; the token makes a repetition the same
	// instance. Fails with the launch faults of package replica.
	Launch(ctx context.Context, a Account, request json.RawMessage) (*CloudInstance, error)
	// State says what EC2 shows of an instance, absent included.
	State(ctx context.Context, a Account, region, instanceID string) (*CloudInstance, error)
	// Adopt puts our tags on an instance that runs, asking EC2 immediately before. Fails
	// with instance.not_ours and launch.not_running.
	Adopt(ctx context.Context, a Account, region, instanceID, agentID string) error
	// Terminate ends an instance that EC2, asked immediately before, shows with our tags and
	// the client's; one that has ended is success. One that EC2 does not show yet, judged
	// by launchedAt, fails with launch.not_running, any other with instance.not_ours.
	Terminate(ctx context.Context, a Account, region, instanceID string, launchedAt time.Time) error
	// CancelRequest cancels the persistent spot request of an instance that ends, if it has
	// one: EC2 would launch it again.
	CancelRequest(ctx context.Context, a Account, region, instanceID string) error
	// Ours lists the living instances in the account that carry our tag for the client.
	Ours(ctx context.Context, a Account, region, clientID string) ([]CloudInstance, error)
	// Launched finds what the launches with these tokens made, by token. One that EC2 does
	// not show, or no longer shows, is left out.
	Launched(ctx context.Context, a Account, region string, tokens []string) (map[string]string, error)
}

// Account is where a client's instances live: theirs by a role, or our own AWS account
// where an operator has allowed it.
type Account struct {
	ClientID   string `json:"client_id"`
	RoleARN    string `json:"role_arn,omitempty"`
	Own        bool   `json:"own_account,omitempty"`
	ExternalID string `json:"external_id,omitempty"`
}

// LaunchOwner says for whom something is launched. It becomes tags.
type LaunchOwner struct {
	ClientID  string `json:"client_id"`
	AgentID   string `json:"agent_id"`
	ReplicaID string `json:"replica_id"`
	Operation string `json:"operation"`
	Epoch     int64  `json:"epoch"`
}

// FrozenLaunch is one attempt to launch, as it was decided and as it ended.
type FrozenLaunch struct {
	Token      string          `json:"token"`
	Request    json.RawMessage `json:"request"`
	State      string          `json:"state,omitempty"` // requested, launched, failed
	InstanceID string          `json:"instance_id,omitempty"`
	Attempt    int             `json:"attempt,omitempty"` // counts the requests for one candidate, from 0
}

// States of an instance in EC2's words; absent is ours.
const (
	StatePending      = "pending"
	StateRunning      = "running"
	StateShuttingDown = "shutting-down"
	StateTerminated   = "terminated"
	StateStopping     = "stopping"
	StateStopped      = "stopped"
	StateAbsent       = "absent"
)

// Visibility is how long after its launch an instance may be unknown to EC2's own
// answers. Absent before means "not yet", after it "no more".
const Visibility = 5 * time.Minute

// CloudInstance is EC2's description of an instance.
type CloudInstance struct {
	ID         string
	State      string
	Reason     string // Server.SpotInstanceTermination after an interruption
	ChecksOK   bool
	Mode       agent.Mode
	PoolID     string
	Region     string
	LaunchedAt time.Time
	AccountID  string // the AWS account that it lives in
	Token      string // of the launch that it comes from
	ImageID    string
	// Owner is what the tags say; a caller who may tag can lie. Marked says that they
	// name Spotkeeper too.
	Owner  LaunchOwner
	Marked bool
	// Lacks lists what an instance that was just launched lacks of its request.
	Lacks []string
}

// InstanceType and Zone are the parts of its pool.
func (i *CloudInstance) InstanceType() string { return poolPart(i.PoolID, 0) }

// Zone is the availability zone of its pool.
func (i *CloudInstance) Zone() string { return poolPart(i.PoolID, 1) }

func poolPart(poolID string, part int) string {
	instanceType, az, err := agent.SplitPool(poolID)
	if err != nil {
		return ""
	}
	return [2]string{instanceType, az}[part]
}

// gone says that the instance will not come back by itself. One that EC2 does not
// show is gone when it is too old to be merely unseen.
func (i *CloudInstance) gone(launchedAt, now time.Time) bool {
	switch i.State {
	case StateTerminated, StateShuttingDown, StateStopping, StateStopped:
		return true
	case StateAbsent:
		return now.Sub(launchedAt) > Visibility
	default:
		return false
	}
}
