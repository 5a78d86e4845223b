package postgres

import (
	"context"
	"encoding/json"
	"time"
)

// MadeDecision is a decision as it was kept.
type MadeDecision struct {
	At              time.Time
	Source          string
	Engine          string
	EngineVersion   string
	Shadow          bool
	Action          string // the legacy word
	PoolID          string
	RiskScore       float64
	ExpectedSavings float64 // USD per hour
	Confidence      float64
	Reason          string
	Vetoes          json.RawMessage
	Scores          json.RawMessage
	Inputs          json.RawMessage
	Outcome         string
	CommandID       *string
}

// MadeSwitch is a switch of an agent, whatever became of it.
type MadeSwitch struct {
	At            time.Time
	OperationID   string
	Trigger       string
	Phase         string
	FromMode      string
	FromPool      *string
	ToMode        string
	ToPool        *string
	SavingsImpact *float64 // USD per hour; positive is cheaper
	ErrorCode     *string
	Reason        string // of its command
	By            string
}

// DecisionsOf lists an agent's newest decisions, those of engines on trial among
// them.
func (s *Decisions) DecisionsOf(ctx context.Context, agentID string, limit int) ([]MadeDecision, error) {
	return rows[MadeDecision](ctx, s.DB, `SELECT created_at AS at, source, engine, engine_version, shadow, action, pool_id, risk_score::float8 AS risk_score,
		expected_savings::float8 AS expected_savings, confidence::float8 AS confidence, reason, vetoes, scores, inputs, outcome, command_id
		FROM decisions WHERE agent_id = $1 ORDER BY id DESC LIMIT $2`, agentID, limit)
}

// SwitchesOf lists an agent's newest switches.
func (s *Decisions) SwitchesOf(ctx context.Context, agentID string, limit int) ([]MadeSwitch, error) {
	return rows[MadeSwitch](ctx, s.DB, `SELECT s.initiated_at AS at, s.operation_id, s.trigger, s.phase, s.from_mode, s.from_pool, s.to_mode, s.to_pool,
		s.savings_impact::float8 AS savings_impact, s.error_code, coalesce(c.reason, '') AS reason, coalesce(c.created_by, '') AS by
		FROM switches s LEFT JOIN commands c ON c.id = s.id WHERE s.agent_id = $1 ORDER BY s.initiated_at DESC, s.id LIMIT $2`, agentID, limit)
}
