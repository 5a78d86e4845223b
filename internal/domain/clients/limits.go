package clients

import "spotkeeper/internal/domain/fault"

// Ways to have enough.
var (
	TooManyAgents   = fault.Define("limits.agents", fault.Conflict)
	TooManyReplicas = fault.Define("limits.open_replicas", fault.Limited)
	TooManyLaunches = fault.Define("limits.launches", fault.Limited)
	BadLimits       = fault.Define("limits.invalid", fault.Invalid)
)

// Limits are what a client may have. They bound the bill that a leaked token can make.
// What an interruption needs is launched beyond them.
type Limits struct {
	Agents          int // that are not deleted
	OpenReplicas    int // that have not ended
	LaunchesPerHour int
}

// DefaultLimits are those of a client for whom an operator has set none.
func DefaultLimits() Limits { return Limits{Agents: 10_000, OpenReplicas: 1000, LaunchesPerHour: 1000} }

// Usage counts what a client has of each limited thing.
type Usage struct {
	Agents           int
	OpenReplicas     int
	LaunchesThisHour int
}

// CheckLaunch says whether one more instance may be launched because the client asks for
// it. Fails with limits.open_replicas and limits.launches.
func (l Limits) CheckLaunch(u Usage) error {
	switch {
	case u.OpenReplicas >= l.OpenReplicas:
		return TooManyReplicas.New(
			"The client has %d replicas, and may have %d: remove one, or ask an operator for more.", u.OpenReplicas,
			l.OpenReplicas).With("limit", l.OpenReplicas)
	case u.LaunchesThisHour >= l.LaunchesPerHour:
		return TooManyLaunches.New(
			"%d instances were launched for the client within an hour, and it may have %d: wait, or ask an operator for more.",
			u.LaunchesThisHour,
			l.LaunchesPerHour,
		).With("limit", l.LaunchesPerHour)
	default:
		return nil
	}
}

// Validate refuses limits that make no sense. Fails with limits.invalid.
func (l Limits) Validate() error {
	const most = 1_000_000
	for _, n := range []int{l.Agents, l.OpenReplicas, l.LaunchesPerHour} {
		if n < 0 || n > most {
			return BadLimits.New("A limit is between 0 and %d", most)
		}
	}
	return nil
}
