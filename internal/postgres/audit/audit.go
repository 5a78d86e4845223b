package audit

import (
	"context"
	"encoding/json"

	"spotkeeper/internal/domain/trail"
	"spotkeeper/internal/postgres/pg"
)

// Log records audit entries for changes that workflows make, which cannot share a
// transaction with them. It also reads the state of the audited object, for the state
// before and after. Changes made by a store are recorded in the store's transaction.
type Log struct{ DB *pg.DB }

// Entry is one change that an operator or a tenant asked for.
type Entry struct {
	ClientID string // empty: the agent's, if there is one
	AgentID  string
	Type     string
	Actor    string
	Message  string
	Metadata map[string]any
}

// Record writes an audit entry into the events.
func (s *Log) Record(ctx context.Context, entry Entry) error {
	meta, err := json.Marshal(entry.Metadata)
	if err != nil {
		return err
	}
	r := trail.RequestFrom(ctx)
	_, err = s.DB.Pool.Exec(ctx, `
		INSERT INTO events (client_id, agent_id, type, actor, message, metadata, actor_kind, actor_id, actor_role,
			token_id, address, request_id)
		VALUES (coalesce((SELECT id FROM clients WHERE id = $1), (SELECT client_id FROM agents WHERE id = $2)),
			nullif($2, ''), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		entry.ClientID, entry.AgentID, entry.Type, entry.Actor, entry.Message, meta, r.ActorKind, r.ActorID,
		r.ActorRole, r.TokenID, r.Address, r.RequestID)
	return pg.Translate(err)
}

// RecordOnTrail writes an entry that is no event: an act that is intended or was refused.
func (s *Log) RecordOnTrail(ctx context.Context, e TrailEntry) error {
	return (&Trail{DB: s.DB}).Add(ctx, e)
}

// Snapshot is the state of an audited object. What is null when it does not exist.
type Snapshot struct {
	AgentID string // of the agent that the object belongs to; may be empty
	What    json.RawMessage
}

// AgentSnapshot is the state of the agent a, as audit entries show it.
const AgentSnapshot = `
	jsonb_build_object('status', a.status, 'enabled', a.enabled, 'epoch', a.epoch, 'keeping', a.keeping,
	'primary',
	(SELECT jsonb_build_object('id', i.id, 'pool_id', i.pool_id, 'mode', i.mode)
		FROM instances i
		WHERE i.agent_id = a.id AND i.role = 'primary'),
	'replicas',
	coalesce((SELECT jsonb_agg(jsonb_build_object('id', r.id, 'kind', r.kind, 'state', r.state, 'instance_id',
	r.instance_id)
		ORDER BY r.created_at, r.id)
		FROM replicas r WHERE r.agent_id = a.id AND r.state IN ('requested', 'launching', 'running', 'ready')), '[]'))`

// Agent reads the state of an agent: its mode, its primary, its open replicas.
func (s *Log) Agent(ctx context.Context, id string) (Snapshot, error) {
	return s.readSnapshot(ctx, `SELECT a.id AS agent_id, `+AgentSnapshot+` AS what FROM agents a WHERE a.id = $1`, id)
}

// Operation reads the state of an operation.
func (s *Log) Operation(ctx context.Context, id string) (Snapshot, error) {
	return s.readSnapshot(
		ctx,
		`
			SELECT agent_id, jsonb_build_object('state', state, 'phase', phase, 'summary', summary) AS what
			FROM operations
			WHERE id = $1`,
		id,
	)
}

// Serving reads which model sessions are live or fallback, and the open rollout.
func (s *Log) Serving(ctx context.Context) (Snapshot, error) {
	return s.readSnapshot(ctx, `SELECT '' AS agent_id, jsonb_build_object(
		'live', coalesce((SELECT jsonb_object_agg(kind, id) FROM model_sessions WHERE is_live), '{}'),
		'fallback', coalesce((SELECT jsonb_object_agg(kind, id) FROM model_sessions WHERE is_fallback), '{}'),
		'rollout',
		(SELECT jsonb_build_object('session_id', session_id, 'phase', phase, 'percent', percent, 'paused', paused)
			FROM model_rollouts
			WHERE ended_at IS NULL)) AS what`)
}

func (s *Log) readSnapshot(ctx context.Context, sql string, args ...any) (Snapshot, error) {
	found, err := pg.QueryRow[Snapshot](ctx, s.DB, sql, args...)
	if pg.IsNoRows(err) {
		return Snapshot{}, nil
	}
	if err != nil {
		return Snapshot{}, err
	}
	return *found, nil
}
