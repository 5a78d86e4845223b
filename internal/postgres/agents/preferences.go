package agents

import (
	"context"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/trail"
	"spotkeeper/internal/postgres/pg"
)

// Preferences keep what people set for their agents. Which mode an agent is in is
// not among them: that is a decision of its Guardian.
type Preferences struct{ DB *pg.DB }

// AgentPreferences is a change of settings; null leaves a value as it is.
type AgentPreferences struct {
	Enabled        *bool
	AutoTerminate  *bool
	TerminateWait  *int // seconds
	ReplicaEnabled *bool
	ReplicaCount   *int

	// The limits of voluntary moves.
	MinSavings      *float64 // percent
	RiskThreshold   *float64
	SwitchesPerWeek *int
	SwitchesPerDay  *int
	MinPoolHours    *int
}

// agentPreferences is what events record of an agent's settings, of the row named by
// the prefix.
func agentPreferences(of string) string {
	return `jsonb_build_object('enabled', ` + of + `enabled, 'auto_terminate_enabled', ` + of +
		`auto_terminate_enabled, 'terminate_wait_seconds', ` + of + `terminate_wait_seconds,
		'replica_enabled', ` + of + `replica_enabled, 'replica_count', ` + of +
		`replica_count, 'min_savings_percent', ` + of + `min_savings_percent,
		'risk_threshold', ` + of + `risk_threshold, 'max_switches_per_week', ` + of +
		`max_switches_per_week, 'max_switches_per_day', ` + of + `max_switches_per_day,
		'min_pool_duration_hours', ` + of + `min_pool_duration_hours)`
}

// ChangeAgent changes an agent's settings and writes an event with what was and
// what is, if anything is different. It sets levels, so a second run changes nothing. Fails with
// agent.not_found; a deleted agent has no settings.
func (s *Preferences) ChangeAgent(
	ctx context.Context,
	clientID, agentID, actor, eventType string,
	in AgentPreferences,
) error {
	by := trail.RequestFrom(ctx)
	type found struct{ ID string }
	_, err := pg.QueryRow[found](ctx, s.DB, `
		WITH before AS (
			SELECT id, client_id, `+agentPreferences("")+` AS what
			FROM agents WHERE id = $1 AND ($2 = '' OR client_id = $2) AND status <> 'deleted' FOR NO KEY UPDATE),
		after AS (
			UPDATE agents a
			SET enabled = coalesce($5, a.enabled), auto_terminate_enabled = coalesce($6, a.auto_terminate_enabled),
				terminate_wait_seconds = coalesce($7, a.terminate_wait_seconds),
				replica_enabled = coalesce($8, a.replica_enabled),
				replica_count = coalesce($9, a.replica_count),
				min_savings_percent = coalesce($10, a.min_savings_percent),
				risk_threshold = coalesce($11, a.risk_threshold),
				max_switches_per_week = coalesce($12, a.max_switches_per_week),
				max_switches_per_day = coalesce($13, a.max_switches_per_day),
				min_pool_duration_hours = coalesce($14, a.min_pool_duration_hours), updated_at = now()
			FROM before b WHERE a.id = b.id
			RETURNING a.id, a.client_id, a.enabled, b.what AS was, `+agentPreferences("a.")+` AS what),
		told AS (
			INSERT INTO events (client_id, agent_id, type, actor, actor_kind, actor_id, actor_role, token_id, address,
				request_id, message, metadata)
			SELECT client_id, id, $4, $3, $15, $16, $17, $18, $19, $20,
				CASE WHEN $4 = 'agent_toggled' THEN 'Agent ' || id || CASE WHEN enabled THEN ' enabled' ELSE ' disabled' END
				ELSE 'Settings of agent ' || id || ' changed' END, jsonb_build_object('before', was, 'after', what)
			FROM after WHERE was <> what)
		SELECT id FROM after`,
		agentID, clientID, actor, eventType, in.Enabled, in.AutoTerminate, in.TerminateWait, in.ReplicaEnabled,
		in.ReplicaCount,
		in.MinSavings, in.RiskThreshold, in.SwitchesPerWeek, in.SwitchesPerDay, in.MinPoolHours, by.ActorKind, by.ActorID,
		by.ActorRole, by.TokenID, by.Address, by.RequestID)
	if pg.IsNoRows(err) {
		return agent.NotFound.New("Agent not found")
	}
	return err
}
