package agents

import (
	"context"
	"encoding/json"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/pg"
)

// HookResult is how one run of a hook on an instance ended.
type HookResult struct {
	Name    string  `json:"name"`    // event/NN-name
	Attempt int     `json:"attempt"` // above one when an earlier run was cut off
	Exit    int     `json:"exit"`
	Seconds float64 `json:"seconds"` // how long it ran
	Ago     float64 `json:"ago"`     // how many seconds before the report it ended: the clock of an instance may be wrong
	Output  string  `json:"output"`
}

// HookResults are the hooks that an agent has run for one notice.
type HookResults struct {
	ClientID    string
	AgentID     string
	InstanceID  string
	NoticeID    string // the agent's name of the occasion
	Kind        string // interruption.Kind, or drain
	OperationID string // from the answer to the notice; empty when there was none
	Hooks       []HookResult
}

// recordHooks writes each run once: into the timeline of the operation $5 of the agent, where
// there is one, and as an event. A hook that failed is a notification too, one for each hook
// of an agent.
const recordHooks = `
WITH a AS (
    SELECT id, client_id, logical_agent_id
    FROM agents
    WHERE id = $1
      AND client_id = $2
      AND status <> 'deleted'),
run AS (
    SELECT r.*,
        clock_timestamp() - make_interval(secs => least(greatest(r.ago, 0), 86400)) AS ended_at,
        CASE r.exit
            WHEN 0 THEN 'it ended well'
            WHEN 124 THEN 'its time was over'
            WHEN 127 THEN 'it did not start'
            ELSE 'exit ' || r.exit
        END || ' after ' || round(greatest(r.seconds, 0)::numeric, 1) || ' s' AS said
    FROM jsonb_to_recordset($6) AS r(name text, attempt int, exit int, seconds float8, ago float8, output text)),
line AS (
    INSERT INTO operation_steps (operation_id, run_id, seq, name, status, detail, at)
    SELECT o.id, 'hook:' || $3::text || '/' || r.name, r.attempt, 'hook ' || r.name,
        CASE WHEN r.exit = 0 THEN 'done' ELSE 'failed' END,
        'on ' || $3::text || ': ' || r.said || CASE WHEN r.exit <> 0 AND r.output <> '' THEN ': ' || r.output ELSE '' END,
        r.ended_at
    FROM a
    JOIN operations o ON o.agent_id = a.id AND o.id = $5
    CROSS JOIN run r
    ON CONFLICT (operation_id, run_id, seq) DO NOTHING),
event AS (
    INSERT INTO events (client_id, agent_id, type, severity, actor, message, metadata, dedup_key)
    SELECT a.client_id, a.id, 'hook_ended', CASE WHEN r.exit = 0 THEN 'info' ELSE 'warning' END, 'agent',
        'Hook ' || r.name || ' of ' || a.logical_agent_id || ' on ' || $3::text || ': ' || r.said,
        jsonb_build_object('instance_id', $3::text, 'hook', r.name, 'exit', r.exit, 'seconds', r.seconds,
            'attempt', r.attempt, 'output', r.output, 'notice', $4::text, 'operation_id', nullif($5::text, '')),
        'hook:' || a.id || '/' || $4::text || '/' || r.name || '/' || r.attempt
    FROM a
    CROSS JOIN run r
    ON CONFLICT (dedup_key) DO NOTHING
    RETURNING client_id, agent_id, severity, message, metadata->>'hook' AS hook),
warned AS (
    INSERT INTO notifications AS n (client_id, message, severity, dedup_key)
    SELECT DISTINCT ON (hook) client_id, message, 'warning', 'hook:' || agent_id || '/' || hook
    FROM event
    WHERE severity = 'warning'
    ON CONFLICT (dedup_key) DO UPDATE
    SET occurrences = n.occurrences + 1,
        message = excluded.message,
        last_at = clock_timestamp())
SELECT count(*) > 0
FROM a`

// RecordHooks records how hooks on an instance ended. Again changes nothing. Fails with
// agent.not_found.
func (s *Agents) RecordHooks(ctx context.Context, in HookResults) error {
	runs, err := json.Marshal(append([]HookResult{}, in.Hooks...)) // none is a list too
	if err != nil {
		return err
	}
	operation := in.OperationID
	if operation == "" && in.Kind == string(interruption.Termination) {
		operation = roles.TerminationOperation(in.AgentID, in.InstanceID)
	}
	var known bool
	err = s.DB.Pool.QueryRow(ctx, recordHooks, in.AgentID, in.ClientID, in.InstanceID, in.NoticeID, operation, runs).
		Scan(&known)
	if err != nil {
		return pg.Translate(err)
	}
	if !known {
		return agent.NotFound.New("Agent not found")
	}
	return nil
}
