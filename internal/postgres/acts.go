package postgres

import (
	"context"
	"encoding/json"
)

// Acts tells what operators and tenants had done by others than a store: by
// Temporal, whose changes are in no transaction of ours.
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
