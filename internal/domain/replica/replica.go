// Package replica defines standby instances: what they are made for, where they
// stand and where they may go from there. It is pure, so workflows may import it.
package replica

import (
	"slices"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
)

// Ways to fail. The launch faults are the five classes of EC2 errors; each asks
// for another reaction.
var (
	NotFound      = fault.Define("replica.not_found", fault.NotFound)
	NotReady      = fault.Define("replica.not_ready", fault.Invalid)
	AlreadyExists = fault.Define("replica.already_exists", fault.Invalid)
	AlreadyEnded  = fault.Define("replica.already_ended", fault.Invalid)
	NotAllowed    = fault.Define("replica.not_enabled", fault.Invalid)
	WrongType     = fault.Define("replica.pool_type_mismatch", fault.Invalid)
	OtherInstance = fault.Define("replica.other_instance", fault.Conflict) // a replica has one instance
	NoPool        = fault.Define("replica.no_pool", fault.Exhausted)       // nothing left to try

	NoCapacity  = fault.Define("launch.no_capacity", fault.Exhausted) // this pool is empty: the next one
	QuotaUsedUp = fault.Define("launch.quota",
		fault.Exhausted) // ours is used up: another family or on-demand
	// TypeQuotaUsedUp is a quota that EC2 counts for each instance type: another type or on-demand.
	TypeQuotaUsedUp = fault.Define("launch.type_quota", fault.Exhausted)
	// PartsQuotaUsedUp is a quota of volumes, their throughput or network interfaces, which no
	// family shares: the next pool.
	PartsQuotaUsedUp = fault.Define("launch.parts_quota", fault.Exhausted)

	NoAddresses = fault.Define("launch.no_addresses", fault.Exhausted) // another subnet
	Throttled   = fault.Define("launch.throttled", fault.Unavailable)  // slow down, never fall back
	Refused     = fault.Define("launch.refused",
		fault.Forbidden) // permission: stop and notify the tenant
	Misconfigured = fault.Define("launch.misconfigured", fault.Invalid) // configuration: likewise
	Unexplained   = fault.Define("launch.unexplained",
		fault.Exhausted) // refused with a code that is not known: the next pool
	TokenDead = fault.Define("launch.token_of_dead_instance",
		fault.Conflict) // an earlier attempt launched and is gone
	// LaunchAbandoned ends an attempt that was given up before EC2 answered.
	LaunchAbandoned = fault.Define("launch.abandoned", fault.Conflict)
	TokenReused     = fault.Define("launch.token_reused", fault.Conflict)   // one token, other parameters: a bug
	NotRunning      = fault.Define("launch.not_running", fault.Unavailable) // not yet: ask again
	InstanceGone    = fault.Define("launch.instance_gone", fault.Conflict)  // it ended before it was ready
	Unseen          = fault.Define("launch.unseen", fault.NotFound)         // EC2 launched it and does not show it
)

// Details of a launch fault.
const (
	DetailAWSCode = "aws_code" // the API error code
	DetailWhy     = "why"      // why it failed and what to do, without the place: the same for each candidate
)

// Kind says what a replica was made for.
type Kind string

// Kinds.
const (
	Manual      Kind = "manual"      // the standby of manual mode
	Rebalance   Kind = "rebalance"   // an early notice
	Termination Kind = "termination" // a final notice
	Switch      Kind = "switch"      // the instance that a switch moves to
)

// Emergency says whether the kind is made because an instance is in danger.
func (k Kind) Emergency() bool { return k == Rebalance || k == Termination }

// State is where a replica stands. Requested to Ready are open: it costs money
// or soon will.
type State string

// States.
const (
	Requested State = "requested" // decided; perhaps its workflow has not begun
	Launching State = "launching" // an instance was asked for
	Running   State = "running"   // EC2 runs it
	Ready     State = "ready"     // it could take over
	Promoted  State = "promoted"
	Retiring  State = "retiring" // no candidate any more; its instance is ending
	Retired   State = "retired"
	Failed    State = "failed"
)

// OpenStates lists the states in which a replica costs or soon will, in order.
var OpenStates = []State{Requested, Launching, Running, Ready}

// IsOpen says whether the replica can still become primary.
func (s State) IsOpen() bool { return slices.Contains(OpenStates, s) }

// PreviousStates returns the states from which a replica may come into s. Promotion is
// not among them: only a change of roles promotes.
func (s State) PreviousStates() []State {
	switch s {
	case Launching:
		return []State{Requested}
	case Running:
		return []State{Requested, Launching}
	case Ready:
		return []State{Requested, Launching, Running}
	case Retiring:
		return OpenStates
	case Retired, Failed:
		return append(slices.Clone(OpenStates), Retiring)
	default:
		return nil
	}
}

// LegacyWord returns the legacy word for the state: launching, syncing, ready,
// promoted, terminated or failed.
func (s State) LegacyWord() string {
	switch s {
	case Requested, Launching:
		return "launching"
	case Running:
		return "syncing"
	case Retiring, Retired:
		return "terminated"
	default:
		return string(s)
	}
}

// WireType returns the legacy word for the kind: manual, automatic-rebalance or
// automatic-termination.
func (k Kind) WireType() string {
	switch k {
	case Rebalance:
		return "automatic-rebalance"
	case Termination:
		return "automatic-termination"
	default:
		return "manual"
	}
}

// Durations that rules and tests know.
const (
	RebalanceHold = 2 * time.Hour    // a rebalance replica waits so long for its notice
	ReadyDeadline = 10 * time.Minute // from launch to ready
	AgentDeadline = 15 * time.Minute // for an agent that launches at our request to name its instance
)

// Plan is everything the choice of pools starts from, frozen with the decision.
type Plan struct {
	Pool          string     `json:"pool,omitempty"` // the one asked for; empty: choose
	Mode          agent.Mode `json:"mode"`           // spot, unless a switch asks for ondemand
	InstanceType  string     `json:"instance_type,omitempty"`
	ExcludeZones  []string   `json:"exclude_zones,omitempty"`
	MaxHourlyCost float64    `json:"max_hourly_cost,omitempty"` // USD; 0: no cap
}

// Candidate is one pool to try, in the order of trying.
type Candidate struct {
	PoolID       string     `json:"pool_id"`
	InstanceType string     `json:"instance_type"`
	Region       string     `json:"region"`
	AZ           string     `json:"az"`
	Mode         agent.Mode `json:"mode"`
	HourlyPrice  float64    `json:"hourly_price,omitempty"` // USD; 0: unknown
	VCPUs        int        `json:"vcpus,omitempty"`        // 0: unknown
	Why          string     `json:"why"`                    // for the operators' page
}

// Key identifies an attempt of one replica: a pool can be tried as spot and
// as on-demand.
func (c Candidate) Key() string { return string(c.Mode) + "/" + c.PoolID }
