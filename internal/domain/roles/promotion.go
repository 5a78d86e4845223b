package roles

import "time"

// PromotionWish is a person's request to make a replica the primary.
type PromotionWish struct {
	AgentID   string        `json:"agent_id"`
	ReplicaID string        `json:"replica_id"`
	Demote    bool          `json:"demote"` // the old primary becomes the standby
	Wait      time.Duration `json:"wait"`   // for the replica to be ready
	By        string        `json:"by,omitempty"`
	// AcceptSilent says that the person does not wait for a heartbeat of the agent on the replica.
	AcceptSilent bool `json:"accept_silent,omitempty"`
}

// Promotion is the state of such a request.
type Promotion struct {
	AgentID   string        `json:"agent_id"`
	ReplicaID string        `json:"replica_id"`
	Demote    bool          `json:"demote"`
	By        string        `json:"by,omitempty"`
	Left      time.Duration `json:"left"`    // of the time to wait, by the database's clock
	Changed   bool          `json:"changed"` // the replica is or was the primary
	Cause     Cause         `json:"cause,omitempty"`
	OldID     string        `json:"old_id,omitempty"`
	NewID     string        `json:"new_id,omitempty"`
	RetireOld bool          `json:"retire_old"` // the old primary waits to be ended by us

	AcceptSilent bool `json:"accept_silent,omitempty"`
}

// AwaitsWord says whether a person's promotion of a replica waits for the agent on its
// instance: status checks pass on an instance whose workload never started. With a notice of
// the primary's end there is nothing to wait for.
func (s *AgentRoles) AwaitsWord(r Replica) bool {
	_, noticed := s.Undecided()
	return r.Unheard && !noticed
}

// Promote is the change that makes a replica primary at a person's request. It
// also answers an open notice of the old primary.
func (s *AgentRoles) Promote(r Replica, demote bool) RoleChange {
	return RoleChange{
		AgentID: s.AgentID, Epoch: s.Epoch, OldID: s.Primary.ID, NewID: r.InstanceID, ReplicaID: r.ID,
		Fate: s.OldPrimary(demote), Cause: ByPromotion, OperationID: "promotion/" + r.ID,
	}
}
