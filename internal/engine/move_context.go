package engine

import (
	"errors"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
)

// MoveContext is what a voluntary move is judged by: all of an Input but prices. It
// is read again, in one transaction with the order, when a move is ordered.
type MoveContext struct {
	Now      time.Time `json:"now"`
	Agent    Agent     `json:"agent"`
	Instance Instance  `json:"instance"`
	Limits   Limits    `json:"limits"`
	Activity Activity  `json:"activity"`
	Holds    Blockers  `json:"holds"`
}

// Refusal says why the agent may not be moved now unless a person insists; nil:
// it may. Fails with agent.disabled, agent.auto_switch_off, and with the first of
// the vetoes; one of an operation names it.
func (s MoveContext) Refusal() error {
	switch {
	case !s.Agent.Enabled:
		return agent.Disabled.New("Agent is disabled").With("hint", "Enable the agent first")
	case !s.Agent.AutoSwitch:
		return agent.AutoOff.New("Auto-switch is disabled for this agent").With("auto_switch_enabled", false).
			With("hint", "Enable auto_switch_enabled in agent settings, or use manual switch from UI")
	}
	in := Input{Instance: s.Instance, Activity: s.Activity}
	vetoes := s.Limits.Judge(s.Now, in.activity(), s.Holds)
	refusal := Refusal(vetoes)
	if f, ok := errors.AsType[*fault.Error](refusal); ok && s.Holds.Operation != "" {
		return f.With("operation_id", s.Holds.Operation)
	}
	return refusal
}
