// Package roles judges who plays which part for an agent: the primary, its
// replicas, and what to do when one of them is lost. It is pure, so workflows
// call it; the facts come from Postgres as one Set.
package roles

import (
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
)

// Ways to fail.
var (
	StaleEpoch     = fault.Define("roles.stale", fault.Conflict)          // the epoch moved on: read and judge again
	IsPrimary      = fault.Define("roles.is_primary", fault.Conflict)     // nothing terminates a primary
	InvalidMessage = fault.Define("roles.invalid_message", fault.Invalid) // a message lacks what it must have
)

// AgentRoles is everything a Guardian judges by: one agent's roles as Postgres has
// them. Replicas are the open ones, Outcomes the notices of the last day.
type AgentRoles struct {
	AgentID       string                 `json:"agent_id"`
	ClientID      string                 `json:"client_id"`
	Epoch         int64                  `json:"epoch"`
	Keeping       agent.StandbyMode      `json:"keeping"`
	Launcher      agent.Launcher         `json:"launcher"`
	Enabled       bool                   `json:"enabled"`
	Deleted       bool                   `json:"deleted"`
	AutoTerminate bool                   `json:"auto_terminate"`
	TerminateWait time.Duration          `json:"terminate_wait"` // how long the old instance is kept after a switch
	Failures      Failures               `json:"failures"`
	Primary       Instance               `json:"primary"`
	Replicas      []Replica              `json:"replicas"`
	Outcomes      []interruption.Outcome `json:"outcomes"`
	OpenSwitch    string                 `json:"open_switch,omitempty"` // command id of the switch that is not over
	Review        bool                   `json:"review,omitempty"`      // a Guardian was asked to judge these roles
	ReviewSeq     int64                  `json:"review_seq,omitempty"`  // which request for a review was the last
}

// Failures counts what failed in a row, by what it was made for: trouble with a
// standby says nothing about the launch that a fresh notice asks for.
type Failures struct {
	Standby     int `json:"standby"`     // standbys of manual mode
	Rebalance   int `json:"rebalance"`   // replicas for the rebalance recommendation of the present primary
	Termination int `json:"termination"` // replicas for its termination notice
	// Unmended says that the last of the emergency replicas failed by what only a person
	// can mend: a permission or what it is launched with.
	Unmended bool `json:"unmended,omitempty"`
}

// CountFor returns the failures that count for the next launch of a kind.
func (f Failures) CountFor(kind replica.Kind) int {
	switch kind {
	case replica.Manual:
		return f.Standby
	case replica.Rebalance:
		return f.Rebalance
	case replica.Termination:
		return f.Termination
	default:
		return 0
	}
}

// Instance is an EC2 instance in its role.
type Instance struct {
	ID           string     `json:"id"`
	InstanceType string     `json:"instance_type"`
	Region       string     `json:"region"`
	AZ           string     `json:"az"`
	PoolID       string     `json:"pool_id"`
	Mode         agent.Mode `json:"mode"`
	Role         agent.Role `json:"role"`
	Unproven     bool       `json:"unproven,omitempty"` // only an agent's claim says that it is the client's
}

// Replica is one standby of the agent.
type Replica struct {
	ID         string         `json:"id"`
	Kind       replica.Kind   `json:"kind"`
	For        string         `json:"for"` // the primary that it is to replace, or the command that asked for it
	State      replica.State  `json:"state"`
	Launcher   agent.Launcher `json:"launcher"`
	Plan       replica.Plan   `json:"plan"`
	InstanceID string         `json:"instance_id,omitempty"`
	PoolID     string         `json:"pool_id,omitempty"`
	Hold       time.Duration  `json:"hold"`                 // zero: until it is released
	Expired    bool           `json:"expired"`              // the hold has run out, by the database's clock
	RequestID  string         `json:"request_id,omitempty"` // the update that asked for it
	Wait       time.Duration  `json:"wait,omitempty"`       // how long its launch still waits, by the database's clock
	Stalled    bool           `json:"stalled,omitempty"`    // it has been wanted for longer than StallAfter and has no instance
	Unproven   bool           `json:"unproven,omitempty"`   // only an agent's claim says that its instance is the client's
	// Unheard says that the agent on the instance has sent no heartbeat although one is
	// expected: the primary's agent sends them, and so did those on the instances before it.
	Unheard bool `json:"unheard,omitempty"`
}

