package postgres

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/tracing/span"
)

// Operations keep the rows of operations: an open row has a workflow, and pages read
// them through Views.
type Operations struct{ DB *pg.DB }

var (
	_ activities.OperationStore = (*Operations)(nil)
	_ activities.SwitchStore    = (*Switches)(nil)
)

// upsertOperation opens an operation, or brings it up to date. A workflow that was
// started again opens it again; the end of one does not, because it may be written
// twice. What is not given stays as it is.
const upsertOperation = `
INSERT INTO operations AS o (id, kind, client_id, agent_id, summary, cause, instance_id, replica_id, new_instance_id,
    deadline, phase, trace_id)
SELECT $1, $2, client_id, id, $4, $5, $6, $7, $8, $9, $10, $12
FROM agents
WHERE id = $3
ON CONFLICT (id) DO UPDATE
SET state = CASE WHEN $11::bool THEN o.state ELSE 'running' END,
    ended_at = CASE WHEN $11::bool THEN o.ended_at END,
    tend_at = CASE WHEN $11::bool THEN o.tend_at ELSE ` + pg.TendAgain + ` END,
    error_code = CASE WHEN $11::bool THEN o.error_code END,
    error = CASE WHEN $11::bool THEN o.error END,
    updated_at = clock_timestamp(),
    summary = coalesce(nullif(excluded.summary, ''), o.summary),
    cause = coalesce(nullif(excluded.cause, ''), o.cause),
    deadline = coalesce(excluded.deadline, o.deadline),
    phase = coalesce(nullif(excluded.phase, ''), o.phase),
    instance_id = coalesce(nullif(excluded.instance_id, ''), o.instance_id),
    replica_id = coalesce(nullif(excluded.replica_id, ''), o.replica_id),
    new_instance_id = coalesce(nullif(excluded.new_instance_id, ''), o.new_instance_id),
    trace_id = coalesce(nullif(o.trace_id, ''), excluded.trace_id)
WHERE o.agent_id = excluded.agent_id`

// upsertSteps writes the lines of a timeline; the same line again is written over. A
// deadline that lies far away must not cost the line.
const upsertSteps = `
INSERT INTO operation_steps AS s (operation_id, run_id, seq, name, status, detail, seconds_left, at)
SELECT $1, $2, x.seq, x.name, x.status, coalesce(x.detail, ''),
    round(least(greatest(x.seconds_left, -99999), 99999)::numeric, 3),
    coalesce(x.at, clock_timestamp())
FROM jsonb_to_recordset($3) AS x(seq int, name text, status text, detail text, seconds_left float8, at timestamptz)
ON CONFLICT (operation_id, run_id, seq) DO UPDATE
SET name = excluded.name,
    status = excluded.status,
    detail = excluded.detail,
    seconds_left = coalesce(excluded.seconds_left, s.seconds_left)`

// closeOperation ends an operation that is open, with the event and, when it is worth
// one, the notification: once per operation or per key, and counted from then on. What fails
// again by the same cause is written to its first operation too, and makes no event.
const closeOperation = `
WITH ended AS (
    UPDATE operations
    SET state = $2,
        phase = coalesce(nullif($3, ''), phase),
        summary = coalesce(nullif($4, ''), summary),
        error_code = nullif($5, ''),
        error = nullif($6, ''),
        updated_at = clock_timestamp(),
        ended_at = clock_timestamp(),
        tend_at = NULL
    WHERE id = $1
      AND state = 'running'
    RETURNING id, client_id, agent_id, kind, summary, retry_of),
first AS (
    UPDATE operations o
    SET error_code = nullif($5, ''),
        error = nullif($6, ''),
        next_try_at = NULL,
        updated_at = clock_timestamp()
    FROM ended e
    WHERE o.id = e.retry_of
      AND $2 = 'failed'),
event AS (
    INSERT INTO events (client_id, agent_id, type, severity, message, metadata)
    SELECT client_id, agent_id, kind || '_' || $2::text,
        CASE WHEN $2 = 'failed' THEN 'error' ELSE 'info' END,
        summary,
        jsonb_build_object('operation_id', id, 'code', nullif($5, ''), 'error', nullif($6, ''))
    FROM ended
    WHERE retry_of IS NULL
       OR $2 <> 'failed')
INSERT INTO notifications AS n (client_id, message, severity, dedup_key)
SELECT client_id, $7, coalesce(nullif($8, ''), 'info'), coalesce(nullif($9, ''), 'operation:' || id)
FROM ended
WHERE $7 <> ''
ON CONFLICT (dedup_key) DO UPDATE
SET occurrences = n.occurrences + 1,
    last_at = clock_timestamp()`

