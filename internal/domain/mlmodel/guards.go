package mlmodel

import (
	"fmt"
	"time"
)

// Guards say when a rollout goes back by itself. A limit of zero is kept as zero:
// the first event of that kind breaks it.
type Guards struct {
	// FailedFailovers is how many failovers of its agents may fail in a stage.
	FailedFailovers int `json:"failed_failovers"`
	// SwitchesPerAgentDay is how often an agent may be moved by decisions, on average.
	SwitchesPerAgentDay float64 `json:"switches_per_agent_day"`
	// SpendPercent is how much more its agents may cost than the others, relative
	// to their on-demand references.
	SpendPercent float64 `json:"spend_percent"`
	// ErrorRate is the share of its decisions that may fail.
	ErrorRate float64 `json:"error_rate"`
	// MinDecisions is how many decisions say something. Below that its error rate
	// is not judged, and shadow and canary stages are not left by the clock.
	MinDecisions int `json:"min_decisions"`
}

// DefaultGuards are meant for any fleet.
func DefaultGuards() Guards {
	return Guards{SwitchesPerAgentDay: 2, SpendPercent: 10, ErrorRate: .05, MinDecisions: 10}
}

func (g Guards) validate() error {
	if g.FailedFailovers < 0 || g.SwitchesPerAgentDay < 0 || g.SpendPercent < 0 || g.ErrorRate < 0 ||
		g.ErrorRate > 1 || g.MinDecisions < 0 {
		return BadPlan.New("Guards must not be negative, and the error rate is a share between 0 and 1")
	}
	return nil
}

// Measure is the figures of a group of agents over a span of time.
type Measure struct {
	Agents          int     `json:"agents"`
	Decisions       int     `json:"decisions"`
	Errors          int     `json:"errors"` // decisions in which the engine gave no answer that could be used
	Switches        int     `json:"switches"`
	FailedFailovers int     `json:"failed_failovers"`
	Spend           float64 `json:"spend"`     // USD: all that ran for them
	Reference       float64 `json:"reference"` // USD: their primaries on demand
}

// SpendShare is what the group cost as a share of its on-demand reference; false
// when it is not known.
func (m Measure) SpendShare() (float64, bool) {
	if m.Reference <= 0 {
		return 0, false
	}
	return m.Spend / m.Reference, true
}

// Comparison is how shadow decisions compare with the live ones that were made
// from the same inputs.
type Comparison struct {
	Pairs     int     `json:"pairs"`
	Agree     int     `json:"agree"`
	Errors    int     `json:"errors"`     // of the shadow
	Moves     int     `json:"moves"`      // that the shadow wanted
	LiveMoves int     `json:"live_moves"` // that were wanted
	Regret    float64 `json:"regret"`     // USD per hour and decision: expected savings of the live decision above the shadow's
}

// Agreement is the share of pairs in which both decided the same.
func (c Comparison) Agreement() float64 {
	if c.Pairs == 0 {
		return 0
	}
	return float64(c.Agree) / float64(c.Pairs)
}

// Readings is the input of the guards.
type Readings struct {
	Since time.Time     `json:"since"`
	Span  time.Duration `json:"span"`
	// Group is the agents that the session decides for.
	Group Measure `json:"group"`
	// Others is the rest of the fleet; when it decides for all, the fleet before it did.
	Others Measure    `json:"others"`
	Shadow Comparison `json:"shadow"`
	// Gone says that another rollout has taken over, so that there is nothing left
	// to watch.
	Gone bool `json:"gone,omitempty"`
}

// leastSpan is the time over which a rate of switches, and what they cost, says
// something: many good models move some agents at once and then leave them alone.
const leastSpan = 6 * time.Hour

// SwitchRate is how often an agent of the group was moved per day.
func (r Readings) SwitchRate() float64 {
	if r.Group.Agents == 0 {
		return 0
	}
	return float64(r.Group.Switches) / float64(r.Group.Agents) / (max(r.Span, leastSpan).Hours() / 24)
}

// Breach is the first guard that readings break, in words; empty when all hold.
func (g Guards) Breach(phase Phase, r Readings) string {
	if phase == Shadow {
		if n := r.Shadow.Pairs; n > 0 && n >= g.MinDecisions && share(r.Shadow.Errors, n) > g.ErrorRate {
			return fmt.Sprintf("%.1f %% of its %d shadow decisions failed; %.1f %% may",
				share(r.Shadow.Errors, n)*100, n, g.ErrorRate*100)
		}
		return ""
	}
	if !phase.Touching() {
		return ""
	}
	if n := r.Group.FailedFailovers; n > g.FailedFailovers {
		return fmt.Sprintf("%d failovers of its agents failed; %d may", n, g.FailedFailovers)
	}
	if n := r.Group.Decisions; n > 0 && n >= g.MinDecisions && share(r.Group.Errors, n) > g.ErrorRate {
		return fmt.Sprintf("%.1f %% of its %d decisions failed; %.1f %% may", share(r.Group.Errors, n)*100, n,
			g.ErrorRate*100)
	}
	if rate := r.SwitchRate(); rate > g.SwitchesPerAgentDay {
		return fmt.Sprintf("its %d agents were moved %.1f times a day each; %.1f is the limit", r.Group.Agents, rate,
			g.SwitchesPerAgentDay)
	}
	its, known := r.Group.SpendShare()
	theirs, comparable := r.Others.SpendShare()
	if known && comparable && its > theirs*(1+g.SpendPercent/100)+r.spendNoise() {
		return fmt.Sprintf("its agents cost %.1f %% of on-demand and the others %.1f %%; %.0f %% more is the limit",
			its*100, theirs*100, g.SpendPercent)
	}
	return ""
}

// spendNoise is the difference of cost, as a share of on-demand, that means
// nothing: a move pays twice for minutes. Those minutes are the same however short
// the time is that was looked at, so that early in a stage they are most of it.
func (r Readings) spendNoise() float64 {
	const noise = .02
	return noise * float64(max(r.Span, leastSpan)) / float64(max(r.Span, time.Second))
}

// Enough says whether a stage may be left by the clock: a session that has decided too
// little stays in its stage.
func (g Guards) Enough(phase Phase, r Readings) bool {
	switch phase {
	case Shadow:
		return r.Shadow.Pairs >= g.MinDecisions
	case Canary:
		return r.Group.Decisions >= g.MinDecisions
	default:
		return true
	}
}

// Passes says whether the schedule may end a stage of the plan, with a remark if operators
// should know something. A share of a small fleet may round to no agent, and waiting does
// not change that: such a stage is passed when a larger one follows. The last stage is not
// passed, because the rollout has measured nothing then.
func (p Plan) Passes(stage int, r Readings) (passes bool, remark string) {
	stages := p.Stages()
	s := stages[stage]
	switch {
	case p.Guards.Enough(s.Phase, r):
		return true, ""
	case s.Phase != Canary || r.Group.Agents > 0:
		return false, fmt.Sprintf("its time is up; it has yet to decide %d times", p.Guards.MinDecisions)
	case stages[stage+1].Phase == Canary:
		return true, fmt.Sprintf("no agent is among its %d %%: nothing was learnt", s.Percent)
	default:
		return false, fmt.Sprintf("its time is up; no agent is among its %d %%, so it takes a promotion to go on",
			s.Percent)
	}
}

func share(part, whole int) float64 { return float64(part) / float64(whole) }
