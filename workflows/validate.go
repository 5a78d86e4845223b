package workflows

import (
	"slices"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

// Validators judge form only: the first message of a run is validated before
// anything can be read. What depends on the roles is for the handlers.

func (in NoticeInput) validate() error { return requireField(in.InstanceID != "", "an instance") }

func (in EmergencyInput) validate() error {
	if !in.Kind.Valid() {
		return interruption.UnknownKind.New("Invalid signal_type")
	}
	return requireField(in.InstanceID != "" && in.Hold >= 0, "an instance")
}

func (in CreateReplicaInput) validate() error {
	kinds := []replica.Kind{"", replica.Manual, replica.Rebalance, replica.Termination}
	if in.Plan.Pool != "" {
		if _, _, err := agent.SplitPool(in.Plan.Pool); err != nil {
			return err
		}
	}
	return requireField(slices.Contains(kinds, in.Kind) && (in.InstanceID != "" || !in.Ready),
		"a known kind, and an instance if it is ready")
}

func (in PromoteInput) validate() error {
	return requireField(in.ReplicaID != "" && in.Wait >= 0, "a replica")
}

func (in DeleteReplicaInput) validate() error { return requireField(in.ReplicaID != "", "a replica") }

func (in RequestSwitchInput) validate() error {
	if err := in.Target.Validate(); err != nil {
		return err
	}
	return requireField(in.CommandID != "", "a command")
}

func (in ConfigureInput) validate() error {
	return requireField(slices.Contains([]agent.StandbyMode{agent.KeepOff, agent.KeepManual, agent.KeepAuto},
		in.Keeping), "a known way of keeping replicas")
}

func (in RemoveAgentInput) validate() error { return nil }

func requireField(ok bool, what string) error {
	if ok {
		return nil
	}
	return roles.InvalidMessage.New("the message must have %s", what)
}
