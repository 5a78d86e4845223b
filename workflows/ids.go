package workflows

import (
	"strings"

	"go.temporal.io/sdk/temporal"

	"spotkeeper/internal/domain/roles"
)

// The search attributes of every workflow, all keywords. The namespace must know
// them; temporalx.EnsureAttributes sees to it.
var (
	ClientAttribute = temporal.NewSearchAttributeKeyKeyword("ClientID")
	AgentAttribute  = temporal.NewSearchAttributeKeyKeyword("AgentID")
	NameAttribute   = temporal.NewSearchAttributeKeyKeyword("AgentName")
	ReasonAttribute = temporal.NewSearchAttributeKeyKeyword("Reason")
)

// Attributes names the search attributes, for the worker that registers them and the
// checks of /ready.
func Attributes() []string {
	return []string{ClientAttribute.GetName(), AgentAttribute.GetName(), NameAttribute.GetName(), ReasonAttribute.GetName()}
}

// JobsQueue is the task queue of the jobs that run by the clock, beside that of agents'
// operations: a job that keeps every slot busy leaves a notice its own.
func JobsQueue(queue string) string { return queue + "-jobs" }

// GuardianID is the id of an agent's Guardian. Like every id here it is a
// natural key, so the id is the lock.
func GuardianID(agentID string) string { return "guardian/" + agentID }

// ReplicaID is the id of the workflow of a replica.
func ReplicaID(replicaID string) string { return "replica/" + replicaID }

// SwitchID is the id of the workflow of a switch command.
func SwitchID(commandID string) string { return roles.SwitchOperation(commandID) }

// TerminationID is the id of the workflow around the loss of an instance.
func TerminationID(agentID, instanceID string) string {
	return roles.TerminationOperation(agentID, instanceID)
}

// PromotionID is the id of the workflow that promotes a replica by hand.
func PromotionID(replicaID string) string { return "promotion/" + replicaID }

// RemovalID is the id of the workflow that ends what a removed agent leaves.
func RemovalID(agentID string) string { return "removal/" + agentID }

// DecisionID is the id of the workflow that asks a worker's engine once.
func DecisionID(requestID string) string { return "decision/" + requestID }

// operationKind is the kind of operation that an id names, "" for none.
func operationKind(operationID string) string {
	kind, _, _ := strings.Cut(operationID, "/")
	switch kind {
	case KindSwitch, KindReplica, KindTermination, KindPromotion, KindRemoval, KindAdoption:
		return kind
	default:
		return ""
	}
}

// attributes are those of a workflow about an agent. What is not known is left out.
func attributes(clientID, agentID, name, reason string) temporal.SearchAttributes {
	var set []temporal.SearchAttributeUpdate
	if clientID != "" {
		set = append(set, ClientAttribute.ValueSet(clientID))
	}
	if agentID != "" {
		set = append(set, AgentAttribute.ValueSet(agentID))
	}
	if name != "" {
		set = append(set, NameAttribute.ValueSet(name))
	}
	if reason != "" {
		set = append(set, ReasonAttribute.ValueSet(reason))
	}
	return temporal.NewSearchAttributes(set...)
}
