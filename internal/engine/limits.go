package engine

import (
	"fmt"
	"slices"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/approval"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/switching"
)

// Limits is the policy for voluntary moves. Involuntary ones (failovers) know
// no limits.
type Limits struct {
	MinSavingsPercent  float64       `json:"min_savings_percent"` // against the on-demand reference, and of a move against staying
	RiskThreshold      float64       `json:"risk_threshold"`      // probability of losing the instance within a day
	MaxSwitchesPerWeek int           `json:"max_switches_per_week"`
	MaxSwitchesPerDay  int           `json:"max_switches_per_day"`
	MinPoolDuration    time.Duration `json:"min_pool_duration"`
	CoolDown           time.Duration `json:"cool_down"`          // after any change of primary
	MaxMovingPercent   float64       `json:"max_moving_percent"` // of a client's agents at once; one is always allowed
	// MaxFleetMovingPercent is likewise of all clients' agents.
	MaxFleetMovingPercent float64 `json:"max_fleet_moving_percent"`
}

// DefaultLimits are the policy of a client who never set one.
func DefaultLimits() Limits {
	return Limits{
		MinSavingsPercent: 15, RiskThreshold: 0.30,
		MaxSwitchesPerWeek: 10, MaxSwitchesPerDay: 3,
		MinPoolDuration: 2 * time.Hour, CoolDown: 30 * time.Minute,
		MaxMovingPercent: 10, MaxFleetMovingPercent: 20,
	}
}

// Activity counts the agent's latest switches.
type Activity struct {
	SwitchesDay  int       `json:"switches_day"`            // voluntary, last 24 hours
	SwitchesWeek int       `json:"switches_week"`           // voluntary, last 7 days
	LastChangeAt time.Time `json:"last_change_at,omitzero"` // of the primary, for whatever reason
	PoolSince    time.Time `json:"pool_since,omitzero"`     // when the agent came into its present pool; zero on demand
}

// Blockers is the state that may forbid any voluntary move now.
type Blockers struct {
	Pauses       []Pause `json:"pauses,omitempty"`
	Notice       string  `json:"notice,omitempty"`    // kind of the notice that stands for the primary
	Operation    string  `json:"operation,omitempty"` // the one that is changing the agent
	ClientAgents int     `json:"client_agents,omitempty"`
	ClientMoving int     `json:"client_moving,omitempty"`
	FleetAgents  int     `json:"fleet_agents,omitempty"`
	FleetMoving  int     `json:"fleet_moving,omitempty"`
	// Consent is what the client allows; nil: everything.
	Consent *approval.Consent `json:"consent,omitempty"`
}

// Judge lists everything that forbids a voluntary move now, the most pressing
// first; empty means go.
func (l Limits) Judge(now time.Time, a Activity, h Blockers) []Veto {
	var vetoes []Veto
	veto := func(code fault.Code, format string, args ...any) {
		vetoes = append(vetoes, Veto{code, fmt.Sprintf(format, args...)})
	}
	if h.Notice != "" {
		veto(NoticeStands, "A %s stands for the primary, so only a failover may move it.", h.Notice)
	}
	if h.Operation != "" {
		veto(switching.Busy, "Operation %s is changing the agent.", h.Operation)
	}
	for _, p := range h.Pauses {
		if now.Before(p.Until) {
			veto(switching.Paused, "Voluntary moves are paused (%s) until %s%s.", p.Scope, formatTime(p.Until),
				joinReason(p.Reason))
		}
	}
	if until := a.LastChangeAt.Add(l.CoolDown); !a.LastChangeAt.IsZero() && now.Before(until) {
		veto(switching.CoolingDown, "The agent changed its primary at %s and cools down until %s.",
			formatTime(a.LastChangeAt), formatTime(until))
	}
	if until := a.PoolSince.Add(l.MinPoolDuration); !a.PoolSince.IsZero() && now.Before(until) {
		veto(switching.CoolingDown, "The agent stays at least %s in a pool, until %s.", l.MinPoolDuration,
			formatTime(until))
	}
	if a.SwitchesDay >= l.MaxSwitchesPerDay {
		veto(switching.LimitReached, "The agent has made %d of its %d switches in the last 24 hours.", a.SwitchesDay,
			l.MaxSwitchesPerDay)
	}
	if a.SwitchesWeek >= l.MaxSwitchesPerWeek {
		veto(switching.LimitReached, "The agent has made %d of its %d switches in the last 7 days.", a.SwitchesWeek,
			l.MaxSwitchesPerWeek)
	}
	if h.ClientAgents > 0 && roomToMove(h.ClientAgents, h.ClientMoving, l.MaxMovingPercent) == 0 {
		veto(ClientMoving, "%d of the client's %d agents are moving already.", h.ClientMoving, h.ClientAgents)
	}
	if h.FleetAgents > 0 && roomToMove(h.FleetAgents, h.FleetMoving, l.MaxFleetMovingPercent) == 0 {
		veto(FleetMoving, "%d of the fleet's %d agents are moving already.", h.FleetMoving, h.FleetAgents)
	}
	return vetoes
}

// roomToMove is how many more of some agents may start to move when a share of them
// may at once.
func roomToMove(agents, moving int, percent float64) int {
	return max(max(1, int(float64(agents)*percent/100))-moving, 0)
}

// Refusal makes one fault of vetoes for an answer to a caller, nil when there
// are none. It carries the code and sentence of the first, and all as "vetoes".
func Refusal(vetoes []Veto) error {
	if len(vetoes) == 0 {
		return nil
	}
	return vetoes[0].Code.New("%s", vetoes[0].Reason).With("vetoes", slices.Clone(vetoes))
}

// Validate judges a policy before it is set. Fails with
// engine.bad_limits.
func (l Limits) Validate() error {
	switch {
	case !(l.MinSavingsPercent >= 0 && l.MinSavingsPercent <= 100):
		return BadLimits.New("min_savings_percent must be between 0 and 100")
	case !(l.RiskThreshold >= 0 && l.RiskThreshold <= 1):
		return BadLimits.New("risk_threshold must be between 0 and 1")
	case l.MaxSwitchesPerWeek < 0 || l.MaxSwitchesPerDay < 0:
		return BadLimits.New("max_switches_per_week and max_switches_per_day must not be negative")
	case l.MinPoolDuration < 0 || l.CoolDown < 0:
		return BadLimits.New("durations must not be negative")
	case !(l.MaxMovingPercent >= 0 && l.MaxMovingPercent <= 100) ||
		!(l.MaxFleetMovingPercent >= 0 && l.MaxFleetMovingPercent <= 100):
		return BadLimits.New("max_moving_percent must be between 0 and 100")
	}
	return nil
}

// IsAt says whether the instance is at a place already, for the answer "already
// in target state".
func (i Instance) IsAt(mode agent.Mode, poolID string) bool {
	return i.Mode == mode && (mode != agent.Spot || i.PoolID == poolID)
}

func joinReason(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