// Replica returns the open replica with this id.
func (s *AgentRoles) Replica(id string) (Replica, bool) {
	for _, r := range s.Replicas {
		if r.ID == id {
			return r, true
		}
	}
	return Replica{}, false
}

// ReplicaOn returns the open replica of the instance.
func (s *AgentRoles) ReplicaOn(instanceID string) (Replica, bool) {
	for _, r := range s.Replicas {
		if instanceID != "" && r.InstanceID == instanceID {
			return r, true
		}
	}
	return Replica{}, false
}

// Outcome returns what became of a notice.
func (s *AgentRoles) Outcome(instanceID string, kind interruption.Kind) (interruption.Outcome, bool) {
	for _, o := range s.Outcomes {
		if o.InstanceID == instanceID && o.Kind == kind {
			return o, true
		}
	}
	return interruption.Outcome{}, false
}

// ReplicaRequest is the decision to have one more replica.
type ReplicaRequest struct {
	AgentID   string            `json:"agent_id"`
	Kind      replica.Kind      `json:"kind"`
	For       string            `json:"for"`
	Hold      time.Duration     `json:"hold,omitempty"` // zero: until released
	Plan      replica.Plan      `json:"plan"`
	CreatedBy string            `json:"created_by,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"`
	NotBefore time.Duration     `json:"not_before,omitempty"` // back-off from now

	// RequestID is the update that asked. It recognizes a request that comes
	// again when its replica is long gone. Empty for a decision of reconcile.
	RequestID string `json:"request_id,omitempty"`

	// InstanceID is set when the instance exists already: the agent launched it
	// and reported it afterwards. The replica then begins as running.
	InstanceID string `json:"instance_id,omitempty"`

	// Launcher overrides the agent's launcher for this replica. Empty: the agent's.
	Launcher agent.Launcher `json:"launcher,omitempty"`
}

// ReplicaOpened is the replica that a decision led to, which may be an older one, and
// the roles after it.
type ReplicaOpened struct {
	Set     *AgentRoles `json:"set"`
	Replica Replica     `json:"replica"`
}

// ReplicaTransition moves a replica to a state.
type ReplicaTransition struct {
	ReplicaID  string             `json:"replica_id"`
	To         replica.State      `json:"to"`
	InstanceID string             `json:"instance_id,omitempty"` // once it is known
	Where      *replica.Candidate `json:"where,omitempty"`       // where it was launched
	ErrorCode  fault.Code         `json:"error_code,omitempty"`  // why it failed
	Error      string             `json:"error,omitempty"`
}

// Advanced is the result of a transition of a replica.
type Advanced struct {
	Ours    bool `json:"ours"`              // the replica stands there now
	Wake    bool `json:"wake,omitempty"`    // the Guardian has something to do
	Awaited bool `json:"awaited,omitempty"` // a person's promotion waits for the replica
}

// Cause says why an agent got another primary.
type Cause string

// Causes.
const (
	ByTermination Cause = "termination"
	BySwitch      Cause = "switch"
	ByPromotion   Cause = "promotion"
)

// OldPrimaryPolicy says what becomes of the old primary.
type OldPrimaryPolicy string

// Fates.
const (
	RetireOld OldPrimaryPolicy = "retire" // it will be terminated by us
	LeaveOld  OldPrimaryPolicy = "leave"  // AWS, or the agent, ends it; we watch
	KeepOld   OldPrimaryPolicy = "keep"   // it stays, outside: auto-terminate is off
	DemoteOld OldPrimaryPolicy = "demote" // it becomes the standby
)

// RoleChange makes a replica the primary. Epoch and OldID are what the caller
// believes; when they are not so, nothing changes.
type RoleChange struct {
	AgentID     string           `json:"agent_id"`
	Epoch       int64            `json:"epoch"`
	OldID       string           `json:"old_id"`
	NewID       string           `json:"new_id"`
	ReplicaID   string           `json:"replica_id"`
	Fate        OldPrimaryPolicy `json:"fate"`
	Cause       Cause            `json:"cause"`
	OperationID string           `json:"operation_id"`
}
