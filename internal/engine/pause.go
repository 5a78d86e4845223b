package engine

import (
	"time"

	"spotkeeper/internal/domain/fault"
)

// BadPause means that a pause ends at no sane time.
var BadPause = fault.Define("engine.bad_pause", fault.Invalid)

// Scope is whom a pause stops.
type Scope string

// Scopes of a pause.
const (
	ScopeGlobal Scope = "global"
	ScopeClient Scope = "client"
	ScopeAgent  Scope = "agent"
)

// How long a pause lasts by default, and how long at most: one without an
// end is one that was forgotten.
const (
	DefaultPause = time.Hour
	LongestPause = 90 * day
)

// Pause stops voluntary moves until a time. Failovers, and what a person insists
// on, go on.
type Pause struct {
	Scope  Scope     `json:"scope"`
	Until  time.Time `json:"until"`
	Reason string    `json:"reason,omitempty"`
}

// Validate judges a pause before it is set. Fails with engine.bad_pause.
func (p Pause) Validate(now time.Time) error {
	switch {
	case !p.Until.After(now):
		return BadPause.New("A pause must end in the future.")
	case p.Until.Sub(now) > LongestPause:
		return BadPause.New("A pause lasts at most %d days.", int(LongestPause.Hours()/24))
	}
	return nil
}

// Breaker says when voluntary moves are paused by themselves.
type Breaker struct {
	Moves      int           // of one client that failed or met a pool without capacity; 0: never
	FleetMoves int           // likewise of all clients
	Within     time.Duration // the time in which they count
	Pause      time.Duration
}

// NewBreaker is the breaker for a number of moves of one client.
func NewBreaker(moves int) Breaker {
	return Breaker{Moves: moves, FleetMoves: 4 * moves, Within: 30 * time.Minute, Pause: time.Hour}
}
