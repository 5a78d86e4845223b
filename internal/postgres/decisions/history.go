package decisions

import (
	"context"
	"encoding/json"
	"time"

	"spotkeeper/internal/postgres/pg"
)

// MadeDecision is a decision as it was kept. One that was said several times in a row
// shows the numbers and words of the last time.
type MadeDecision struct {
	At              time.Time // when it was said last
	FirstAt         time.Time
	Count           int // how often it was said
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
// them, the one that was said last first.
func (s *Decisions) DecisionsOf(ctx context.Context, agentID string, limit int) ([]MadeDecision, error) {
	return pg.QueryRows[MadeDecision](ctx, s.DB, `
		SELECT coalesce(d.last_at, d.created_at) AS at, d.created_at AS first_at, d.repeats AS count, d.source,
			d.engine, d.engine_version, d.shadow, d.action, d.pool_id,
			d.risk_score::float8 AS risk_score, d.expected_savings::float8 AS expected_savings,
			d.confidence::float8 AS confidence, d.reason, d.vetoes, d.scores, d.inputs,
			d.outcome, d.command_id
		FROM (VALUES ('agent'), ('command'), ('schedule')) AS s(source)
		CROSS JOIN (VALUES (false), (true)) AS t(shadow)
		CROSS JOIN LATERAL (
			SELECT *
			FROM decisions d
			WHERE d.agent_id = $1 AND d.source = s.source AND d.shadow = t.shadow
			ORDER BY d.id DESC
			LIMIT $2) d
		ORDER BY at DESC, d.id DESC
		LIMIT $2`, agentID, limit)
}

// SwitchesOf lists an agent's newest switches.
func (s *Decisions) SwitchesOf(ctx context.Context, agentID string, limit int) ([]MadeSwitch, error) {
	return pg.QueryRows[MadeSwitch](
		ctx,
		s.DB,
		`
		SELECT s.initiated_at AS at, s.operation_id, s.trigger, s.phase, s.from_mode, s.from_pool, s.to_mode, s.to_pool,
		s.savings_impact::float8 AS savings_impact, s.error_code, coalesce(c.reason, '') AS reason,
		coalesce(c.created_by, '') AS by
		FROM switches s
		LEFT JOIN commands c ON c.id = s.id
		WHERE s.agent_id = $1
		ORDER BY s.initiated_at DESC, s.id
		LIMIT $2`,
		agentID,
		limit,
	)
}
