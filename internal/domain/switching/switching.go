// Package switching defines how an agent moves to another instance because
// it is wanted, not because it is necessary. It is pure.
package switching

import (
	"slices"
	"strings"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
)

// Ways to fail.
var (
	NeverReady    = fault.Define("switch.never_ready", fault.Conflict)
	Silent        = fault.Define("switch.agent_silent", fault.Conflict) // the new instance runs, but its agent is silent
	CalledOff     = fault.Define("switch.called_off", fault.Conflict)
	Busy          = fault.Define("switch.busy", fault.Conflict) // another operation is in flight; names it
	CoolingDown   = fault.Define("switch.cooling_down", fault.Conflict)
	LimitReached  = fault.Define("switch.limit_reached", fault.Conflict)
	Paused        = fault.Define("switch.paused", fault.Conflict)
	PoolBlocked   = fault.Define("switch.pool_blocked", fault.Conflict) // a person keeps launches out of the pool
	InvalidTarget = fault.Define("switch.invalid_target", fault.Invalid)
	NotFound      = fault.Define("switch.command_not_found", fault.NotFound)
	AlreadyDone   = fault.Define("switch.command_already_done", fault.Conflict)
)

// Phase is where a switch stands.
type Phase string

// Phases, in the order of the happy path. CuttingOver is the point of no return.
const (
	Launching   Phase = "launching"
	Waiting     Phase = "waiting_until_ready"
	CuttingOver Phase = "cutting_over"
	Retiring    Phase = "retiring_old"
	Done        Phase = "done"
	Abandoned   Phase = "abandoned"
)

// FreesAgent says whether other switches no longer have to wait for this one.
func (p Phase) FreesAgent() bool { return p == Retiring || p == Done || p == Abandoned }

// Priorities of commands, as the deployed agents know them: 50 and more is
// reported as manual.
const (
	PriorityEmergency = 100
	PriorityManual    = 75
	PriorityUrgent    = 50
	PriorityModel     = 25
	PriorityScheduled = 10
	PriorityDefault   = 5
)

// Durations that rules and tests know.
const (
	ReadyDeadline = 10 * time.Minute // our launch to ready
	AgentDeadline = 20 * time.Minute // for an agent that performs the switch itself
	WordDeadline  = 5 * time.Minute  // from ready to the first message of the agent on the new instance
	CommandLease  = 5 * time.Minute  // a delivered command is not delivered again so soon
)

// Target is where a switch goes.
type Target struct {
	Mode         agent.Mode `json:"mode"`
	PoolID       string     `json:"pool_id,omitempty"` // needed for spot
	InstanceType string     `json:"instance_type,omitempty"`
}

// CurrentPlace is where an agent runs, and what is known of its target.
type CurrentPlace struct {
	InstanceType string
	PoolID       string
	Region       string
	Mode         agent.Mode
	Architecture string   // of the image; empty: not known
	TargetRegion string   // of the target's pool
	TargetRuns   []string // architectures of the target's type; none: not known
	Unoffered    bool     // EC2's types of the region are known, and the target's is not among them
	Hidden       bool     // its user data may not be read, and no launch template has it
}

// JudgeFrom refuses an order that cannot work, or that changes nothing. Fails with
// switch.invalid_target.
func (t Target) JudgeFrom(h CurrentPlace) error {
	instanceType, _, err := agent.SplitPool(t.PoolID)
	if t.InstanceType != "" || err != nil {
		instanceType = t.InstanceType
	}
	switch {
	case t.PoolID != "" && h.TargetRegion != "" && h.Region != "" && h.TargetRegion != h.Region:
		return InvalidTarget.New("The pool %s lies in %s and the agent runs in %s: an agent moves within its region.",
			t.PoolID, h.TargetRegion, h.Region)
	case t.Mode == agent.Spot && h.Mode == agent.Spot && t.PoolID == h.PoolID:
		return InvalidTarget.New("The agent runs in the pool %s already.", h.PoolID)
	case t.Mode == agent.OnDemand && h.Mode == agent.OnDemand && t.PoolID == "" &&
		(instanceType == "" || instanceType == h.InstanceType):
		return InvalidTarget.New("The agent runs on-demand already.")
	case h.Unoffered:
		return InvalidTarget.New("EC2 offers no instance type %s in %s.", instanceType, h.Region)
	case h.Hidden:
		return InvalidTarget.New(
			"The instance's user data may not be read, so a replacement would start without it: allow ec2:DescribeInstanceAttribute.",
		)
	case h.Architecture != "" && len(h.TargetRuns) > 0 && !slices.Contains(h.TargetRuns, h.Architecture):
		return InvalidTarget.New("The agent's image runs on %s, and %s is %s: choose a type that runs %s.",
			h.Architecture, instanceType, strings.Join(h.TargetRuns, " and "), h.Architecture)
	}
	return nil
}

// Validate judges the form. Fails with switch.invalid_target.
func (t Target) Validate() error {
	switch {
	case t.Mode != agent.Spot && t.Mode != agent.OnDemand:
		return InvalidTarget.New("Invalid target_mode")
	case t.Mode == agent.Spot && t.PoolID == "":
		return InvalidTarget.New("target_pool_id required for spot mode")
	case t.PoolID != "":
		_, _, err := agent.SplitPool(t.PoolID)
		return err
	}
	return nil
}
