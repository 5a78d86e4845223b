package engine

import (
	"fmt"

	"spotkeeper/internal/domain/agent"
)

// Explain gives the reasons of a decision in sentences: the agent's place and its cost, the
// place that is wanted, what delays the move, and the objections to each other place.
func Explain(in Input, d Decision) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if in.Instance.ID == "" {
		say("The agent has no primary, so there is nothing to move.")
		return out
	}
	say("%s", in.whereabouts(d))
	engine := fmt.Sprintf("The engine (%s %s)", d.Engine, d.Version)
	switch {
	case d.AsksForSwitch():
		say("%s wants to move it to %s, which saves $%.4f per hour against where it is: %s", engine,
			placeName(d.Mode, d.PoolID), d.Gain, d.Reason)
	case d.Wanted != nil:
		mode := agent.Spot
		if d.Wanted.Action == SwitchToOnDemand {
			mode = agent.OnDemand
		}
		say("%s wants to move it to %s, but is held back.", engine, placeName(mode, d.Wanted.PoolID))
	default:
		say("%s leaves it where it is: %s", engine, d.Reason)
	}
	for _, v := range d.Vetoes {
		say("Against any move: %s (%s)", v.Reason, v.Code)
	}
	out = append(out, in.Holds.Consent.Sentences(in.Now, in.Instance.ID)...)
	for _, s := range d.Scores {
		if !s.Current && len(s.Vetoes) > 0 {
			say("Against %s: %s (%s)", placeName(s.Mode, s.PoolID), s.Vetoes[0].Reason, s.Vetoes[0].Code)
		}
	}
	switch {
	case !in.Agent.Enabled:
		say("The agent is disabled, so this is not acted on.")
	case !in.Agent.AutoSwitch:
		say("The agent is not in auto mode, so this is not acted on.")
	}
	l, a := in.Limits, in.Activity
	say(
		"It has made %d of at most %d switches in 24 hours and %d of %d in 7 days. A move must save at least %.1f%%, and no pool with a risk over %.0f%% a day is chosen, however risky the present one is.",
		a.SwitchesDay,
		l.MaxSwitchesPerDay,
		a.SwitchesWeek,
		l.MaxSwitchesPerWeek,
		l.MinSavingsPercent,
		l.RiskThreshold*100,
	)
	say(
		"%d of the client's %d agents are moving (at most %.0f%% at once, and always one), and %d of all %d (at most %.0f%%); one that only ends its old instance has moved.",
		in.Holds.ClientMoving,
		in.Holds.ClientAgents,
		l.MaxMovingPercent,
		in.Holds.FleetMoving,
		in.Holds.FleetAgents,
		l.MaxFleetMovingPercent,
	)
	return out
}

// whereabouts says where the agent runs and what that costs.
func (in Input) whereabouts(d Decision) string {
	place := placeName(in.Instance.Mode, in.Instance.spotPool())
	p, known := in.pool(in.Instance.spotPool())
	switch {
	case in.Instance.Mode == agent.OnDemand && in.OnDemand.IsKnown():
		return fmt.Sprintf("The agent runs %s at $%.4f per hour.", place, in.OnDemand.USD)
	case known && p.Price.IsKnown() && in.OnDemand.IsKnown():
		return fmt.Sprintf(
			"The agent runs in %s at $%.4f per hour, %.1f%% below on-demand ($%.4f), with a risk of %.1f%% of being interrupted within a day.",
			place,
			p.Price.USD,
			(1-p.Price.USD/in.OnDemand.USD)*100,
			in.OnDemand.USD,
			d.Risk*100,
		)
	default:
		return fmt.Sprintf("The agent runs in %s; what that costs is not known.", place)
	}
}

func placeName(mode agent.Mode, poolID string) string {
	if mode == agent.Spot {
		return "spot pool " + poolID
	}
	return "on-demand"
}
