package switching

import (
	"time"

	"spotkeeper/internal/domain/agent"
)

// Report is a switch as its agent saw it. Prices are USD per hour, nil when
// they are not known; times are zero when they are not.
type Report struct {
	ClientID    string
	AgentID     string
	CommandID   string // empty: the one that the agent was given
	Trigger     string
	OldID       string
	NewID       string
	OldMode     string
	NewMode     string
	OldPool     string
	NewPool     string
	OnDemand    *float64
	OldSpot     *float64
	NewSpot     *float64
	Timing      map[string]any
	Snapshot    map[string]any
	InitiatedAt time.Time
	LaunchedAt  time.Time
	ReadyAt     time.Time
	SwitchedAt  time.Time
	EndedOldAt  time.Time // when the agent terminated the old instance
}

// Savings is what the switch saves per hour; a price of 0 is one that the agent
// did not find. Nil when either side is unknown.
func (r Report) Savings() *float64 {
	pick := func(prices ...*float64) *float64 {
		for _, p := range prices {
			if p != nil && *p > 0 {
				return p
			}
		}
		return nil
	}
	before, after := pick(r.OldSpot, r.OnDemand), pick(r.NewSpot, r.OnDemand)
	if before == nil || after == nil {
		return nil
	}
	saved := *before - *after
	return &saved
}

// Key recognizes a report that comes again: an instance is new only once.
func (r Report) Key() string { return r.AgentID + "/" + r.OldID + "/" + r.NewID }

// Reported names the switch that a report belongs to.
type Reported struct {
	SwitchID  string // the command's id, or the new instance's when nothing ordered it
	CommandID string // empty: nothing ordered it
	Launcher  agent.Launcher
	First     bool // the report was not known: its operation is open
}

// CommandOutcome is how a command went, as its agent says. A nil Success is an old
// agent that does not say: then the command went well if its switch was reported.
type CommandOutcome struct {
	Success *bool
	Message string
	From    string // the instance that is known to report it; empty: any of the agent's
}
