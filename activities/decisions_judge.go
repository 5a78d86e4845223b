package activities

import (
	"context"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/engine"
)

// JudgeInput asks what a session's engine thinks of an agent's place.
type JudgeInput struct {
	SessionID string       `json:"session_id"`
	AgentID   string       `json:"agent_id"`
	Given     engine.Given `json:"given"` // prices for where none are stored
}

// Judge has a session's engine judge one agent, and keeps and orders nothing, so it may
// run twice. It is for processes that run no uploaded code. Fails with
// engine.not_loaded, agent.not_found, engine.unavailable and engine.bad_answer.
func (d *Decisions) Judge(ctx context.Context, in JudgeInput) (*engine.Decision, error) {
	var e engine.Engine
	if d.EngineOf != nil {
		e = d.EngineOf(in.SessionID)
	}
	if e == nil {
		return nil, engine.NotLoaded.New("the session %s is not loaded in this worker", in.SessionID)
	}
	facts, err := d.Store.Inputs(ctx, []string{in.AgentID})
	if err != nil {
		return nil, err
	}
	if len(facts) == 0 {
		return nil, agent.NotFound.New("Agent not found")
	}
	facts[0].FillIn(in.Given)
	got, err := e.Decide(ctx, facts[0])
	if err != nil {
		return nil, err
	}
	return &got, nil
}
