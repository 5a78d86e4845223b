// Package interruption defines the notices that say an instance is in danger,
// and what became of them. It is pure.
package interruption

import (
	"time"

	"spotkeeper/internal/domain/fault"
)

// Ways to fail.
var (
	UnknownKind = fault.Define("notice.unknown_kind", fault.Invalid)
	NoReplica   = fault.Define("notice.no_replica", fault.Unavailable) // the agent must stay alive and launch
)

// Kind is the type of a notice of AWS.
type Kind string

// Kinds.
const (
	Rebalance   Kind = "rebalance-recommendation" // early and uncertain
	Termination Kind = "termination-notice"       // final, about two minutes
)

// Valid says whether the kind is known.
func (k Kind) Valid() bool { return k == Rebalance || k == Termination }

// NoticeLead is AWS's warning time, when the notice does not say better.
const NoticeLead = 2 * time.Minute

// FailoverMargin is the least time that must be left before the deadline for a change of roles.
const FailoverMargin = 10 * time.Second

// Notice is one signal about one instance. Its key is (agent, instance, kind), so that
// it is one notice however often and through whichever door it comes.
type Notice struct {
	AgentID    string    `json:"agent_id"`
	InstanceID string    `json:"instance_id"`
	Kind       Kind      `json:"kind"`
	Deadline   time.Time `json:"deadline"` // when the instance goes; zero for a rebalance
	Door       string    `json:"door"`     // http, eventbridge, sweep

	// ArrivedAt is when the door took the notice in, by the clock of its process.
	ArrivedAt time.Time `json:"arrived_at,omitzero"`
	// Action is what AWS does with the instance of a termination notice; empty: not known.
	Action Action `json:"action,omitempty"`
	// ReplicaID is the successor that the agent asks for; empty: the best.
	ReplicaID string `json:"replica_id,omitempty"`
}

// Action is what AWS does with an instance that it takes back.
type Action string

// Actions, in the words of the metadata service.
const (
	Terminate Action = "terminate"
	Stop      Action = "stop"
	Hibernate Action = "hibernate" // begins at once
)

// ActionOf reads the word of a notice. A word that is not known is no action: no notice is lost for it.
func ActionOf(word string) Action {
	switch a := Action(word); a {
	case Terminate, Stop, Hibernate:
		return a
	}
	return ""
}

// Furthest is how far ahead the deadline of a termination notice can lie: AWS
// gives two minutes, and a clock or a program may be wrong by a few.
const Furthest = 10 * time.Minute

// Outcome is the result of a notice. A zero ReplicaID means undecided.
type Outcome struct {
	InstanceID string    `json:"instance_id"` // the one in danger
	Kind       Kind      `json:"kind"`
	Deadline   time.Time `json:"deadline"`
	Result     Result    `json:"result,omitempty"`
	ReplicaID  string    `json:"replica_id,omitempty"`
	NewPrimary string    `json:"new_primary,omitempty"`
	Past       bool      `json:"past,omitempty"` // the deadline is over, by the database's clock

	Left   time.Duration `json:"left,omitempty"`   // until the deadline, by the database's clock
	Wanted string        `json:"wanted,omitempty"` // the successor that the agent asked for
}

// Result is how a notice ended.
type Result string

// Results.
const (
	Undecided  Result = ""
	Promoted   Result = "promoted"    // another instance took over
	StoodDown  Result = "stood_down"  // the danger passed
	NotPrimary Result = "not_primary" // it was about an instance that is not the agent's primary
	Lost       Result = "lost"        // the deadline passed without a successor
)
