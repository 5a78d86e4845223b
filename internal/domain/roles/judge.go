package roles

import (
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/switching"
)

// The ids of the operations that a refusal names; the workflows have the same.

// SwitchOperation is the operation of a switch command.
func SwitchOperation(commandID string) string { return "switch/" + commandID }

// ReplicaOperation is the operation that carries a replica.
func ReplicaOperation(replicaID string) string { return "replica/" + replicaID }

// TerminationOperation is the operation that replaces an instance AWS takes.
func TerminationOperation(agentID, instanceID string) string {
	return "termination/" + agentID + "/" + instanceID
}

// CanCreate judges a request for a replica of the kind. Asking for an emergency
// replica that is there already is no conflict: the store answers with it.
// Fails with agent.not_found, replica.not_enabled, replica.already_exists and
// agent.auto_switch_off.
func (s *AgentRoles) CanCreate(kind replica.Kind) error {
	if !s.alive() {
		return agent.NotFound.New("Agent not found or offline")
	}
	switch kind {
	case replica.Manual:
		if s.Keeping != agent.KeepManual {
			return replica.NotAllowed.New("Manual replicas not enabled for this agent").With("hint",
				"Enable manual_replica_enabled in agent settings")
		}
		if in := s.standbys(); len(in) > 0 {
			return replica.AlreadyExists.New("Replica already exists for this agent").With("current_count", len(in)).
				With("max_allowed", 1).With("replica_id", in[0].ID).
				With("note", "Manual replica mode maintains exactly 1 replica. Delete existing replica first.")
		}
	case replica.Rebalance, replica.Termination:
		if s.Keeping != agent.KeepAuto {
			return agent.AutoOff.New("Emergency replica creation disabled").With("hint",
				"Turn on Auto-Switch Mode in agent settings to enable emergency failover protection").
				With("reason",
					"auto_switch_enabled is OFF. Enable auto-switch mode in agent configuration to allow automatic emergency replicas.")
		}
	}
	return nil
}

// CanPromote judges a person's request to make a replica primary, and returns it.
// One that runs may take over; one that is still launching must be waited for. Fails with
// replica.not_found, replica.not_ready and switch.busy, and with instance.unproven when
// only an agent's claim says that its instance is the client's.
func (s *AgentRoles) CanPromote(replicaID string, waits bool) (Replica, error) {
	r, open := s.Replica(replicaID)
	if !open || s.Deleted {
		return r, replica.NotFound.New("Replica not found or inactive")
	}
	_, noticed := s.Undecided()
	if refusal, in := s.switchInFlight(""); in && !noticed {
		return r, refusal
	}
	if !s.mayTakeOver(r) {
		return r, adoption.NotProven.New("instance %s is not proven to be the client's, and does not become the primary",
			r.InstanceID)
	}
	if !waits && nearness[r.State] < nearness[replica.Running] {
		return r, replica.NotReady.New("Replica not ready for promotion").With("current_status", r.State.LegacyWord()).
			With("required_status", "ready or syncing")
	}
	return r, nil
}

// CanDemote judges whether the old primary may become the standby when the
// replica takes over: there is room for one. Fails with replica.already_exists.
func (s *AgentRoles) CanDemote(successorID string) error {
	for _, r := range s.Replicas {
		if r.Kind == replica.Manual && r.ID != successorID {
			return replica.AlreadyExists.New(
				"another standby, %s, exists: promote without keeping the old primary, or delete it first", r.ID)
		}
	}
	return nil
}

// CanDelete judges a person's request to retire a replica, and returns it. Fails
// with replica.not_found, and with switch.busy when a failover or a switch
// needs it.
func (s *AgentRoles) CanDelete(replicaID string) (Replica, error) {
	r, open := s.Replica(replicaID)
	if !open {
		return r, replica.NotFound.New("Replica not found")
	}
	if r.Kind == replica.Switch {
		return r, busy("it is the instance of a switch in flight", SwitchOperation(r.For))
	}
	o, noticed := s.Undecided()
	if successor, ok := s.Successor(); noticed && ok && successor.ID == r.ID {
		return r, busy("it is about to take over from "+o.InstanceID, TerminationOperation(s.AgentID, o.InstanceID))
	}
	return r, nil
}

// CanSwitch judges whether a voluntary move may begin. The command that is in
// flight already may always come again. Fails with agent.not_found, switch.busy and
// instance.unproven.
func (s *AgentRoles) CanSwitch(commandID string) error {
	if !s.alive() {
		return agent.NotFound.New("Agent not found or offline")
	}
	if o, noticed := s.Undecided(); noticed {
		return busy(o.InstanceID+" is being replaced", TerminationOperation(s.AgentID, o.InstanceID))
	}
	if refusal, in := s.switchInFlight(commandID); in {
		return refusal
	}
	return s.CanLaunch()
}

// CanLaunch refuses a launch by the control plane for a primary that only an agent's
// claim connects with the client. Fails with instance.unproven.
func (s *AgentRoles) CanLaunch() error {
	if !s.Unproven() {
		return nil
	}
	return adoption.NotProven.New(
		"Instance %s is not proven to be the client's, so nothing is launched for it. GET /api/client/agents/%s/state says why.",
		s.Primary.ID,
		s.AgentID,
	).With("instance_id", s.Primary.ID)
}

// switchInFlight finds a switch other than the one of the command.
func (s *AgentRoles) switchInFlight(commandID string) (*fault.Error, bool) {
	other := s.OpenSwitch
	for _, r := range s.Replicas {
		if r.Kind == replica.Switch && r.For != commandID {
			other = r.For
		}
	}
	if other == "" || other == commandID {
		return nil, false
	}
	return busy("the agent is being switched", SwitchOperation(other)), true
}

func busy(why, operation string) *fault.Error {
	return switching.Busy.New("%s (%s)", why, operation).With("operation_id", operation)
}
