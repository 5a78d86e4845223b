// Package switching defines how an agent moves to another instance because
// it is wanted, not because it is necessary. It is pure.
package switching

import (
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
)

// Ways to fail.
var (
	NeverReady    = fault.Define("switch.never_ready", fault.Conflict)
	CalledOff     = fault.Define("switch.called_off", fault.Conflict)
	Busy          = fault.Define("switch.busy", fault.Conflict) // another operation is in flight; names it
	CoolingDown   = fault.Define("switch.cooling_down", fault.Conflict)
	LimitReached  = fault.Define("switch.limit_reached", fault.Conflict)
	Paused        = fault.Define("switch.paused", fault.Conflict)
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

// Over says whether no other switch has to wait for this one any more.
func (p Phase) Over() bool { return p == Retiring || p == Done || p == Abandoned }

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
	CommandLease  = 5 * time.Minute  // a delivered command is not delivered again so soon
)

// Target is where a switch goes.
type Target struct {
	Mode         agent.Mode `json:"mode"`
	PoolID       string     `json:"pool_id,omitempty"` // needed for spot
	InstanceType string     `json:"instance_type,omitempty"`
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
