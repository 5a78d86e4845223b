package postgres

import (
	"context"
	"encoding/json"
)

// Acts tells what operators and tenants had done by others than a store: by
// Temporal, whose changes are in no transaction of ours. It also reads how the
// subject of an act stands, for what was and what is.
type Acts struct{ DB *DB }

// Act is something that was done.
type Act struct {
	ClientID string // empty: the agent's, if there is one
	AgentID  string
	Type     string
	Actor    string
	Message  string
	Metadata map[string]any
}

// Tell keeps an act as an event.
func (s *Acts) Tell(ctx context.Context, act Act) error {
	meta, err := json.Marshal(act.Metadata)
	if err != nil {
		return err
	}
	_, err = s.DB.Pool.Exec(ctx, `INSERT INTO events (client_id, agent_id, type, actor, message, metadata)
		VALUES (coalesce((SELECT id FROM clients WHERE id = $1), (SELECT client_id FROM agents WHERE id = $2)), nullif($2, ''), $3, $4, $5, $6)`,
		act.ClientID, act.AgentID, act.Type, act.Actor, act.Message, meta)
	return translate(err)
}

// Standing is how the subject of an act stands; What is null where there is none.
type Standing struct {
	AgentID string // whose it is; may be empty
	What    json.RawMessage
}

// agentStanding is what events tell of the agent a before and after somebody acted.
const agentStanding = `jsonb_build_object('status', a.status, 'enabled', a.enabled, 'epoch', a.epoch, 'keeping', a.keeping,
	'primary', (SELECT jsonb_build_object('id', i.id, 'pool_id', i.pool_id, 'mode', i.mode) FROM instances i WHERE i.agent_id = a.id AND i.role = 'primary'),
	'replicas', coalesce((SELECT jsonb_agg(jsonb_build_object('id', r.id, 'kind', r.kind, 'state', r.state, 'instance_id', r.instance_id) ORDER BY r.created_at, r.id)
		FROM replicas r WHERE r.agent_id = a.id AND r.state IN ('requested', 'launching', 'running', 'ready')), '[]'))`

// Agent reads how an agent stands: its mode, its primary, its replicas.
func (s *Acts) Agent(ctx context.Context, id string) (Standing, error) {
	return s.standing(ctx, `SELECT a.id AS agent_id, `+agentStanding+` AS what FROM agents a WHERE a.id = $1`, id)
}

// Operation reads how an operation stands.
func (s *Acts) Operation(ctx context.Context, id string) (Standing, error) {
	return s.standing(ctx, `SELECT agent_id, jsonb_build_object('state', state, 'phase', phase, 'summary', summary) AS what FROM operations WHERE id = $1`, id)
}

// Serving reads which sessions decide, and the rollout that is under way.
func (s *Acts) Serving(ctx context.Context) (Standing, error) {
	return s.standing(ctx, `SELECT '' AS agent_id, jsonb_build_object(
		'live', coalesce((SELECT jsonb_object_agg(kind, id) FROM model_sessions WHERE is_live), '{}'),
		'fallback', coalesce((SELECT jsonb_object_agg(kind, id) FROM model_sessions WHERE is_fallback), '{}'),
		'rollout', (SELECT jsonb_build_object('session_id', session_id, 'phase', phase, 'percent', percent, 'paused', paused) FROM model_rollouts WHERE ended_at IS NULL)) AS what`)
}

func (s *Acts) standing(ctx context.Context, sql string, args ...any) (Standing, error) {
	found, err := row[Standing](ctx, s.DB, sql, args...)
	if noRows(err) {
		return Standing{}, nil
	}
	if err != nil {
		return Standing{}, err
	}
	return *found, nil
}
