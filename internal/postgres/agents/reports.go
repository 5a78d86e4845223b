package agents

import (
	"context"
	"encoding/json"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres/pg"
)

// Terminated records an agent's last report: it is offline from now on. The report does not
// decide which instance becomes primary instead. from is the instance that is known to
// report, which ends nothing unless it is the primary; empty: any of the agent's. A second
// report is success and no news. Fails with agent.not_found.
func (s *Agents) Terminated(ctx context.Context, clientID, agentID, from, reason string) error {
	var found bool
	err := s.DB.Pool.QueryRow(ctx, `
WITH a AS (
    SELECT id,
        client_id,
        status = 'offline' AND terminated_at IS NOT NULL AS said
    FROM agents
    WHERE id = $1
      AND client_id = $2
      AND status <> 'deleted'
    FOR NO KEY UPDATE),
moved AS (
    UPDATE agents
    SET status = 'offline',
        terminated_at = now(),
        updated_at = now()
    FROM a
    WHERE agents.id = a.id
      AND NOT a.said
      AND ($4 = '' OR EXISTS (
          SELECT
          FROM instances i
          WHERE i.id = $4
            AND i.agent_id = a.id
            AND i.role = 'primary'))
    RETURNING a.id, a.client_id),
event AS (
    INSERT INTO events (client_id, agent_id, type, severity, actor, message, metadata)
    SELECT client_id, id, 'instance_terminated', 'warning', 'agent', 'Agent ' || id || ' terminated: ' || $3,
        jsonb_build_object('reason', $3::text)
    FROM moved),
notified AS (
    INSERT INTO notifications (client_id, message, severity)
    SELECT client_id, 'Agent ' || id || ' terminated: ' || $3, 'warning'
    FROM moved)
SELECT EXISTS (SELECT FROM a)`, agentID, clientID, reason, from).Scan(&found)
	if err == nil && !found {
		return agent.NotFound.New("Agent not found")
	}
	return pg.Translate(err)
}

// Cleanup is what an agent deleted on its own.
type Cleanup struct {
	ClientID         string
	AgentID          string
	DeletedSnapshots int
	DeletedAMIs      int
	DeletedInstances []string // that the agent terminated
	Failed           int
	Details          map[string]any
	At               time.Time // zero: now
}

// RecordCleanup keeps a cleanup report. Instances of the agent that it names as
// ended, and that are not the control plane's to end, are retired. Fails with agent.not_found.
func (s *Agents) RecordCleanup(ctx context.Context, c Cleanup) error {
	details, err := json.Marshal(c.Details)
	if err != nil {
		return err
	}
	var at *time.Time
	if !c.At.IsZero() {
		at = &c.At
	}
	tag, err := s.DB.Pool.Exec(ctx, `
		WITH a AS (
			UPDATE agents
			SET last_cleanup_at = coalesce($7::timestamptz, now())
			WHERE id = $1 AND client_id = $2 AND status <> 'deleted'
			RETURNING id, client_id),
		event AS (
			INSERT INTO events (client_id, agent_id, type, actor, message, metadata)
			SELECT client_id, id, 'cleanup_completed', 'agent',
				'Cleanup: ' || $3::int || ' snapshots and ' || $4::int || ' images deleted, ' || $5::int || ' failures',
				jsonb_build_object('deleted_snapshots', $3::int, 'deleted_amis', $4::int, 'failed', $5::int) FROM a),
		ended AS (
			UPDATE instances i
			SET role = 'retired', terminated_at = coalesce(i.terminated_at, clock_timestamp())
			FROM a
			WHERE i.agent_id = a.id
				AND i.id = ANY($8::text[])
				AND i.role = 'retiring'
				AND i.terminate_by IN ('agent', 'aws', 'nobody'))
		INSERT INTO cleanup_reports (client_id, agent_id, deleted_snapshots, deleted_amis, failed, details, executed_at)
		SELECT client_id, id, $3::int, $4::int, $5::int, $6::jsonb, coalesce($7::timestamptz, now()) FROM a`,
		c.AgentID, c.ClientID, c.DeletedSnapshots, c.DeletedAMIs, c.Failed, details, at, c.DeletedInstances)
	if err != nil {
		return pg.Translate(err)
	}
	if tag.RowsAffected() == 0 {
		return agent.NotFound.New("Agent not found")
	}
	return nil
}
