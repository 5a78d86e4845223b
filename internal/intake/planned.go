package intake

import (
	"context"
	"log/slog"
	"time"
)

// Ends of a planned move.
const (
	moveOrdered = "ordered" // a switch was ordered
	moveGone    = "gone"    // the agent lives elsewhere
	moveMissed  = "missed"  // AWS's time came first
)

const (
	planEvery  = 5 * time.Second
	planAtOnce = 10
	planWithin = 20 * time.Second
	// insist is how long before AWS's time a move no longer waits for the limits and pauses
	// that hold for moves that can wait.
	insist = time.Hour
)

// PlannedMove is the move of an agent before AWS stops or retires its instance.
type PlannedMove struct {
	EventID    string
	InstanceID string
	AgentID    string
	Reason     string    // such as AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED
	Due        time.Time // when AWS acts
	Over       bool      // that was before now
	Lives      bool      // the instance is the agent's primary still
	Mode       string    // where it goes: spot or ondemand
	PoolID     string
}

// Planned orders the moves that AWS's scheduled changes make necessary. Each is a switch
// like one that a person orders.
type Planned struct {
	Store interface {
		// Claim gives moves that are due, each to one caller.
		Claim(ctx context.Context, limit int) ([]PlannedMove, error)
		// Order orders the switch of a move, once however often it is called. A voluntary one
		// is refused while limits or pauses forbid it.
		Order(ctx context.Context, m PlannedMove, voluntary bool) (commandID string, err error)
		// Close ends a move.
		Close(ctx context.Context, m PlannedMove, result, commandID string) error
		// RecordRefusal keeps why a move was refused, which is tried again.
		RecordRefusal(ctx context.Context, m PlannedMove, why error) error
	}
	Log *slog.Logger
	Now func() time.Time
}

// Run orders moves until ctx ends.
func (p *Planned) Run(ctx context.Context) error {
	tick := time.NewTicker(planEvery)
	defer tick.Stop()
	for {
		if err := p.Round(ctx); err != nil && ctx.Err() == nil {
			p.Log.WarnContext(ctx, "planned moves wait", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Round orders the moves that are due.
func (p *Planned) Round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, planWithin)
	defer cancel()
	moves, err := p.Store.Claim(ctx, planAtOnce)
	if err != nil {
		return err
	}
	for _, m := range moves {
		if err := p.move(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (p *Planned) move(ctx context.Context, m PlannedMove) error {
	switch {
	case !m.Lives:
		return p.Store.Close(ctx, m, moveGone, "")
	case m.Over:
		p.Log.WarnContext(ctx, "an agent was not moved before AWS's time", "agent_id", m.AgentID,
			"instance_id", m.InstanceID, "reason", m.Reason)
		return p.Store.Close(ctx, m, moveMissed, "")
	}
	id, err := p.Store.Order(ctx, m, m.Due.Sub(p.Now()) > insist)
	if err != nil {
		p.Log.WarnContext(ctx, "a planned move is tried again", "agent_id", m.AgentID, "instance_id", m.InstanceID,
			"error", err)
		return p.Store.RecordRefusal(ctx, m, err)
	}
	p.Log.InfoContext(ctx, "an agent moves before AWS's time", "agent_id", m.AgentID, "instance_id", m.InstanceID,
		"command_id", id, "reason", m.Reason, "due", m.Due)
	return p.Store.Close(ctx, m, moveOrdered, id)
}
