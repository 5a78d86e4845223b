package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
)

// Operations projects what workflows do. Views reads it.
type Operations struct{ DB *DB }

var (
	_ activities.OperationStore = (*Operations)(nil)
	_ activities.SwitchStore    = (*Switches)(nil)
)

// Begin opens an operation, and opens it again when its workflow was started
// again: the row is one per id, and it began when it first began. Fails with
// agent.not_found.
func (s *Operations) Begin(ctx context.Context, in activities.BeginOperation) error {
	tag, err := s.DB.Pool.Exec(ctx, `INSERT INTO operations AS o (id, kind, client_id, agent_id, summary, cause, instance_id, replica_id, deadline)
		SELECT $1, $2, client_id, id, $4, $5, $6, $7, $8 FROM agents WHERE id = $3
		ON CONFLICT (id) DO UPDATE SET state = 'running', ended_at = NULL, error_code = NULL, error = NULL, updated_at = clock_timestamp(),
			summary = excluded.summary, cause = excluded.cause, deadline = coalesce(excluded.deadline, o.deadline),
			instance_id = coalesce(nullif(excluded.instance_id, ''), o.instance_id), replica_id = coalesce(nullif(excluded.replica_id, ''), o.replica_id)
		WHERE o.agent_id = excluded.agent_id`,
		in.ID, in.Kind, in.AgentID, in.Summary, in.Cause, in.InstanceID, in.ReplicaID, in.Deadline)
	if err == nil && tag.RowsAffected() == 0 {
		return unknownAgent(in.AgentID)
	}
	return translate(err)
}

// Step adds a line to an operation's timeline, and moves its phase when the step
// names one. The same step told again is the same line, as it is told last.
// Fails with operation.unknown.
func (s *Operations) Step(ctx context.Context, in activities.OperationStep) error {
	b := &pgx.Batch{}
	found := false
	b.Queue(`UPDATE operations SET phase = coalesce(nullif($2, ''), phase), new_instance_id = coalesce(nullif($3, ''), new_instance_id),
			replica_id = coalesce(nullif($4, ''), replica_id), updated_at = clock_timestamp() WHERE id = $1 RETURNING true`,
		in.OperationID, in.Phase, in.NewInstanceID, in.ReplicaID).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&found)
		if noRows(err) {
			return unknownOperation(in.OperationID)
		}
		return err
	})
	b.Queue(`INSERT INTO operation_steps AS s (operation_id, run_id, seq, name, status, detail, seconds_left) VALUES ($1, $2, $3, $4, $5, $6, round($7::numeric, 3))
		ON CONFLICT (operation_id, run_id, seq) DO UPDATE SET name = excluded.name, status = excluded.status, detail = excluded.detail,
			seconds_left = coalesce(excluded.seconds_left, s.seconds_left)`,
		in.OperationID, in.RunID, in.Seq, in.Name, in.Status, in.Detail, in.SecondsLeft)
	return translate(s.DB.Pool.SendBatch(ctx, b).Close())
}

func unknownOperation(id string) error { return UnknownOperation.New("there is no operation %s", id) }

// End closes an operation and tells the client when it is worth it, once per
// operation however often it is closed. One that has ended stays as it ended.
// Fails with operation.unknown.
func (s *Operations) End(ctx context.Context, in activities.EndOperation) error {
	var known bool
	err := s.DB.Pool.QueryRow(ctx, `WITH ended AS (
			UPDATE operations SET state = $2, phase = coalesce(nullif($3, ''), phase), summary = coalesce(nullif($4, ''), summary),
				error_code = nullif($5, ''), error = nullif($6, ''), updated_at = clock_timestamp(), ended_at = clock_timestamp()
			WHERE id = $1 AND state = 'running' RETURNING id, client_id, agent_id, kind, summary),
		event AS (
			INSERT INTO events (client_id, agent_id, type, severity, message, metadata)
			SELECT client_id, agent_id, kind || '_' || $2::text, CASE WHEN $2 = 'failed' THEN 'error' ELSE 'info' END, summary,
				jsonb_build_object('operation_id', id, 'code', nullif($5, ''), 'error', nullif($6, '')) FROM ended),
		told AS (
			INSERT INTO notifications (client_id, message, severity, dedup_key)
			SELECT client_id, $7, coalesce(nullif($8, ''), 'info'), 'operation:' || id FROM ended WHERE $7 <> '' ON CONFLICT (dedup_key) DO NOTHING)
		SELECT EXISTS (SELECT FROM operations WHERE id = $1)`,
		in.OperationID, in.State, in.Phase, in.Summary, in.Code, in.Error, in.Notify, in.Severity).Scan(&known)
	if err == nil && !known {
		return unknownOperation(in.OperationID)
	}
	return translate(err)
}
