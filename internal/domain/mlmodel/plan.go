package mlmodel

import (
	"time"
)

// Plan is how a session earns its way: so long beside the live engine, then for
// a share of the agents, then for all of them, under guards.
type Plan struct {
	// Shadow is how long its decisions are only recorded; 0 leaves that out.
	Shadow time.Duration `json:"shadow"`
	// Canary lists the percentages of agents it decides for, ascending.
	Canary []int `json:"canary"`
	// Step is how long each of them lasts.
	Step time.Duration `json:"step"`
	// Watch is how long it is watched once it is live.
	Watch  time.Duration `json:"watch"`
	Guards Guards        `json:"guards"`
	// Back says that it is the fallback that comes back: what was live is archived.
	Back bool `json:"back,omitempty"`
}

// Bounds of a plan.
const (
	maxDwell  = 14 * 24 * time.Hour
	maxCanary = 10
	watchFor  = 30 * time.Minute
)

// Immediate is the plan of the deployed page's buttons: validate, swap, watch for
// half an hour, roll back by itself.
func Immediate() Plan { return Plan{Watch: watchFor, Guards: DefaultGuards()} }

// DefaultPlan is the plan of a rollout for which the operator named a session only.
func DefaultPlan() Plan {
	return Plan{
		Shadow: 24 * time.Hour,
		Canary: []int{1, 5, 25, 50},
		Step:   6 * time.Hour,
		Watch:  24 * time.Hour,
		Guards: DefaultGuards(),
	}
}

// Immediate says whether nothing comes before the swap.
func (p Plan) Immediate() bool { return p.Shadow == 0 && len(p.Canary) == 0 }

// Validate judges the form of a plan. Fails with mlmodel.bad_plan.
func (p Plan) Validate() error {
	for _, d := range []time.Duration{p.Shadow, p.Step, p.Watch} {
		if d < 0 || d > maxDwell {
			return BadPlan.New("Shadow, step and watch times must be between 0 and %d days", int(maxDwell.Hours()/24))
		}
	}
	if len(p.Canary) > maxCanary {
		return BadPlan.New("A plan has at most %d canary steps", maxCanary)
	}
	before := 0
	for _, percent := range p.Canary {
		if percent <= before || percent >= 100 {
			return BadPlan.New("Canary percentages must rise and lie between 1 and 99, not %v", p.Canary)
		}
		before = percent
	}
	if len(p.Canary) > 0 && p.Step == 0 {
		return BadPlan.New("Canary steps need a step time")
	}
	return p.Guards.validate()
}

// Phase is where a rollout stands.
type Phase string

// Phases. The last four are ends.
const (
	Validating Phase = "validating"
	Shadow     Phase = "shadow"
	Canary     Phase = "canary"
	Live       Phase = "live" // it decides for all agents and is watched
	Completed  Phase = "completed"
	Aborted    Phase = "aborted"
	RolledBack Phase = "rolled_back"
	Rejected   Phase = "refused" // by its validation
)

// Ended says whether nothing more comes.
func (p Phase) Ended() bool {
	switch p {
	case Completed, Aborted, RolledBack, Rejected:
		return true
	default:
		return false
	}
}

// Touching says whether the session decides for any agent.
func (p Phase) Touching() bool { return p == Canary || p == Live }

// Stage is one step of a plan.
type Stage struct {
	Phase   Phase         `json:"phase"`
	Percent int           `json:"percent"` // of the agents it decides for
	For     time.Duration `json:"for"`
}

// Stages lists what comes after validation, in order.
func (p Plan) Stages() []Stage {
	var stages []Stage
	if p.Shadow > 0 {
		stages = append(stages, Stage{Phase: Shadow, For: p.Shadow})
	}
	for _, percent := range p.Canary {
		stages = append(stages, Stage{Phase: Canary, Percent: percent, For: p.Step})
	}
	return append(stages, Stage{Phase: Live, Percent: 100, For: p.Watch})
}

// Every is how often a stage's guards are looked at: often enough that a bad
// model has little time, seldom enough that a week of it fits a history.
func (s Stage) Every() time.Duration {
	return min(max(s.For/20, 15*time.Second), 5*time.Minute)
}
