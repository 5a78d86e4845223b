package roles

import (
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
)

// ReplicaRow is one replica as it stands in Postgres, in whatever state, with what its
// workflow needs to go on from there. Times are by the database's clock.
type ReplicaRow struct {
	AgentID   string         `json:"agent_id"`
	ClientID  string         `json:"client_id"`
	LogicalID string         `json:"logical_id"` // the agent's name, for notifications
	Epoch     int64          `json:"epoch"`
	Launcher  agent.Launcher `json:"launcher"` // of the agent; the replica's own is in Replica
	Replica   Replica        `json:"replica"`
	Mode      agent.Mode     `json:"mode"`      // how its instance is or will be bought
	HoldLeft  time.Duration  `json:"hold_left"` // zero: it has no hold, or the hold is over
	ErrorCode string         `json:"error_code,omitempty"`
	Error     string         `json:"error,omitempty"`

	// Launch is the attempt that has an instance, nil when there is none. The replica's
	// own row may not have the instance yet.
	Launch *Launch `json:"launch,omitempty"`
	// Remains is the instance that has to be ended when the replica is over. Empty when
	// there is none, and when it has ended or plays another part.
	Remains string `json:"remains,omitempty"`

	PrimaryID string        `json:"primary_id,omitempty"`
	Noticed   bool          `json:"noticed"`              // AWS has announced the end of the primary, and it has no successor yet
	NoticeAge time.Duration `json:"notice_age,omitempty"` // since that notice arrived
}

// Launch is an attempt to launch that has led to an instance.
type Launch struct {
	InstanceID string     `json:"instance_id"`
	PoolID     string     `json:"pool_id"`
	Mode       agent.Mode `json:"mode"`
}

// InstanceID is the instance of the replica, empty when it has none yet.
func (r *ReplicaRow) InstanceID() string {
	if r.Replica.InstanceID == "" && r.Launch != nil {
		return r.Launch.InstanceID
	}
	return r.Replica.InstanceID
}

// Where is the pool that the replica's instance was launched in.
func (r *ReplicaRow) Where() replica.Candidate {
	out := replica.Candidate{PoolID: r.Replica.PoolID, Mode: r.Mode}
	if r.Launch != nil {
		out.PoolID, out.Mode = r.Launch.PoolID, r.Launch.Mode
	}
	if instanceType, az, err := agent.SplitPool(out.PoolID); err == nil {
		out.InstanceType, out.AZ, out.Region = instanceType, az, agent.RegionOf(az)
	}
	return out
}

// Urgent says whether an instance is in danger and the replica could replace it. A
// switch goes where it was sent, so its replica is never urgent.
func (r *ReplicaRow) Urgent() bool {
	return r.Replica.Kind.Emergency() || r.Noticed && r.Replica.Kind != replica.Switch
}

// Overdue says whether the agent was to launch, has named no instance for longer than
// StallAfter, and there is no time left to wait for it.
func (r *ReplicaRow) Overdue() bool {
	return r.Replica.Launcher == agent.ByAgent && r.InstanceID() == "" && r.Replica.Stalled && r.Urgent()
}

// Replacement takes an instance that ended before it ran away from its replica.
type Replacement struct {
	ReplicaID  string `json:"replica_id"`
	InstanceID string `json:"instance_id"`
	Reason     string `json:"reason"` // EC2's
	// Unseen says that the instance has not ended: EC2 launched it and does not show it.
	Unseen bool `json:"unseen,omitempty"`
}
