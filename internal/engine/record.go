package engine

import "time"

// Source is who asked for a decision.
type Source string

// Sources.
const (
	ByAgent    Source = "agent"    // the agent, or a page, wanted to know
	ByCommand  Source = "command"  // a move was ordered; the decision is the engine's opinion of it
	BySchedule Source = "schedule" // fleet-decisions, which acts on it
)

// Outcomes of a decision to move. Anything else is the code of what refused it.
const (
	OutcomeOpen    = "open"    // it is to be ordered
	OutcomeOrdered = "ordered" // there is a command
	OutcomeLapsed  = "lapsed"  // it was not ordered while it was fresh
	OutcomeFailed  = "failed"  // it could not be ordered; the veto says why
)

// Record is a decision as it is kept.
type Record struct {
	Input     Input
	Decision  Decision
	Shadow    bool // of an engine on trial; it is not acted on
	Source    Source
	Period    time.Time // of the run of fleet-decisions; zero otherwise
	Outcome   string    // of a move; empty: there was nothing to do
	CommandID string
}
