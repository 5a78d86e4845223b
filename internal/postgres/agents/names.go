package agents

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/postgres/pg"
)

// AgentNames reads the logical names of agents.
type AgentNames struct{ DB *pg.DB }

// Name returns an agent's logical name, or "" for an agent that is not there.
func (s *AgentNames) Name(ctx context.Context, agentID string) (string, error) {
	var name string
	err := s.DB.Pool.QueryRow(ctx, `SELECT logical_agent_id FROM agents WHERE id = $1`, agentID).Scan(&name)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return name, pg.Translate(err)
}