// queueMended ends what the client was notified of about launches that fail: should they
// fail again, that is another notification.
func queueMended(b *pgx.Batch, agentID string) {
	codes := []string{string(replica.Refused), string(replica.Misconfigured), string(replica.TokenReused),
		string(replica.QuotaUsedUp), string(replica.TypeQuotaUsedUp),
		string(replica.PartsQuotaUsedUp), string(replica.NoPool)}
	b.Queue(`
UPDATE notifications
SET dedup_key = NULL
WHERE dedup_key = ANY (SELECT 'launch:' || $1::text || '/' || code FROM unnest($2::text[]) AS code)`, agentID, codes)
}

// warnOfOperation notifies the client, once, of a problem in an operation that goes on.
const warnOfOperation = `
INSERT INTO notifications (client_id, message, severity, dedup_key)
SELECT client_id, $2, 'warning', 'operation-warning:' || id
FROM operations
WHERE id = $1
ON CONFLICT (dedup_key) DO NOTHING`

// Save writes how far an operation is, in one round trip and one transaction: its
// row, the lines of its timeline since the last time and, with an End, its end. The
// same again changes nothing. One that has ended stays as it ended, unless its
// workflow was started again. Fails with agent.not_found.
func (s *Operations) Save(ctx context.Context, in activities.OperationProgress) error {
	b := &pgx.Batch{}
	found := false
	b.Queue(upsertOperation, in.ID, in.Kind, in.AgentID, in.Summary, in.Cause, in.InstanceID, in.ReplicaID,
		in.NewInstanceID, in.Deadline, in.Phase, in.End != nil, span.ID(ctx)).
		Exec(func(tag pgconn.CommandTag) error {
			found = tag.RowsAffected() > 0
			return nil
		})
	if len(in.Steps) > 0 {
		lines, err := json.Marshal(in.Steps)
		if err != nil {
			return err
		}
		b.Queue(upsertSteps, in.ID, in.RunID, lines)
	}
	if in.Warn != "" {
		b.Queue(warnOfOperation, in.ID, in.Warn)
	}
	if e := in.End; e != nil {
		b.Queue(closeOperation, in.ID, e.State, e.Phase, e.Summary, e.Code, e.Error, e.Notify, e.Severity, e.NotifyKey)
	}
	err := s.DB.Pool.SendBatch(ctx, b).Close()
	if pg.IsConstraint(err, "operation_steps_operation_fk") || err == nil && !found {
		return pg.UnknownAgent(in.AgentID)
	}
	return pg.Translate(err)
}

// opened is an operation that begins with a decision, in the decision's transaction.
type opened struct {
	kind, id, agentID     string
	summary, cause        string
	instanceID, replicaID string
}

// queueOperation opens the operation of a decision. One that ended before is opened
// again: the decision is a new one.
func queueOperation(b *pgx.Batch, in opened) {
	b.Queue(`
INSERT INTO operations AS o (id, kind, client_id, agent_id, phase, summary, cause, instance_id, replica_id)
SELECT $1, $2, client_id, id, 'requested', $4, $5, $6, $7
FROM agents
WHERE id = $3
ON CONFLICT (id) DO UPDATE
SET state = 'running',
    phase = 'requested',
    ended_at = NULL,
    error_code = NULL,
    error = NULL,
    updated_at = clock_timestamp(),
    tend_at = clock_timestamp() + interval '5 seconds'
WHERE o.state <> 'running'`, in.id, in.kind, in.agentID, in.summary, in.cause, in.instanceID, in.replicaID)
}
