package activities

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
)

// commands is the namespace of the ids of commands that fleet-decisions orders.
var commands = uuid.MustParse("5f0c1d3e-8a57-4b1c-9a57-6d1f0e2b7c44")

// CommandOf is the id of the command of an agent in a period: who orders twice
// orders the same.
func CommandOf(agentID string, period time.Time) string {
	return uuid.NewSHA1(commands, []byte(agentID+"/"+period.UTC().Format(time.RFC3339Nano))).String()
}

// panel asks engines for the length of a run. One that fails several times in a
// row is not asked again: ten thousand agents do not wait for it one by one.
type panel struct {
	engineFor func(agentID string) engine.Engine
	patience  time.Duration
	failures  map[string]int // in a row, by engine and version
}

func newPanel(engineFor func(string) engine.Engine, patience time.Duration) *panel {
	return &panel{engineFor: engineFor, patience: cmp.Or(patience, fleetPatience), failures: map[string]int{}}
}

// ask never fails: an engine in trouble answers "stay", with the reason.
func (p *panel) ask(ctx context.Context, in engine.Input, otherwise engine.Engine) engine.Decision {
	e := otherwise
	if p.engineFor != nil {
		if own := p.engineFor(in.Agent.ID); own != nil {
			e = own
		}
	}
	if e == nil { // it was withdrawn a moment ago
		e = engine.Rules{}
	}
	key := e.Name() + "/" + e.Version()
	if p.failures[key] >= tooManyFailures {
		e = silent{e}
	}
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	d := engine.Decide(ctx, e, in)
	p.failures[key]++
	if len(d.Vetoes) == 0 || d.Vetoes[0].Code != engine.Unavailable && d.Vetoes[0].Code != engine.BadAnswer {
		p.failures[key] = 0
	}
	return d
}

// silent takes the place of an engine that is no longer asked in this run.
type silent struct{ engine.Engine }

// Decide implements engine.Engine.
func (silent) Decide(context.Context, engine.Input) (engine.Decision, error) {
	return engine.Decision{}, engine.Unavailable.New(
		"the engine failed %d times in a row and is not asked again in this run", tooManyFailures)
}

// sentenceOf is what a fault says to users.
func sentenceOf(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Message
	}
	return err.Error()
}
